// Package callout remembers what other servers said when they were asked whether
// they would take mail for an address, and sees to it that they are not asked
// more than is decent.
//
// It promises router that an address is asked about once, however many want to
// know at the same time; that an answer is remembered for a time, a yes longer
// than a no, and a server that could not tell is left alone for a while too; that
// of a server which takes everything no more is asked; and that the number of
// call-outs under way is bounded, for one domain and in all. What it remembers is
// bounded as well: when there is no room, what would be forgotten first goes.
//
// It asks nobody itself and has no clock: who calls brings both. It refuses to
// guess: an address beyond the bounds is ErrBusy, not a yes or a no.
//
// What a server says of an address is kept for that server: by transport and
// hosts. When a domain moves, or a route is changed, the old answers hold no more.
//
// # Security
//
// Whoever sends mail decides which servers are called, by the sender that he
// makes up. The bounds keep a flood of made-up senders from becoming one of
// call-outs: with them a domain sees a few at a time.
//
// # The record
//
// What was found out is handed on to be kept for the next run (TakeChanged) and taken
// back at its start (Recall); it has a version. A record of another version, or that
// makes no sense, is nothing. A crash may lose the last second, which costs a few
// call-outs.
package callout

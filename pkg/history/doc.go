// Package history reads the suite's log (doc/LOG.md) back into events, and says
// by what a message's events are found again. mtadb keeps them, mtactl shows them.
//
// It promises that Parse takes exactly what pkg/event writes, in either format,
// and refuses anything else whole: a torn line, a line of another program, one
// that is too long or has too many keys. Both formats give the same event. Values
// are as the log shows them, so that they are safe on a terminal; they
// never become code, a path or a command. Parse, the codec and the terms are pure:
// no clock, no files, no state.
//
// The log is written by programs of the suite alone. What peers, messages and users
// said stands in quoted values, so that nothing in it can look like a key of
// its own: a message that a user submitted is told by the key uid, which cleanup
// takes from the kernel.
package history

// Package untrusted holds text that somebody else chose: a peer's command or
// answer, a header field, a DNS record, a user's file.
//
// It promises every reader of the source that such text cannot reach a log
// line, a reply, a header field, a report, a file name, an argument vector or
// a terminal by accident: Text is no string, has no String method, and is
// printed by fmt as its length alone. It leaves only through a conversion that
// is named after the place where the text goes, and that makes the text fit
// for that place or refuses it. Each conversion is total and bounded: no input
// panics, and no result is longer than its named limit allows.
//
// It refuses to guess: there is no general way out. ForWire hands the bytes to
// another process of the suite unchanged, where they become Text again; it is
// for encoders alone. Addresses leave through mailaddr.Parse, queue ids
// through queueid.Parse, which read the text with ForWire and check all of it.
//
// One leak is left that the type cannot close: fmt prints the unexported
// fields of a foreign struct without asking their methods. A struct with an
// unexported Text in it must not be given to fmt as a whole.
package untrusted

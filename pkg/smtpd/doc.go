// Package smtpd is the server side of SMTP: the dialogue with a client, its
// limits and time-outs, up to the moment at which cleanup says that a message
// is ours. It is the only program that strangers talk to.
//
// It promises the client that a 250 to the end of a message is cleanup's word
// that the message is on stable storage; that each command gets a reply before
// the connection is closed, 421 where we are the ones who end it; and that what
// reaches cleanup is octet for octet what was sent, dots unstuffed.
//
// It promises the rest of the suite an envelope whose addresses were parsed
// whole, content with no other line end than CRLF, no relaying but for those
// who may, and memory that is bounded whatever clients do.
//
// It refuses to resolve names, to look users up, to read or write files and to
// start programs; what it cannot pass on at once it refuses for the time being.
//
// # How it is built
//
// session.go and verbs.go decide: a table of verbs over named states, without
// sockets and clock. transaction.go is all that belongs to one message; it is
// one value and is dropped whole at each reset, so nothing of a message can
// outlive it. dialogue.go carries out what the session decides: it reads lines
// (input.go) and content (receive.go, content.go), and waits. ledger.go admits
// and sheds connections, meter.go measures how long each has kept us waiting.
//
// A recipient is considered in steps (verify.go): may the client send to it
// (lists.go), is the sender one (sender.go), is there such a recipient. What a step
// needs to be told by router is an action too; the session keeps the answer and
// considers the recipient anew. Nothing is asked for a client that may not send
// there, and nothing twice for one message. Of a lookup that can't tell comes a 451:
// neither relayed nor refused for good. Mail for the postmaster of our domains is
// never refused for its sender (RFC 5321, section 4.5.1).
//
// # Time
//
// Deadlines are for the whole of what is awaited and never move because a
// single octet came: a command line has limits.command_timeout (RFC 5321,
// section 4.5.3.2.7), each dataBlock octets of content limits.data_timeout
// (section 4.5.3.2.5), a message limits.message_timeout. Beside these, time that
// a client lets us wait is a debt that it pays off at min_rate octets a second.
// When a listener is full, who owes most is shed for the newcomer.
//
// # Security
//
// The process has no file system and no program to run, cannot make TCP
// connections and holds nothing but client connections and its socket to
// cleanup, router and qmgr; to the last it can say one thing only (etrn.go). Text of a client is never echoed. What is sent behind EHLO, HELO or
// DATA before our answer is a protocol error that ends the session, because
// such octets would change their meaning with our answer (RFC 2920, section 3.1).
//
// # Standards
//
// RFC 5321, RFC 1870 (SIZE), RFC 1985 (ETRN), RFC 2034 (enhanced status codes), RFC 2920
// (PIPELINING), RFC 3030 (CHUNKING; BINARYMIME is not offered), RFC 3461 (DSN),
// RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 7505 (null MX of a sender).
//
// # Diagnostics
//
// Refusals are logged as "refused", a few for each session and then one line
// with a count; the ends of sessions as "session" when smtpd is debugged.
//
// A crash leaves nothing behind: what cleanup has not acknowledged was not
// acknowledged to the client either.
package smtpd

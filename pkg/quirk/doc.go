// Package quirk is what is known of the servers of others: what was seen of each (Facts),
// and apart from it what follows for how it is talked to (Advice, Conclusions). It is
// pure: what a connection has shown and the present moment in, what to do out. smtp-client
// observes (Seen), dispatch keeps the facts, and both have mtadb remember them between
// runs.
//
// # What follows from what
//
//   - EHLO was refused, or the connection was dropped at it, and HELO then worked: the
//     server is greeted with HELO for a week. Where HELO did not work either nothing is
//     known: it may refuse us, whatever we say.
//   - It lost count of the commands that were sent ahead (RFC 2920): for a week each
//     waits for the reply to the one before.
//   - It took so many recipients and called the next one too many: for a week it is given no more.
//
// What works ends what failed: an EHLO that is granted ends the HELO at once.
//
// # Security
//
// Advice never makes a delivery less safe for longer than it would be without. HELO is a server without STARTTLS, so that whoever breaks one EHLO could
// have a week of mail in clear: a server that has offered STARTTLS within Trust is asked
// with EHLO each time, whatever was seen since. Who needs TLS, or logs in, does not
// take the advice at all (pkg/smtpclient). That a handshake has failed is a fact from which
// nothing follows: TLS is tried each time, as one broken handshake costs a second connection, and
// a remembered one would do an attacker's work for him after he has gone. There remains a
// server that nobody has talked to within Trust.
//
// Advice refuses no mail either: before a message fails, or is altered, for want of an
// extension that EHLO might have shown, EHLO is tried; so it is where the sender wants
// something that EHLO alone passes on: NOTIFY, a priority, a time.
//
// # The record
//
// It has a version. One of another version, or that makes no sense, is nothing: all of it
// is learned again. A crash may lose the last second.
package quirk

// Package socketmap asks a program for the value of a key, by sendmail's
// socketmap protocol: netstrings over a Unix socket or TCP.
//
//	client: 17:virtual joe@a.org,
//	server: 12:OK joe@b.org,   or NOTFOUND, TEMP why, TIMEOUT why, PERM why
//
// It promises one value, or none when nothing stands behind OK; NOTFOUND is not
// found. TEMP, TIMEOUT and PERM are errors, all of them temporary: that a map
// does not like a question does not mean that an address is not there. A reply
// that is not of the protocol, or longer than MaxReply, is an error and ends the
// connection.
//
// Open connects to nobody. Servers are tried in order; connections are kept,
// bounded in number, and replaced when they end. Every question has a time limit.
//
// A crash leaves nothing.
package socketmap

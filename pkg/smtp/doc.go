// Package smtp holds the words of the protocol that smtpd and smtp-client
// share: commands and their parameters, replies and their enhanced status
// codes, the framing of message content, limits and time-outs. It does no
// input or output and keeps no session: who calls it decides when.
//
// It promises both sides that each parser is strict, total and bounded, and
// that a parser of the server side gives either a typed value or the Reply to
// send. It promises that nothing of a peer's text can add a line to a reply,
// that only CRLF . CRLF ends content that comes in, and that content that goes
// out has no other line end than CRLF, however the bytes are split.
//
// It refuses to know sessions, policies and sockets.
//
// # Standards
//
// RFC 5321 (SMTP), RFC 2034 and RFC 3463 (enhanced status codes), RFC 1870
// (SIZE), RFC 6152 (8BITMIME), RFC 3030 (CHUNKING, BINARYMIME), RFC 3461 (DSN),
// RFC 4954 (AUTH=), RFC 6531 and RFC 6533 (SMTPUTF8).
package smtp

// Package message is the text of a message: its header as byte offsets, the
// fields that a mail system adds, the checks that content must pass, and the
// two conversions that may be made of it.
//
// It promises cleanup, the delivery agents and bounce that a message is only
// touched where they ask for it: a field is found by where it stands, and
// removing one leaves every other octet alone. It promises that each scan is
// linear in time and bounded, and that fields built here fit the grammar and
// hold nothing of a peer's text that could end them or begin another.
//
// In the suite, content is CRLF text: a bare CR or LF is refused or made CRLF
// where the message comes in (smtp.DataScanner, NormalizeLocal), so that all
// who read it later agree on where its lines end.
//
// It refuses to parse MIME: To7Bit converts a message of one text part or says
// that it cannot.
//
// # Standards
//
// RFC 5322 (format), RFC 5321, section 4.4 (trace), RFC 3848 and RFC 6531,
// section 4.3 (with keywords), RFC 2045 (quoted-printable), RFC 1428 (8-bit
// text of unknown charset), RFC 6152, section 3 (when to convert).
package message

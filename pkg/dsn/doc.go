// Package dsn writes delivery reports: multipart/report with a first part for
// a person (what happened, to which address, what to do, whom to ask), a second for
// programs (RFC 3464), and the header or all of the message.
//
// It is pure: everything comes in with the request, the bytes of a message go
// out. It promises CRLF text within the line limits, US-ASCII in every header, no
// text of a peer outside of the places that are quoted as such, and that the
// boundary occurs in none of its parts. It refuses nothing: a report about the
// strangest failure must still be written.
//
// # Standards
//
// RFC 3461 (DSN extension), RFC 3462 (multipart/report), RFC 3464
// (delivery-status), RFC 3463 (codes), RFC 6533 (internationalised), RFC 3834
// (Auto-Submitted).
package dsn

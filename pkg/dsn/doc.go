// Package dsn writes delivery reports: multipart/report with a first part for
// a person (what happened, to which address, what to do, whom to ask), a second for
// programs (RFC 3464), and the header or all of the message.
//
// The words are in files, one for each language (texts/), where a translator finds
// them; a site's own stand over them, text by text. A placeholder is filled once,
// with a value on one line and within a length.
//
//	compose.go    the report, its header and parts
//	words.go      the part for a person; say.go, wrap.go: values, dates, lines
//	status.go     the part for programs
//	causes.go     what an outcome comes to for a person
//	texts.go      the form of a file of texts; catalogue.go: all of them
//	language.go   which language somebody is likely to read
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
// (Auto-Submitted), RFC 2047 (encoded words), RFC 3282 (Content-Language,
// Accept-Language), RFC 2231, section 5 (languages of encoded words).
package dsn

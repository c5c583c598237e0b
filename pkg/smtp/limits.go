package smtp

import "time"

// Limits that RFC 5321 names. They are the least that a server must accept and
// the most that a client may send.
const (
	MaxLocalPart   = 64  // RFC 5321, section 4.5.3.1.1
	MaxDomain      = 255 // RFC 5321, section 4.5.3.1.2
	MaxPath        = 256 // RFC 5321, section 4.5.3.1.3, < and > included
	MaxCommandLine = 512 // RFC 5321, section 4.5.3.1.4, CRLF included, without extensions
	MaxReplyLine   = 512 // RFC 5321, section 4.5.3.1.5, CRLF included
	MaxTextLine    = 998 // RFC 5321, section 4.5.3.1.6: 1000 with CRLF
	MinRecipients  = 100 // RFC 5321, section 4.5.3.1.8: a server must take as many
)

// MaxExtendedCommandLine is the longest command line we read: 512, and what
// the extensions add to MAIL and RCPT: SIZE 26 (RFC 1870, section 3), BODY 17
// (RFC 6152, section 2), SMTPUTF8 10 (RFC 6531, section 3.4), AUTH 500 (RFC
// 4954, section 3), RET and ENVID or NOTIFY and ORCPT 501 and more (RFC 3461,
// section 4), MT-PRIORITY 15 (RFC 6710, section 3), HOLDUNTIL 34 (RFC 4865, section 3),
// BY 17 (RFC 2852, section 2), rounded up.
const MaxExtendedCommandLine = 2048

// MaxAuthLine is the longest line of an authentication exchange, CRLF included
// (RFC 4954, section 4).
const MaxAuthLine = 12288

// Time-outs of a client, the least that RFC 5321 allows.
const (
	TimeoutGreeting      = 5 * time.Minute  // RFC 5321, section 4.5.3.2.1
	TimeoutMail          = 5 * time.Minute  // RFC 5321, section 4.5.3.2.2
	TimeoutRcpt          = 5 * time.Minute  // RFC 5321, section 4.5.3.2.3
	TimeoutDataInit      = 2 * time.Minute  // RFC 5321, section 4.5.3.2.4
	TimeoutDataBlock     = 3 * time.Minute  // RFC 5321, section 4.5.3.2.5
	TimeoutDataEnd       = 10 * time.Minute // RFC 5321, section 4.5.3.2.6
	TimeoutServerCommand = 5 * time.Minute  // RFC 5321, section 4.5.3.2.7
)

// Limits of ours on what a server may answer; RFC 5321 has none on the number
// of lines, and an unbounded reply is memory in a stranger's hand.
const (
	MaxReplyLines      = 100
	MaxServerReplyLine = 2000 // real servers pass the 512 of section 4.5.3.1.5
	MaxReplyOctets     = 64 << 10
)

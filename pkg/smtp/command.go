package smtp

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"filbert/pkg/mailaddr"
	"filbert/pkg/untrusted"
)

// The verbs of RFC 5321, section 4.1.1, and of the extensions and LMTP.
const (
	VerbHelo     = "HELO"
	VerbEhlo     = "EHLO"
	VerbLhlo     = "LHLO" // RFC 2033, section 4.1
	VerbMail     = "MAIL"
	VerbRcpt     = "RCPT"
	VerbData     = "DATA"
	VerbBdat     = "BDAT" // RFC 3030, section 2
	VerbRset     = "RSET"
	VerbNoop     = "NOOP"
	VerbVrfy     = "VRFY"
	VerbExpn     = "EXPN"
	VerbHelp     = "HELP"
	VerbQuit     = "QUIT"
	VerbStartTLS = "STARTTLS" // RFC 3207, section 4
	VerbAuth     = "AUTH"     // RFC 4954, section 4
	VerbEtrn     = "ETRN"     // RFC 1985
	VerbXClient  = "XCLIENT"
)

// maxVerb is longer than every verb there is; a longer word is no command.
const maxVerb = 16

// Command is one command line.
type Command struct {
	Verb string         // in upper case, letters alone; it need not be a known one
	Arg  untrusted.Text // what follows the first space, without trailing space
}

// ParseCommand splits a command line, given without its CRLF, into verb and
// argument (RFC 5321, section 4.1.1). White space at the end is dropped, as
// the section asks. Controls (a bare CR or LF and NUL among them) are refused,
// and so is what is not UTF-8; whether the argument may have characters past
// US-ASCII is for the command to say.
func ParseCommand(line []byte) (Command, *Reply) {
	if len(line)+2 > MaxExtendedCommandLine {
		return Command{}, NewReply(500, Status{5, 5, 6}, "Command line too long")
	}
	line = bytes.TrimRight(line, " \t")
	n := 0
	for n < len(line) && isAlpha(line[n]) {
		n++
	}
	if n == 0 || n > maxVerb || n < len(line) && line[n] != ' ' {
		return Command{}, NewReply(500, Status{5, 5, 2}, "Command not recognized")
	}
	arg := line[n:]
	for _, c := range arg {
		if c < ' ' || c == 0x7f {
			return Command{}, NewReply(500, Status{5, 5, 2}, "Control character in a command")
		}
	}
	if !utf8.Valid(arg) {
		return Command{}, NewReply(500, Status{5, 5, 2}, "Command is not UTF-8")
	}
	return Command{
		Verb: strings.ToUpper(string(line[:n])),
		Arg:  untrusted.FromBytes(bytes.TrimLeft(arg, " ")),
	}, nil
}

// ParseHello checks the argument of HELO, EHLO or LHLO: a domain or an address
// literal (RFC 5321, section 4.1.1.1). Underscores and a final dot are let
// pass, because honest machines are named so and nothing here depends on the
// name; U-labels are not (RFC 6531, section 3.7.1).
func ParseHello(arg untrusted.Text) (untrusted.Text, *Reply) {
	s := arg.ForWire() // every byte is checked below
	bad := func(why string) (untrusted.Text, *Reply) {
		return untrusted.Text{}, NewReply(501, Status{5, 5, 4}, why)
	}
	switch {
	case s == "":
		return bad("Host name wanted")
	case len(s) > MaxDomain:
		return bad("Host name too long")
	case s[0] == '[':
		if _, err := mailaddr.New("x", s); err != nil {
			return bad("Bad address literal")
		}
		return arg, nil
	}
	prev := byte('.')
	for i := range len(s) {
		c := s[i]
		if !isAlpha(c) && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' || c == '.' && prev == '.' {
			return bad("Bad host name")
		}
		prev = c
	}
	return arg, nil
}

func isAlpha(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

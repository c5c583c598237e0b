package message

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/queueid"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// maxColumns is the length that lines should not pass (RFC 5322, section 2.1.1).
const maxColumns = 78

// Session is what the `with` keyword of a Received field tells.
type Session struct {
	Local    bool // from a program on this host; the others do not count then
	LMTP     bool // RFC 2033
	Extended bool // EHLO, not HELO
	TLS      bool
	Auth     bool
	UTF8     bool // SMTPUTF8 was asked for
}

// WithLocal is the keyword for messages of programs on this host.
const WithLocal = "local"

// With is the keyword: RFC 3848, section 1, and RFC 6531, section 4.3.
func (s Session) With() string {
	word := "ESMTP"
	switch {
	case s.Local:
		return WithLocal
	case !s.Extended && !s.LMTP:
		return "SMTP" // RFC 3848 has no keyword for HELO with TLS
	case s.UTF8 && s.LMTP:
		word = "UTF8LMTP"
	case s.UTF8:
		word = "UTF8SMTP"
	case s.LMTP:
		word = "LMTP"
	}
	if s.TLS {
		word += "S"
	}
	if s.Auth {
		word += "A"
	}
	return word
}

// Trace is what a Received field says.
type Trace struct {
	Helo     untrusted.Text   // what the client called itself
	PeerName untrusted.Text   // its name in DNS, checked forward; may be empty
	PeerAddr netip.Addr       // invalid for a local program
	User     untrusted.Text   // a local program's user; told only without PeerAddr
	UserID   string           // its number as the kernel says, "" if unknown; told beside User
	TLS      string           // version and cipher suite, "" without
	By       string           // our host name
	Via      string           // "" for TCP (RFC 5321, section 4.4: Via is for others)
	Session  Session          // gives the with keyword
	With     string           // the keyword itself where it is known already; it goes before Session
	ID       queueid.ID       // zero is left out
	For      mailaddr.Address // only for a single recipient, as others need not know; null is left out
	Priority int8             // of MT-PRIORITY; 0 is left out, as it is what no word means
	Time     time.Time
}

// Received builds a Received field with its CRLF (RFC 5321, section 4.4:
// Time-stamp-line), folded so that lines stay within 78 columns where their
// words do. The peer's words come as host names when they are such, else in a
// comment, without any character that has a meaning in comments.
func Received(t Trace) []byte {
	words := []string{"Received:"}
	words = append(words, fromClause(t)...)
	if t.TLS != "" {
		words = append(words, "("+comment(untrusted.From("using "+t.TLS))+")")
	}
	words = append(words, "by "+atom(t.By))
	if !t.PeerAddr.IsValid() && !t.User.IsEmpty() {
		from := "(Filbert, from user " + comment(t.User)
		if t.UserID != "" {
			from += ", uid " + atom(t.UserID)
		}
		words = append(words, from+")")
	} else {
		words = append(words, "(Filbert)")
	}
	if t.Via != "" {
		words = append(words, "via "+atom(t.Via))
	}
	with := t.With
	if with == "" {
		with = t.Session.With()
	}
	words = append(words, "with "+atom(with))
	if !t.ID.IsZero() {
		words = append(words, "id "+t.ID.String())
	}
	// RFC 6531, section 3.7.3, lets the clause be left out where an address
	// would make the field need UTF-8.
	if !t.For.IsNull() && t.For.Domain() != "" && !t.For.NeedsUTF8() {
		words = append(words, "for "+t.For.Path())
	}
	if t.Priority != 0 {
		words = append(words, "priority "+strconv.Itoa(int(t.Priority))) // RFC 6710, section 7
	}
	words[len(words)-1] += ";"
	return fold(append(words, FormatDate(t.Time)))
}

// fromClause is From-domain and TCP-info. A client that gave no proper name is
// called by its address, and what it said is kept as a comment.
func fromClause(t Trace) []string {
	if !t.PeerAddr.IsValid() {
		return nil
	}
	literal := addressLiteral(t.PeerAddr)
	name := literal
	said := ""
	if helo, bad := smtp.ParseHello(t.Helo); bad == nil {
		name = helo.ForReply() // letters, digits, brackets: nothing is lost below its limit
	} else if !t.Helo.IsEmpty() {
		said = "HELO " + comment(t.Helo) + " "
	}
	info := literal
	if peer, bad := smtp.ParseHello(t.PeerName); bad == nil {
		info = peer.ForReply() + " " + literal
	}
	return []string{"from " + name, "(" + said + info + ")"}
}

// addressLiteral is RFC 5321, section 4.1.3.
func addressLiteral(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + ip.String() + "]"
}

// atom keeps letters, digits and what host names and keywords have beside
// them. By, Via and With are our own words, yet they too have crossed a socket.
func atom(s string) string {
	s = s[:min(len(s), mailaddr.MaxDomain)]
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		case strings.ContainsRune("-_.:[]", r):
			return r
		}
		return '?'
	}, s)
}

// comment makes a peer's text fit for the inside of a comment: printable
// US-ASCII, short, without what opens, closes or escapes.
func comment(t untrusted.Text) string {
	s := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`()\"`, r) {
			return '?'
		}
		return r
	}, t.ForReply())
	const most = 100
	return s[:min(len(s), most)]
}

// fold joins words with spaces, and begins a new line where one would be too
// long otherwise. Words are not split; none is longer than a few hundred octets.
func fold(words []string) []byte {
	out := []byte(words[0])
	column := len(words[0])
	for _, w := range words[1:] {
		if column+1+len(w) > maxColumns {
			out = append(out, "\r\n\t"...)
			column = 8
		} else {
			out = append(out, ' ')
			column++
		}
		out = append(out, w...)
		column += len(w)
	}
	return append(out, '\r', '\n')
}

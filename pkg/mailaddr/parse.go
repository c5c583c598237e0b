package mailaddr

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

// ErrSyntax is wrapped by every error about the form of an address. The
// messages say what is wrong and never repeat the text.
var ErrSyntax = errors.New("bad address")

func syntax(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSyntax, fmt.Sprintf(format, args...))
}

// Parse reads a mailbox, local part and domain (RFC 5321, section 4.1.2: Mailbox).
func Parse(t untrusted.Text) (Address, error) {
	a, err := ParseLocalOrMailbox(t)
	if err != nil {
		return Address{}, err
	}
	if a.domain == "" {
		return Address{}, syntax("no domain")
	}
	return a, nil
}

// ParseLocalOrMailbox reads a mailbox or a local part alone, which is what
// local programs and alias files may say, and "postmaster" in RCPT.
func ParseLocalOrMailbox(t untrusted.Text) (Address, error) {
	s := t.ForWire() // every byte is checked below
	if len(s) > MaxMailbox {
		return Address{}, syntax("longer than %d octets", MaxMailbox)
	}
	local, n, err := scanLocal(s)
	if err != nil {
		return Address{}, err
	}
	if n > MaxLocal {
		return Address{}, syntax("local part longer than %d octets", MaxLocal)
	}
	if n == len(s) {
		return New(local, "")
	}
	if s[n] != '@' {
		return Address{}, syntax("unexpected character in the local part")
	}
	if n+1 == len(s) {
		return Address{}, syntax("empty domain")
	}
	return New(local, s[n+1:])
}

// New makes an address of a local part (not quoted) and a domain; with an
// empty domain, of a local part alone.
func New(local, domain string) (Address, error) {
	if err := checkLocal(local); err != nil {
		return Address{}, err
	}
	a := Address{local: local}
	if domain != "" {
		var err error
		if a.domain, err = canonicalDomain(domain); err != nil {
			return Address{}, err
		}
	}
	if len(a.String()) > MaxMailbox {
		return Address{}, syntax("longer than %d octets", MaxMailbox)
	}
	return a, nil
}

// MustParse is ParseLocalOrMailbox for constants and tests; it panics where
// that fails, so it must never see text from outside.
func MustParse(s string) Address {
	a, err := ParseLocalOrMailbox(untrusted.From(s))
	if err != nil {
		panic("mailaddr.MustParse: " + err.Error())
	}
	return a
}

// EncodeTo appends the address to a record.
func (a Address) EncodeTo(e *wire.Encoder) {
	e.String(a.local)
	e.String(a.domain)
}

// DecodeFrom reads an address from a record and checks it again, because what
// comes from inside the suite is not trusted either. What is not canonical is
// refused, as no Address could have been encoded so.
func DecodeFrom(d *wire.Decoder) Address {
	local, domain := d.String(MaxLocal), d.String(MaxDomain)
	if d.Err() != nil || local == "" && domain == "" {
		return Address{}
	}
	a, err := New(local, domain)
	switch {
	case err != nil:
		d.Fail("address: %v", err)
		return Address{}
	case a.domain != domain:
		d.Fail("address: domain not in canonical form")
		return Address{}
	}
	return a
}

// scanLocal reads a local part off the front of s, a dot-string or a quoted
// string, and gives its value and the octets it took.
func scanLocal(s string) (local string, n int, err error) {
	if strings.HasPrefix(s, `"`) {
		return scanQuoted(s)
	}
	for n < len(s) && (isAtext(s[n]) || s[n] == '.') {
		n++
	}
	if n == 0 {
		return "", 0, syntax("empty local part")
	}
	if !isDotString(s[:n]) {
		return "", 0, syntax("misplaced dot in the local part")
	}
	return s[:n], n, nil
}

// scanQuoted reads a quoted string (RFC 5321, section 4.1.2: Quoted-string).
func scanQuoted(s string) (value string, n int, err error) {
	var b strings.Builder
	for n = 1; n < len(s); n++ {
		switch c := s[n]; {
		case c == '"':
			return b.String(), n + 1, nil
		case c == '\\':
			if n++; n == len(s) || s[n] < ' ' || s[n] > '~' {
				return "", 0, syntax("bad escape in a quoted string")
			}
			b.WriteByte(s[n])
		case c < ' ' || c == 0x7f:
			return "", 0, syntax("control character")
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, syntax("quoted string without end")
}

// checkLocal holds for each local part, however it came.
func checkLocal(local string) error {
	if local == "" {
		return syntax("empty local part")
	}
	if err := checkText(local); err != nil {
		return err
	}
	length := len(local)
	if !isDotString(local) {
		length = len(quote(local))
	}
	if length > MaxLocal {
		return syntax("local part longer than %d octets", MaxLocal)
	}
	return nil
}

// checkText refuses what is not UTF-8 and what a reader would not see. RFC
// 6531 allows any character past ASCII; controls, formatting (the bidirectional
// overrides among it) and unassigned ones only serve to deceive, but for the
// two joiners that some scripts are written with.
func checkText(s string) error {
	if !utf8.ValidString(s) {
		return syntax("not UTF-8")
	}
	for _, r := range s {
		if r != ' ' && !unicode.IsPrint(r) && r != '\u200c' && r != '\u200d' {
			return syntax("character %U", r)
		}
	}
	return nil
}

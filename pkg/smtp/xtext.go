package smtp

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"filbert/pkg/untrusted"
)

// ErrBadXText is the error of the xtext decoders.
var ErrBadXText = errors.New("bad xtext")

const hexUpper = "0123456789ABCDEF"

// EncodeXText writes printable US-ASCII as it is, but for + and =, and every
// other octet as +XX (RFC 3461, section 4).
func EncodeXText(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c < '!' || c > '~' || c == '+' || c == '=' {
			b.WriteByte('+')
			b.WriteByte(hexUpper[c>>4])
			b.WriteByte(hexUpper[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// DecodeXText reads xtext. What comes out must be printable US-ASCII (RFC
// 3461, sections 4.2 and 4.4): a NUL or a line end that was hidden in hex
// digits would otherwise meet a reader who thinks that it was checked.
func DecodeXText(s string) (untrusted.Text, error) {
	text, err := xtextOctets(s)
	if err != nil || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return untrusted.Text{}, ErrBadXText
	}
	return untrusted.From(text), nil
}

// decodeUTF8XText reads xtext whose octets are UTF-8, and tells whether any
// stands for more than US-ASCII. Nothing allows this, but Postfix writes it for
// an internationalized address; to refuse it is to refuse the message.
func decodeUTF8XText(s string) (t untrusted.Text, international bool, err error) {
	text, err := xtextOctets(s)
	if err != nil || !utf8.ValidString(text) {
		return untrusted.Text{}, false, ErrBadXText
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return untrusted.Text{}, false, ErrBadXText
		}
		international = international || r > '~'
	}
	return untrusted.From(text), international, nil
}

// xtextOctets are the octets that xtext stands for, whatever they are.
func xtextOctets(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '+' {
			if i+2 >= len(s) {
				return "", ErrBadXText
			}
			hi, lo := strings.IndexByte(hexUpper, s[i+1]), strings.IndexByte(hexUpper, s[i+2])
			if hi < 0 || lo < 0 {
				return "", ErrBadXText
			}
			c = byte(hi<<4 | lo)
			i += 2
		} else if c < '!' || c > '~' || c == '=' {
			return "", ErrBadXText
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// EncodeUnitext writes an address for an ORCPT of type utf-8 in US-ASCII (RFC
// 6533, section 3: utf-8-addr-xtext).
func EncodeUnitext(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < '!' || r > '~' || r == '+' || r == '=' || r == '\\' {
			b.WriteString(`\x{` + strings.ToUpper(strconv.FormatInt(int64(r), 16)) + `}`)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// decodeUnitext reads utf-8-addr-xtext and utf-8-addr-unitext of RFC 6533,
// section 3. What comes out must be printable.
func decodeUnitext(s string) (untrusted.Text, error) {
	bad := func() (untrusted.Text, error) { return untrusted.Text{}, ErrBadXText }
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1, r <= ' ', r == '+', r == '=':
			return bad()
		case r == '\\':
			hex, after, ok := strings.Cut(s, "}")
			hex, tagged := strings.CutPrefix(hex, `\x{`)
			if !ok || !tagged || len(hex) < 2 || len(hex) > 6 || strings.Trim(hex, hexUpper) != "" {
				return bad()
			}
			n, err := strconv.ParseUint(hex, 16, 32)
			if err != nil || !utf8.ValidRune(rune(n)) {
				return bad()
			}
			r, size = rune(n), len(s)-len(after)
		}
		if !unicode.IsPrint(r) {
			return bad()
		}
		b.WriteRune(r)
		s = s[size:]
	}
	return untrusted.From(b.String()), nil
}

package untrusted

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of the conversions. They are ours: long enough for anything an
// honest peer says, short enough that a hostile one cannot fill a disk or hide
// a line among others.
const (
	MaxLogRunes      = 256  // ForLog, before escaping
	MaxTerminalRunes = 1024 // ForTerminal, before escaping
	MaxReply         = 200  // ForReply: leaves room in the 512 octets of RFC 5321, section 4.5.3.1.5
	MaxHeader        = 900  // ForHeader: below the 998 octets of RFC 5322, section 2.1.1
	MaxReport        = 4096 // ForReport
	MaxPath          = 255  // ForPath: NAME_MAX of Linux file systems
	MaxArg           = 4096 // ForArg
)

// ForLog makes one word of a one-line log record: what is not printable, and
// what changes the direction or is invisible, is escaped; a text with a space,
// `=` or a quote in it, or an empty one, stands in double quotes. Past
// MaxLogRunes it ends in `...`.
func (t Text) ForLog() string {
	body, cut := escape(t.s, MaxLogRunes)
	quote := t.s == "" || strings.ContainsAny(body, " =\"")
	if quote {
		body = `"` + strings.ReplaceAll(body, `"`, `\"`) + `"`
	}
	if cut {
		body += "..."
	}
	return body
}

// ForTerminal makes one line that a person's terminal shows and does not obey:
// escaped like ForLog where it must be, never quoted.
func (t Text) ForTerminal() string {
	body, cut := escape(t.s, MaxTerminalRunes)
	if !cut && body == strings.ReplaceAll(t.s, `\`, `\\`) {
		return t.s // nothing to escape: a backslash is one, however often this is done
	}
	if cut {
		body += "..."
	}
	return body
}

// ForReply makes text for one line of an SMTP reply: printable US-ASCII, other
// characters as `?` (RFC 5321, section 4.2.1: textstring).
func (t Text) ForReply() string {
	var b strings.Builder
	for _, r := range t.s {
		if b.Len() == MaxReply {
			break
		}
		if r < ' ' || r > '~' {
			r = '?'
		}
		b.WriteByte(byte(r))
	}
	return b.String()
}

// ForHeader makes text for the value of a header field: valid UTF-8 on one
// line. Line ends and tabs become spaces, other controls `?`. The caller folds
// it, and decides whether it stands in a comment or in quotes.
func (t Text) ForHeader() string {
	var b strings.Builder
	for _, r := range t.s {
		switch {
		case r == '\r' || r == '\n' || r == '\t' || r == '\u2028' || r == '\u2029':
			r = ' '
		case unicode.IsControl(r):
			r = '?'
		}
		if b.Len()+utf8.RuneLen(r) > MaxHeader {
			break
		}
		b.WriteRune(r) // an invalid byte has come as U+FFFD
	}
	return b.String()
}

// ForReport makes plain text of several lines for a delivery report: lines end
// in LF; controls and invisible or direction-changing characters are removed.
func (t Text) ForReport() string {
	var b strings.Builder
	for _, r := range t.s {
		if r == '\t' {
			r = ' '
		}
		if r != '\n' && hidden(r) {
			continue
		}
		if b.Len()+utf8.RuneLen(r) > MaxReport {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// ForPath makes exactly one component of a path, or refuses: it never alters
// the name, because an altered name can be another file's.
func (t Text) ForPath() (string, error) {
	switch {
	case t.s == "", t.s == ".", t.s == "..":
		return "", fmt.Errorf("use as a file name: %w: empty, . or ..", ErrUnsafe)
	case len(t.s) > MaxPath:
		return "", fmt.Errorf("use as a file name: %w: longer than %d bytes", ErrUnsafe, MaxPath)
	case !utf8.ValidString(t.s):
		return "", fmt.Errorf("use as a file name: %w: not UTF-8", ErrUnsafe)
	}
	for _, r := range t.s {
		if r == '/' || unicode.IsControl(r) {
			return "", fmt.Errorf("use as a file name: %w: character %U", ErrUnsafe, r)
		}
	}
	return t.s, nil
}

// ForArg makes one element of an argument vector, or refuses. A leading hyphen
// is refused because the program that is run would take it for an option.
func (t Text) ForArg() (string, error) {
	switch {
	case len(t.s) > MaxArg:
		return "", fmt.Errorf("use as an argument: %w: longer than %d bytes", ErrUnsafe, MaxArg)
	case strings.HasPrefix(t.s, "-"):
		return "", fmt.Errorf("use as an argument: %w: leading hyphen", ErrUnsafe)
	case strings.IndexByte(t.s, 0) >= 0:
		return "", fmt.Errorf("use as an argument: %w: NUL", ErrUnsafe)
	}
	return t.s, nil
}

// escape writes at most limit runes of s with what is hidden, invalid or a
// backslash as an escape sequence, so that two texts never look the same.
func escape(s string, limit int) (out string, cut bool) {
	var b strings.Builder
	for n := 0; len(s) > 0; n++ {
		if n == limit {
			return b.String(), true
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case !hidden(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		s = s[size:]
	}
	return b.String(), false
}

// hidden says of a character that a reader would not see it as what it is:
// controls, every space but U+0020, the format class (bidirectional overrides,
// zero-width joiners), unassigned code points, and letters that show nothing.
func hidden(r rune) bool {
	return !unicode.IsPrint(r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

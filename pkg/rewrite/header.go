package rewrite

import (
	"errors"
	"fmt"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
)

// ErrTooBig is wrapped by the error of Header for a header that has grown too much.
var ErrTooBig = errors.New("rewritten header too big")

// Header rewrites the addresses in the header h of text, field by field. The
// result is text itself where nothing changes, else a copy of it in which only
// the changed addresses differ; it is refused when its header would be longer
// than limit, and, for now, where a lookup can't be asked (ErrUnanswered).
func (s Set) Header(h message.Header, text []byte, limit int, note func(Step)) ([]byte, error) {
	e := editor{text: text}
	for _, f := range h.Fields {
		source := s.fieldOf(h, f)
		if source == "" {
			continue
		}
		if err := s.field(&e, h, f, source, note); err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		if e.grown(h.End) > limit {
			return nil, fmt.Errorf("%w: more than %d octets", ErrTooBig, limit)
		}
	}
	return e.result(), nil
}

// fieldOf is the source that a field is, "" if no rule is for it.
func (s Set) fieldOf(h message.Header, f message.Field) string {
	for _, name := range s.fields {
		if h.Is(f, name) {
			return name
		}
	}
	return ""
}

// field rewrites one field. One that cannot be read as a list of addresses is
// left alone: half of a list is no list.
func (s Set) field(e *editor, h message.Header, f message.Field, source string, note func(Step)) error {
	entries, err := mailaddr.ParseList(h.RawValue(f))
	if err != nil {
		if note != nil {
			note(Step{Source: source, Verdict: Unread, Why: reason(err)})
		}
		return nil
	}
	for _, entry := range entries {
		made, err := s.Apply(source, entry.Address, note)
		if err != nil {
			return err
		}
		if made == entry.Address {
			continue
		}
		from, to := f.ValueStart+entry.Start, f.ValueStart+entry.End
		e.replace(from, to, written(made, e.text[from:to]))
	}
	return nil
}

// written is a new address as it stands in the place of an old one: with the
// comments that stood in the middle of that, and with A-labels unless there
// was something beyond ASCII already, as not every server takes such a header
// (RFC 6532).
func written(a mailaddr.Address, old []byte) string {
	text := a.String()
	if ascii(old) && ascii([]byte(a.Local())) {
		if domain, err := a.ASCIIDomain(); err == nil {
			text = strings.TrimSuffix(text, a.Domain()) + domain
		}
	}
	return text + comments(old)
}

// comments are those within an addr-spec, each behind a space (RFC 5322,
// section 3.2.2). ParseList has read them, so they are well formed.
func comments(old []byte) string {
	var out strings.Builder
	depth, start, quotes := 0, 0, false
	for i := 0; i < len(old); i++ {
		switch c := old[i]; {
		case c == '\\':
			i++
		case depth == 0 && c == '"':
			quotes = !quotes
		case !quotes && c == '(':
			if depth == 0 {
				start = i
			}
			depth++
		case depth > 0 && c == ')':
			if depth--; depth == 0 {
				out.WriteByte(' ')
				out.Write(old[start : i+1])
			}
		}
	}
	return out.String()
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// editor replaces pieces of a text from the front to the back.
type editor struct {
	text []byte
	out  []byte
	done int // octets of text that are in out
}

func (e *editor) replace(from, to int, with string) {
	if e.out == nil {
		e.out = make([]byte, 0, len(e.text)+256)
	}
	e.out = append(e.out, e.text[e.done:from]...)
	e.out = append(e.out, with...)
	e.done = to
}

// grown is the length that the first end octets have come to.
func (e *editor) grown(end int) int { return len(e.out) + end - e.done }

func (e *editor) result() []byte {
	if e.out == nil {
		return e.text
	}
	return append(e.out, e.text[e.done:]...)
}

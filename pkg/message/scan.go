package message

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"filbert/pkg/untrusted"
)

// ErrHeaderTooBig is wrapped by the errors of Scan.
var ErrHeaderTooBig = errors.New("message header too big")

// Limits bounds a header.
type Limits struct {
	Fields int // fields and other lines
	Octets int // all of the header, the empty line not counted
}

// DefaultLimits is far above what honest messages have (a few dozen fields,
// some 20 KiB) and far below what would hurt.
func DefaultLimits() Limits { return Limits{Fields: 2000, Octets: 512 << 10} }

// Kind says what a piece of the header is.
type Kind uint8

// The kinds. Lines that are no fields are kept where they stand, as other
// programs differ on what they mean, and dropping them would break signatures.
const (
	KindField    Kind = iota // name, colon, value, perhaps folded
	KindJunk                 // a line that is neither field nor continuation
	KindMboxFrom             // a first line that begins with "From " or ">From "
)

// Field is a piece of the header, by its place in the text that was scanned.
type Field struct {
	Kind       Kind
	Start, End int // all of it, with continuation lines and the last CRLF
	NameEnd    int // the name is from Start to here; Start where there is none
	ValueStart int // the value is from here (after the colon) to End
}

// Header is a scanned header. It refers to the text it was made of.
type Header struct {
	text   []byte
	Fields []Field
	End    int // where the fields end
	Body   int // where the body begins: after the empty line, or End without one
}

// Scan finds the header at the front of b, which is CRLF text: lines up to the
// first empty one, or all of b when there is none. A CR or LF alone is a
// character like others. The time is linear in the size of the header.
func Scan(b []byte, lim Limits) (Header, error) {
	h := Header{text: b}
	for h.End < len(b) {
		end, next := lineAt(b, h.End)
		if end == h.End {
			h.Body = next
			return h, nil
		}
		if next > lim.Octets {
			return Header{}, fmt.Errorf("%w: more than %d octets", ErrHeaderTooBig, lim.Octets)
		}
		if n := len(h.Fields); n > 0 && isWSP(b[h.End]) && h.Fields[n-1].Kind == KindField {
			h.Fields[n-1].End = next
		} else if n == lim.Fields {
			return Header{}, fmt.Errorf("%w: more than %d fields", ErrHeaderTooBig, lim.Fields)
		} else {
			h.Fields = append(h.Fields, classify(b, h.End, end, next))
		}
		h.End = next
	}
	h.Body = h.End
	return h, nil
}

// lineAt finds the end of the line that begins at start, and of its CRLF.
func lineAt(b []byte, start int) (end, next int) {
	n := bytes.Index(b[start:], []byte("\r\n"))
	if n < 0 {
		return len(b), len(b)
	}
	return start + n, start + n + 2
}

// classify looks at a line that is not empty and continues nothing. White
// space between name and colon is obsolete syntax (RFC 5322, section 4.5.8).
func classify(b []byte, start, end, next int) Field {
	f := Field{Kind: KindJunk, Start: start, End: next, NameEnd: start, ValueStart: start}
	line := b[start:end]
	if start == 0 && (bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From "))) {
		f.Kind = KindMboxFrom
		return f
	}
	n := 0
	for n < len(line) && isFtext(line[n]) {
		n++
	}
	colon := n
	for colon < len(line) && isWSP(line[colon]) {
		colon++
	}
	if n == 0 || colon == len(line) || line[colon] != ':' {
		return f
	}
	f.Kind, f.NameEnd, f.ValueStart = KindField, start+n, start+colon+1
	return f
}

// isFtext is RFC 5322, section 3.6.8.
func isFtext(c byte) bool { return '!' <= c && c <= '~' && c != ':' }

func isWSP(c byte) bool { return c == ' ' || c == '\t' }

// Name is the name of a field as it is written; "" for other kinds.
func (h Header) Name(f Field) untrusted.Text {
	return untrusted.FromBytes(h.text[f.Start:f.NameEnd])
}

// Is reports whether the field has that name, in any case.
func (h Header) Is(f Field, name string) bool {
	return f.Kind == KindField && f.NameEnd-f.Start == len(name) &&
		strings.EqualFold(string(h.text[f.Start:f.NameEnd]), name)
}

// Raw is all of the field, as it stands.
func (h Header) Raw(f Field) []byte { return h.text[f.Start:f.End:f.End] }

// RawValue is the value as it stands, folded, with its last CRLF. Offsets that
// mailaddr.ParseList gives count from f.ValueStart.
func (h Header) RawValue(f Field) untrusted.Text {
	return untrusted.FromBytes(h.text[f.ValueStart:f.End])
}

// Value is the value unfolded (RFC 5322, section 2.2.3) and without white
// space around it.
func (h Header) Value(f Field) untrusted.Text {
	v := bytes.ReplaceAll(h.text[f.ValueStart:f.End], []byte("\r\n"), nil)
	return untrusted.FromBytes(bytes.Trim(v, " \t"))
}

// First is the first field of that name.
func (h Header) First(name string) (f Field, found bool) {
	for _, f := range h.Fields {
		if h.Is(f, name) {
			return f, true
		}
	}
	return Field{}, false
}

// All is every field of that name, in order.
func (h Header) All(name string) []Field {
	var all []Field
	for _, f := range h.Fields {
		if h.Is(f, name) {
			all = append(all, f)
		}
	}
	return all
}

// HasField reports whether there is a field of that name.
func (h Header) HasField(name string) bool {
	_, found := h.First(name)
	return found
}

// Count is the number of fields of that name.
func (h Header) Count(name string) int { return len(h.All(name)) }

// CountReceived is the number of Received fields, by which a loop is known
// (RFC 5321, section 6.3).
func (h Header) CountReceived() int { return h.Count("Received") }

// EndAtJunk is the header as programs see it that let the body begin at the
// first line that is no field: there the caller has to put the empty line.
// Text that a program mails without any header looks like this. An mbox line
// in front is not junk.
func (h Header) EndAtJunk() Header {
	for i, f := range h.Fields {
		if f.Kind == KindJunk {
			h.Fields = h.Fields[:i:i]
			h.End, h.Body = f.Start, f.Start
			break
		}
	}
	return h
}

// RemoveFields is the text of the header, from its beginning to End, without
// the fields of these names. All other octets stay as they are.
func (h Header) RemoveFields(names ...string) []byte {
	return h.RemoveFunc(func(f Field) bool {
		for _, name := range names {
			if h.Is(f, name) {
				return true
			}
		}
		return false
	})
}

// RemoveFunc is the text of the header without the pieces that drop chooses.
func (h Header) RemoveFunc(drop func(Field) bool) []byte {
	out := make([]byte, 0, h.End)
	for _, f := range h.Fields {
		if !drop(f) {
			out = append(out, h.text[f.Start:f.End]...)
		}
	}
	return out
}

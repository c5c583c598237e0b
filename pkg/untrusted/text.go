package untrusted

import (
	"errors"
	"fmt"
)

// ErrUnsafe is wrapped by the errors of the conversions that refuse.
var ErrUnsafe = errors.New("unsafe text")

// Text is text from outside. The zero value is empty. Two Texts are equal with
// == when their bytes are.
type Text struct{ s string }

// From marks s as untrusted.
func From(s string) Text { return Text{s} }

// FromBytes copies b and marks it as untrusted.
func FromBytes(b []byte) Text { return Text{string(b)} }

// FromWire takes what ForWire gave, in another process of the suite.
func FromWire(s string) Text { return Text{s} }

// ForWire is the text unchanged, for an encoder that counts lengths (pkg/wire)
// and for parsers that check every byte. It is fit for nothing else.
func (t Text) ForWire() string { return t.s }

// Len is the length in bytes.
func (t Text) Len() int { return len(t.s) }

// IsEmpty reports whether there is no text.
func (t Text) IsEmpty() bool { return t.s == "" }

// Equal compares with a text of our own, byte by byte.
func (t Text) Equal(s string) bool { return t.s == s }

// Clip is the text's first n bytes, or all of it.
func (t Text) Clip(n int) Text { return Text{t.s[:min(max(n, 0), len(t.s))]} }

// Plus is the text with more behind it, untrusted as a whole.
func (t Text) Plus(more string) Text { return Text{t.s + more} }

// Format makes every verb of fmt print the length instead of the text, so that
// an error or a debugging line with %v in it is not a way out.
func (t Text) Format(f fmt.State, _ rune) {
	// An error of a formatting sink has nowhere to go; fmt ignores it as well.
	_, _ = fmt.Fprintf(f, "untrusted(%d bytes)", len(t.s))
}

package proto

import "filbert/pkg/wire"

// Content is a message's text (header, empty line, body; CRLF lines) on its
// way between programs. Small content is Inline. Otherwise the frame carries
// one read-only descriptor in whose file the content is the Size bytes at
// Offset.
type Content struct {
	Inline []byte // nil: in the descriptor
	Offset int64
	Size   int64
}

// InFile tells whether a descriptor comes with the frame.
func (c *Content) InFile() bool { return c.Inline == nil }

// EncodeTo appends the content's description.
func (c *Content) EncodeTo(e *wire.Encoder) {
	e.Bool(c.Inline != nil)
	if c.Inline != nil {
		e.Bytes(c.Inline)
		return
	}
	e.I64(c.Offset)
	e.I64(c.Size)
}

// DecodeFrom reads it. Inline aliases the decoder's input.
func (c *Content) DecodeFrom(d *wire.Decoder) {
	if d.Bool() {
		c.Inline = d.Bytes(MaxFrame)
		if c.Inline == nil {
			c.Inline = []byte{}
		}
		c.Size = int64(len(c.Inline))
		return
	}
	c.Offset, c.Size = d.I64(), d.I64()
	if c.Offset < 0 || c.Size < 0 {
		d.Fail("content at %d, %d bytes", c.Offset, c.Size)
	}
}

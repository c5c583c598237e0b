package message

import "encoding/binary"

// CheckContent looks at content that goes by, in pieces of any size, and tells
// afterwards what it has. The zero value is ready. It is an io.Writer that
// never fails.
type CheckContent struct {
	size     int64
	line     int64 // octets of the present line, without a CR that is held back
	longest  int64
	cr       bool // the last octet was a CR
	bareCR   bool
	bareLF   bool
	nul      bool
	eightBit bool
	open     bool // the last line has no CRLF yet
}

// Write looks at the next piece.
func (c *CheckContent) Write(p []byte) (int, error) {
	for i := 0; i < len(p); i++ {
		if n := ordinary(p[i:]); n > 0 && !c.cr {
			c.line += int64(n)
			c.open = true
			i += n - 1
			continue
		}
		c.octet(p[i])
	}
	c.size += int64(len(p))
	return len(p), nil
}

// ordinary is the length of a run of octets at the start of p that are printable
// US-ASCII or nearly so: a multiple of 8, and not always all there are. Eight at a
// time, because every message passes here, and is mostly such runs.
func ordinary(p []byte) (n int) {
	const (
		lowest = 0x0e0e0e0e0e0e0e0e // above CR, LF and NUL
		high   = 0x8080808080808080
	)
	for ; n+8 <= len(p); n += 8 {
		x := binary.LittleEndian.Uint64(p[n:])
		// An octet under lowest borrows, and so sets a high bit.
		if (x|(x-lowest))&high != 0 {
			break
		}
	}
	return n
}

func (c *CheckContent) octet(b byte) {
	if b == '\n' && c.cr {
		c.longest = max(c.longest, c.line)
		c.line, c.cr, c.open = 0, false, false
		return
	}
	if c.cr {
		c.bareCR = true
		c.line++
	}
	c.open = true
	c.cr = b == '\r'
	if c.cr {
		return
	}
	c.line++
	switch {
	case b == '\n':
		c.bareLF = true
	case b == 0:
		c.nul = true
	case b >= 0x80:
		c.eightBit = true
	}
}

// Size is the number of octets seen.
func (c *CheckContent) Size() int64 { return c.size }

// BareCR reports whether there is a CR without LF, the last octet included.
func (c *CheckContent) BareCR() bool { return c.bareCR || c.cr }

// BareLF reports whether there is an LF without CR.
func (c *CheckContent) BareLF() bool { return c.bareLF }

// NUL reports whether there is a zero octet.
func (c *CheckContent) NUL() bool { return c.nul }

// EightBit reports whether there is an octet past US-ASCII.
func (c *CheckContent) EightBit() bool { return c.eightBit }

// LongestLine is the length of the longest line without its CRLF (RFC 5322,
// section 2.1.1 allows 998). A bare CR or LF ends no line.
func (c *CheckContent) LongestLine() int64 { return max(c.longest, c.line) }

// EndsInLine reports whether the last line is ended by CRLF, or there is none.
func (c *CheckContent) EndsInLine() bool { return !c.open }

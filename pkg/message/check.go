package message

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
	for _, b := range p {
		c.octet(b)
	}
	c.size += int64(len(p))
	return len(p), nil
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

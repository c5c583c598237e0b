package message

// DotMode says what a line of one dot means to NormalizeLocal.
type DotMode uint8

// The modes.
const (
	KeepDot DotMode = iota // a line like others (sendmail -i)
	DotEnds                // the end of the message (sendmail without -i)
)

// NormalizeLocal makes CRLF text of what a local program writes, in pieces of
// any size. The zero value is ready and keeps dots.
//
// The rule: a line end is an LF; or one or more CRs, and the LF after them if
// there is one. So LF, CRLF and CR CR LF (which programs write that convert
// twice) each end one line, and a CR alone does too. A last line without an
// end gets one. All other octets pass.
//
// Invariant: the result has no bare CR or LF, whatever comes in and however it
// is split, and applying the rule to the result changes nothing.
type NormalizeLocal struct {
	mode  DotMode
	mid   bool // the last octet written was not the end of a line
	cr    bool // in a run of CRs, whose line end has been written
	dot   bool // a dot at the start of a line is held back
	ended bool // by a dot
}

// NewNormalizeLocal is for a mode other than the zero value's.
func NewNormalizeLocal(mode DotMode) *NormalizeLocal { return &NormalizeLocal{mode: mode} }

// Ended reports whether a line of one dot has ended the message; what comes
// after is ignored.
func (n *NormalizeLocal) Ended() bool { return n.ended }

// Append appends the next piece, normalised, to dst.
func (n *NormalizeLocal) Append(dst, src []byte) []byte {
	for _, c := range src {
		if n.ended {
			return dst
		}
		dst = n.octet(dst, c)
	}
	return dst
}

func (n *NormalizeLocal) octet(dst []byte, c byte) []byte {
	afterCR := n.cr
	n.cr = c == '\r'
	switch {
	case afterCR && (c == '\r' || c == '\n'):
		return dst // of the line end that is written already
	case c == '\r' || c == '\n':
		if n.dot {
			n.ended = true
			return dst
		}
		n.mid = false
		return append(dst, '\r', '\n')
	case c == '.' && !n.mid && !n.dot && n.mode == DotEnds:
		n.dot = true
		return dst
	}
	if n.dot {
		n.dot = false
		dst = append(dst, '.')
	}
	n.mid = true
	return append(dst, c)
}

// Finish appends the line end that the last line may lack. A dot alone on a
// last line without end counts as the end too.
func (n *NormalizeLocal) Finish(dst []byte) []byte {
	if n.mid {
		n.mid = false
		dst = append(dst, '\r', '\n')
	}
	return dst
}

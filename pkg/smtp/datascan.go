package smtp

import "errors"

// ErrDataEnded is the error of feeding a DataScanner past its end.
var ErrDataEnded = errors.New("content has ended")

// DataMode says what a DataScanner does with a bare CR or LF.
type DataMode uint8

// The modes. In both, BareCR and BareLF tell afterwards.
const (
	KeepLineEnds      DataMode = iota // pass them on; the caller refuses the message
	NormalizeLineEnds                 // make CRLF of each; they still end nothing
)

// DataScanner takes the content of a message out of what follows DATA (RFC
// 5321, sections 4.1.1.4 and 4.5.2): it finds the end, and removes the dots
// that the client has put before dots.
//
// Invariant: only CR LF . CR LF, as it came over the wire (the CRLF of the
// DATA command counts as the first), ends the content; a line end that was
// made by NormalizeLineEnds is never part of that mark. Else somebody who can
// write a message could end it for us, and not for the server that relayed it
// (SMTP smuggling). The result does not depend on how the input is split.
type DataScanner struct {
	mode   DataMode
	state  dataState
	bareCR bool
	bareLF bool
	nul    bool
}

type dataState uint8

const (
	atLineStart dataState = iota // after a true CRLF
	inLine                       // anywhere else
	afterCR                      // a CR is held back: CRLF or bare?
	afterDot                     // CRLF . : the dot is held back
	afterDotCR                   // CRLF . CR : both are held back
	ended
)

// NewDataScanner begins right after the CRLF of the DATA command.
func NewDataScanner(mode DataMode) *DataScanner { return &DataScanner{mode: mode} }

// BareCR reports whether a CR without LF has been seen.
func (s *DataScanner) BareCR() bool { return s.bareCR }

// BareLF reports whether an LF without CR has been seen.
func (s *DataScanner) BareLF() bool { return s.bareLF }

// NUL reports whether a zero octet has been seen; it is passed on.
func (s *DataScanner) NUL() bool { return s.nul }

// Feed appends to dst the content found in src, and says how many octets of
// src it took: all of them, or up to the end of the content, when done is true
// and the rest belongs to the next command.
func (s *DataScanner) Feed(dst, src []byte) (out []byte, consumed int, done bool, err error) {
	if s.state == ended {
		return dst, 0, true, ErrDataEnded
	}
	for i := 0; i < len(src); i++ {
		c := src[i]
		switch s.state {
		case inLine:
			// The common case: a run of ordinary octets goes over at once.
			if n := plainRun(src[i:]); n > 0 {
				dst = append(dst, src[i:i+n]...)
				i += n - 1
				continue
			}
			dst = s.text(dst, c)
		case atLineStart:
			if c == '.' {
				s.state = afterDot
				continue
			}
			dst = s.text(dst, c)
		case afterCR:
			if c == '\n' {
				dst = append(dst, '\r', '\n')
				s.state = atLineStart
				continue
			}
			dst = s.text(s.lineEnd(dst, '\r'), c)
		case afterDot:
			if c == '\r' {
				s.state = afterDotCR
				continue
			}
			dst = s.text(dst, c)
		case afterDotCR:
			if c == '\n' {
				s.state = ended
				return dst, i + 1, true, nil
			}
			dst = s.text(s.lineEnd(dst, '\r'), c)
		case ended:
		}
	}
	return dst, len(src), false, nil
}

// text takes one octet that is not special to the state it is met in.
func (s *DataScanner) text(dst []byte, c byte) []byte {
	s.state = inLine
	switch c {
	case '\r':
		s.state = afterCR
		return dst
	case '\n':
		return s.lineEnd(dst, c)
	case 0:
		s.nul = true
	}
	return append(dst, c)
}

// lineEnd takes a bare CR or LF. What follows is not at the start of a line as
// far as the end mark and dot-stuffing go.
func (s *DataScanner) lineEnd(dst []byte, c byte) []byte {
	if c == '\r' {
		s.bareCR = true
	} else {
		s.bareLF = true
	}
	if s.mode == NormalizeLineEnds {
		return append(dst, '\r', '\n')
	}
	return append(dst, c)
}

func plainRun(b []byte) int {
	for i, c := range b {
		if c == '\r' || c == '\n' || c == 0 {
			return i
		}
	}
	return len(b)
}

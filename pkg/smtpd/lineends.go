package smtpd

import (
	"bytes"

	"filbert/pkg/smtp"
)

// lineEnds checks the line ends of content that came by BDAT, which has no end
// mark and no dots. The zero value is at the beginning. The result does not
// depend on how the content is split into chunks or reads.
type lineEnds struct {
	cr   bool // a CR is held back: CRLF or bare?
	open bool // something has come since the last CRLF
	bare bool // a CR or an LF stood alone
}

// feed appends src to dst. A bare CR or LF is passed on, or made CRLF, as in
// smtp.DataScanner.
func (l *lineEnds) feed(dst, src []byte, mode smtp.DataMode) []byte {
	for len(src) > 0 {
		if l.cr {
			l.cr = false
			if src[0] == '\n' {
				dst = append(dst, '\r', '\n')
				src = src[1:]
				l.open = false
				continue
			}
			dst = l.alone(dst, '\r', mode)
		}
		n := bytes.IndexAny(src, "\r\n")
		if n < 0 {
			l.open = true
			return append(dst, src...)
		}
		l.open = l.open || n > 0
		dst = append(dst, src[:n]...)
		if src[n] == '\r' {
			l.cr, l.open = true, true
		} else {
			dst = l.alone(dst, '\n', mode)
		}
		src = src[n+1:]
	}
	return dst
}

// finish ends the content. A last line without CRLF gets one: no other form
// of message can be passed on by DATA.
func (l *lineEnds) finish(dst []byte, mode smtp.DataMode) []byte {
	if l.cr {
		l.cr = false
		dst = l.alone(dst, '\r', mode)
	}
	if l.open {
		l.open = false
		dst = append(dst, '\r', '\n')
	}
	return dst
}

func (l *lineEnds) alone(dst []byte, c byte, mode smtp.DataMode) []byte {
	l.bare = true
	if mode == smtp.NormalizeLineEnds {
		l.open = false
		return append(dst, '\r', '\n')
	}
	l.open = true
	return append(dst, c)
}

package smtp

import "strconv"

// Reply is what a server answers: a code, an enhanced status (zero where RFC
// 2034, section 4, wants none: the greeting, HELO, EHLO and 3xx), and lines of text.
type Reply struct {
	Code   int
	Status Status
	Lines  []string
}

// NewReply makes a reply.
func NewReply(code int, status Status, lines ...string) *Reply {
	return &Reply{Code: code, Status: status, Lines: lines}
}

// Permanent reports whether the code is 5yz.
func (r Reply) Permanent() bool { return r.Code/100 == 5 }

// Temporary reports whether the code is 4yz.
func (r Reply) Temporary() bool { return r.Code/100 == 4 }

// Success reports whether the code is 2yz.
func (r Reply) Success() bool { return r.Code/100 == 2 }

// Bytes is the reply as it goes over the wire.
func (r Reply) Bytes() []byte { return r.AppendTo(nil) }

// AppendTo appends the reply as it goes over the wire: one line for each of
// Lines, or for each part of one that would be longer than MaxReplyLine, the
// enhanced status on every line (RFC 2034, section 4), at least one line.
// Whatever is not printable US-ASCII goes out as `?`, so that no text can make
// a line of its own.
func (r Reply) AppendTo(dst []byte) []byte {
	prefix := len("250-")
	status := r.Status.String()
	if status != "" {
		status += " "
	}
	room := MaxReplyLine - prefix - len(status) - len("\r\n")
	lines := r.Lines
	if len(lines) == 0 {
		lines = []string{""}
	}
	for i, line := range lines {
		for first := true; first || line != ""; first = false {
			part := line[:min(room, len(line))]
			line = line[len(part):]
			sep := byte('-')
			if line == "" && i == len(lines)-1 {
				sep = ' '
			}
			dst = strconv.AppendInt(dst, int64(r.Code), 10)
			dst = append(dst, sep)
			dst = append(dst, status...)
			dst = appendPrintable(dst, part)
			dst = append(dst, '\r', '\n')
		}
	}
	return dst
}

func appendPrintable(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c > '~' {
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}

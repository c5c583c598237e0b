package smtp

// StuffDots writes content for DATA (RFC 5321, section 4.5.2): a dot is put
// before each dot that begins a line, and Finish ends the content. The zero
// value is ready.
//
// Invariant: what goes out has no CR without LF and no LF without CR, so that
// a server which takes either for a line end finds no end of data but ours;
// each bare one becomes CRLF, and what follows it counts as a line of its own.
type StuffDots struct {
	mid bool // the last octet written was not the end of a line
	cr  bool // a CR is held back: it may be the first half of a CRLF
}

// Append appends content to dst as it goes over the wire.
func (s *StuffDots) Append(dst, content []byte) []byte {
	for i := 0; i < len(content); i++ {
		c := content[i]
		if s.cr {
			dst = s.endLine(dst)
			if c == '\n' {
				continue
			}
		}
		switch {
		case c == '\r':
			s.cr = true
		case c == '\n':
			dst = s.endLine(dst)
		default:
			if c == '.' && !s.mid {
				dst = append(dst, '.')
			}
			n := lineRun(content[i:])
			dst = append(dst, content[i:i+n]...)
			s.mid = true
			i += n - 1
		}
	}
	return dst
}

// Finish appends the line end that the last line may lack, and the end mark.
func (s *StuffDots) Finish(dst []byte) []byte {
	if s.mid || s.cr {
		dst = s.endLine(dst)
	}
	return append(dst, '.', '\r', '\n')
}

func (s *StuffDots) endLine(dst []byte) []byte {
	s.mid, s.cr = false, false
	return append(dst, '\r', '\n')
}

func lineRun(b []byte) int {
	for i, c := range b {
		if c == '\r' || c == '\n' {
			return i
		}
	}
	return len(b)
}

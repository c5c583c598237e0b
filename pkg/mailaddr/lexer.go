package mailaddr

import "strings"

// The kinds of tokens; a special stands for itself.
const (
	tokenEnd     = 0
	tokenAtom    = 'a'
	tokenQuoted  = 'q'
	tokenLiteral = 'l'
)

type token struct {
	kind       byte
	value      string // unquoted
	start, end int    // where it stands
}

// lexer cuts a structured field value into tokens (RFC 5322, section 3.2), and
// drops the comments and white space between them.
type lexer struct {
	s   string
	pos int
}

// peek is next without moving. The parser asks it once per address, so the
// time stays linear.
func (l *lexer) peek() (token, error) {
	pos := l.pos
	tok, err := l.next()
	l.pos = pos
	return tok, err
}

func (l *lexer) next() (token, error) {
	if err := l.skipCFWS(); err != nil {
		return token{}, err
	}
	start := l.pos
	if start == len(l.s) {
		return token{kind: tokenEnd, start: start, end: start}, nil
	}
	switch c := l.s[start]; {
	case c == '"':
		return l.quoted()
	case c == '[':
		return l.literal()
	case strings.IndexByte("<>@,;:.", c) >= 0:
		l.pos++
		return token{kind: c, value: l.s[start:l.pos], start: start, end: l.pos}, nil
	case isAtext(c):
		for l.pos < len(l.s) && isAtext(l.s[l.pos]) {
			l.pos++
		}
		return token{kind: tokenAtom, value: l.s[start:l.pos], start: start, end: l.pos}, nil
	}
	return token{}, syntax("unexpected character in a list")
}

// skipCFWS skips white space, folding and comments (RFC 5322, section 3.2.2).
// Comments nest; a counter stands in for recursion.
func (l *lexer) skipCFWS() error {
	depth := 0
	for l.pos < len(l.s) {
		c := l.s[l.pos]
		switch {
		case c == ' ' || c == '\t':
		case c == '\r':
			n := l.fold()
			if n == 0 {
				return syntax("line end in a list")
			}
			l.pos += n
			continue
		case c == '(':
			if depth++; depth > maxCommentDepth {
				return syntax("comments nested deeper than %d", maxCommentDepth)
			}
		case depth == 0:
			return nil
		case c == ')':
			depth--
		case c == '\\' && l.pos+1 < len(l.s) && l.s[l.pos+1] >= ' ':
			l.pos++
		case c < ' ' || c == 0x7f:
			return syntax("control character")
		}
		l.pos++
	}
	if depth > 0 {
		return syntax("comment without end")
	}
	return nil
}

// fold is the length of a CRLF that is followed by white space or by the end
// of the field; 0 for all else.
func (l *lexer) fold() int {
	rest := l.s[l.pos:]
	if !strings.HasPrefix(rest, "\r\n") || len(rest) > 2 && rest[2] != ' ' && rest[2] != '\t' {
		return 0
	}
	return 2
}

// quoted reads a quoted string (RFC 5322, section 3.2.4). The CRLF of folding
// in it is no part of its value.
func (l *lexer) quoted() (token, error) {
	start := l.pos
	var b strings.Builder
	for l.pos++; l.pos < len(l.s); l.pos++ {
		switch c := l.s[l.pos]; {
		case c == '"':
			l.pos++
			return token{kind: tokenQuoted, value: b.String(), start: start, end: l.pos}, nil
		case c == '\r' && l.fold() > 0:
			l.pos++ // and the LF by the loop
		case c == '\\' && l.pos+1 < len(l.s) && l.s[l.pos+1] >= ' ' && l.s[l.pos+1] != 0x7f:
			l.pos++
			b.WriteByte(l.s[l.pos])
		case c == '\t':
			b.WriteByte(' ')
		case c < ' ' || c == 0x7f || c == '\\':
			return token{}, syntax("bad character in a quoted string")
		default:
			b.WriteByte(c)
		}
	}
	return token{}, syntax("quoted string without end")
}

// literal reads a domain literal with its brackets; what is in it is checked
// by canonicalDomain.
func (l *lexer) literal() (token, error) {
	start := l.pos
	n := strings.IndexByte(l.s[start:], ']')
	if n < 0 || n > MaxDomain {
		return token{}, syntax("address literal without its bracket")
	}
	l.pos += n + 1
	return token{kind: tokenLiteral, value: l.s[start:l.pos], start: start, end: l.pos}, nil
}

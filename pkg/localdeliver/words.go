package localdeliver

import (
	"errors"
	"strings"
)

// maxWords bounds the arguments of an alias's command.
const maxWords = 256

var errControl = errors.New("a command with a control character")

// splitCommand takes the command of an alias apart: words between blanks,
// single quotes (all is literal), double quotes (a backslash protects a quote or
// a backslash), a backslash outside. That is all: there is no shell, so no
// variable, redirection, pattern or second command. Characters that would mean
// something to a shell are refused unquoted, because who wrote them expects a
// shell and would get silence.
func splitCommand(target string) ([]string, error) {
	s := strings.TrimPrefix(strings.TrimSpace(target), "|")
	var words []string
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" {
			break
		}
		word, rest, err := nextWord(s)
		if err != nil {
			return nil, err
		}
		if words = append(words, word); len(words) > maxWords {
			return nil, errors.New("a command of more than 256 words")
		}
		s = rest
	}
	if len(words) == 0 {
		return nil, errors.New("an empty command")
	}
	return words, nil
}

// nextWord reads one word; s does not begin with a blank.
func nextWord(s string) (word, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", "", errControl
		case c == ' ' || c == '\t':
			return b.String(), s[i:], nil
		case c == '\'' || c == '"':
			n, err := quoted(s[i:], &b)
			if err != nil {
				return "", "", err
			}
			i += n - 1
		case c == '\\':
			if i++; i == len(s) || s[i] < ' ' || s[i] == 0x7f {
				return "", "", errors.New("a command with nothing to protect behind a backslash")
			}
			b.WriteByte(s[i])
		case strings.IndexByte("|&;<>()$`*?[]#~", c) >= 0:
			return "", "", errors.New("a command with an unquoted " + string(rune(c)) +
				": there is no shell to understand it (name one, or quote it)")
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", nil
}

// quoted reads a quoted part, which begins s, into b and returns its length.
func quoted(s string, b *strings.Builder) (int, error) {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == quote:
			return i + 1, nil
		case c < ' ' && c != '\t' || c == 0x7f:
			return 0, errControl
		case c == '\\' && quote == '"' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return 0, errors.New("a command with a quote that is not closed")
}

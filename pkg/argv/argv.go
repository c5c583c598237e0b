// Package argv takes command lines apart without a shell: words between blanks,
// single quotes (all is literal), double quotes (a backslash protects a quote or a
// backslash), a backslash outside. There is no variable, redirection, pattern or
// second command. Characters that would mean something to a shell are refused
// unquoted, because who wrote them expects a shell and would get silence.
//
// It promises an argument vector whose first word is an absolute path, within
// bounds, without control characters; it refuses everything else. The text comes
// from administrators and users (aliases), never from a message.
package argv

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// maxArgs bounds the arguments of a command.
const maxArgs = 256

// shellOnly are the characters that mean something to a shell and nothing here.
const shellOnly = "|&;<>()$`*?[]#~"

// Split takes a command line apart.
func Split(line string) ([]string, error) {
	var args []string
	for rest := line; ; {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" {
			break
		}
		arg, n, err := scanArg(rest)
		if err != nil {
			return nil, err
		}
		if args = append(args, arg); len(args) > maxArgs {
			return nil, fmt.Errorf("command of more than %d words", maxArgs)
		}
		rest = rest[n:]
	}
	switch {
	case len(args) == 0:
		return nil, errors.New("empty command")
	case !path.IsAbs(args[0]):
		return nil, errors.New("command does not begin with the full path of a program")
	}
	return args, nil
}

// scanArg reads one argument, which begins s, and gives the octets it took.
func scanArg(s string) (arg string, n int, err error) {
	var b strings.Builder
	for n < len(s) && s[n] != ' ' && s[n] != '\t' {
		switch c := s[n]; {
		case c == '\'' || c == '"':
			took, err := scanQuotes(s[n:], &b)
			if err != nil {
				return "", 0, err
			}
			n += took
			continue
		case c == '\\':
			if n++; n == len(s) {
				return "", 0, errors.New("command ends in a backslash")
			}
			if s[n] < ' ' || s[n] == 0x7f {
				return "", 0, errors.New("control character in a command")
			}
			b.WriteByte(s[n])
		case c < ' ' || c == 0x7f:
			return "", 0, errors.New("control character in a command")
		case strings.IndexByte(shellOnly, c) >= 0:
			return "", 0, fmt.Errorf("%c in a command means nothing, as there is no shell: put it in quotes, or the command in a script", c)
		default:
			b.WriteByte(c)
		}
		n++
	}
	return b.String(), n, nil
}

// scanQuotes reads a quoted part, which begins s, into b.
func scanQuotes(s string, b *strings.Builder) (n int, err error) {
	quote := s[0]
	for n = 1; n < len(s); n++ {
		c := s[n]
		switch {
		case c == quote:
			return n + 1, nil
		case c < ' ' && c != '\t' || c == 0x7f:
			return 0, errors.New("control character in a command")
		case c == '\\' && quote == '"' && n+1 < len(s) && (s[n+1] == '"' || s[n+1] == '\\'):
			n++
			b.WriteByte(s[n])
		default:
			b.WriteByte(c)
		}
	}
	return 0, errors.New("quote that is not closed in a command")
}

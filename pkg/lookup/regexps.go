package lookup

import (
	"regexp"
	"strings"
)

// Bounds of a file of expressions. Ours.
const (
	MaxRegexps  = 4 << 20 // the file
	maxRegexps  = 10_000  // in it: each key is held against all until one matches
	maxOneRegex = 2000    // octets
)

// Regexps is a file of regular expressions:
//
//	# /expression/                    value
//	/^(.*)-owner@example\.org$/       {1}@example.org
//	/^postmaster@/                    admin
//
// The syntax is RE2, upper and lower case are the same. An expression is found
// anywhere in the key unless ^ and $ hold it; a slash in it is written \/. The
// first line that matches decides. {1} to {9} in the value are what the groups
// matched.
//
// A key is what strangers write, and values are read as lists of recipients,
// commands, paths and hosts. So a line does not match where a group that its value
// uses would bring along a character with a meaning in one of these (active).
type Regexps struct {
	name  string
	lines []regexpLine
}

type regexpLine struct {
	re    *regexp.Regexp
	value string
	line  int
}

// ParseRegexps reads the file. The error is of type *Problems.
func ParseRegexps(name string, data []byte) (*Regexps, error) {
	t := &Regexps{name: name}
	var ps Problems
	eachLine(name, data, &ps, func(n int, line string) {
		if len(t.lines) == maxRegexps {
			ps.Add(name, n, "there are more than %d expressions", maxRegexps)
			return
		}
		l, problem := parseRegexpLine(line)
		if problem != "" {
			ps.Add(name, n, "%s", problem)
			return
		}
		l.line = n
		t.lines = append(t.lines, l)
	})
	return t, ps.Err()
}

func parseRegexpLine(line string) (l regexpLine, problem string) {
	expr, value, problem := cutRegexp(line)
	switch {
	case problem != "":
		return l, problem
	case expr == "":
		return l, "the expression is empty, which would match everything; write /./"
	case len(expr) > maxOneRegex:
		return l, "the expression is too long"
	}
	re, err := regexp.Compile("(?i)" + expr)
	if err != nil {
		return l, strings.Replace(err.Error(), "(?i)", "", 1)
	}
	captures := false
	for i := range value {
		g := captureAt(value, i)
		if captures = captures || g > 0; g > re.NumSubexp() {
			return l, "the value has " + value[i:i+3] + ", but the expression has not so many groups"
		}
	}
	if captures && strings.Contains(value, "|") {
		return l, "the value is a command with a part of the key in it, which a stranger could make an option; a command finds the address in its environment"
	}
	return regexpLine{re: re, value: value}, ""
}

// cutRegexp takes a line apart at the slash that ends the expression.
func cutRegexp(line string) (expr, value, problem string) {
	if line[0] != '/' {
		return "", "", "the line begins with no slash: write /expression/ value"
	}
	for i := 1; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '/':
			rest := line[i+1:]
			if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
				return "", "", `a blank must follow the second slash; a slash within the expression is written \/`
			}
			return line[1:i], strings.TrimLeft(rest, " \t"), ""
		}
	}
	return "", "", "the expression has no second slash"
}

// Find gives the value of the first expression that matches the key.
func (t *Regexps) Find(key string) Answer {
	for i := range t.lines {
		l := &t.lines[i]
		m := l.re.FindStringSubmatchIndex(key)
		if m == nil {
			continue
		}
		value, ok := fill(l.value, key, m)
		if !ok {
			continue
		}
		a := Answer{Found: true, Where: where(t.name, l.line)}
		if value != "" {
			a.Values = []string{value}
		}
		return a
	}
	return Answer{}
}

// active are the characters that may mean something where a value is used: they
// divide recipients, and begin commands, files, comments and quotes.
const active = " \t,;:|/\\\"()<>[]#"

// captureAt is the number of the group whose {1} to {9} stands at a place, 0 for none.
func captureAt(value string, i int) int {
	if i+2 < len(value) && value[i] == '{' && value[i+2] == '}' && '1' <= value[i+1] && value[i+1] <= '9' {
		return int(value[i+1] - '0')
	}
	return 0
}

// fill puts captures into a value. It is read once from left to right, so that
// braces in the text mean nothing. False: a capture may not stand there.
func fill(value, key string, m []int) (string, bool) {
	if !strings.Contains(value, "{") {
		return value, true
	}
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		g := captureAt(value, i)
		if g == 0 {
			b.WriteByte(value[i])
			continue
		}
		if 2*g+1 < len(m) && m[2*g] >= 0 {
			text := key[m[2*g]:m[2*g+1]]
			if strings.ContainsAny(text, active) {
				return "", false
			}
			b.WriteString(text)
		}
		i += 2
	}
	return b.String(), true
}

// Len is the number of expressions.
func (t *Regexps) Len() int { return len(t.lines) }

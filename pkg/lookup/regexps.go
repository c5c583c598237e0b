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
	for i := 0; i+2 < len(value); i++ {
		if value[i] == '{' && value[i+2] == '}' && '1' <= value[i+1] && value[i+1] <= '9' && int(value[i+1]-'0') > re.NumSubexp() {
			return l, "the value has " + value[i:i+3] + ", but the expression has not so many groups"
		}
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
		a := Answer{Found: true, Where: where(t.name, l.line)}
		if l.value != "" {
			a.Values = []string{fill(l.value, key, m)}
		}
		return a
	}
	return Answer{}
}

// fill puts captures into a value. It is read once from left to right, so that
// braces in what was captured mean nothing.
func fill(value, key string, m []int) string {
	if !strings.Contains(value, "{") {
		return value
	}
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] != '{' || i+2 >= len(value) || value[i+2] != '}' || value[i+1] < '1' || value[i+1] > '9' {
			b.WriteByte(value[i])
			continue
		}
		if g := 2 * int(value[i+1]-'0'); g+1 < len(m) && m[g] >= 0 {
			b.WriteString(key[m[g]:m[g+1]])
		}
		i += 2
	}
	return b.String()
}

// Len is the number of expressions.
func (t *Regexps) Len() int { return len(t.lines) }

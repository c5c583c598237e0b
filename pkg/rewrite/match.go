package rewrite

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/pattern"
)

// lookupPrefix marks what is a lookup, in a pattern and in a placeholder.
const lookupPrefix = "lookup:"

// plainName tells whether a text can be the name of a lookup; pkg/pattern takes
// the same.
func plainName(s string) bool {
	if s == "" || len(s) > 100 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// maxCaptures is how many captures a placeholder can name: {1} to {9}.
const maxCaptures = 9

// matcher is a compiled match.
type matcher struct {
	every         bool           // "*"
	lookup        string         // of "lookup:NAME"
	re            *regexp.Regexp // of an expression
	local, domain string         // of a glob or an exact address, in lower case; the domain with A-labels
	captures      int
}

// compileMatch reads a pattern. That it is well formed pkg/pattern says, which
// knows patterns for the whole suite; here is only what captures need.
func compileMatch(text string) (matcher, *Problem) {
	switch {
	case text == "":
		return matcher{}, &Problem{What: "is missing", Hint: `write the addresses that are meant: "*@*.example.org", "user@example.org", "/^([a-z]+)@example\\.org$/"; "*" for all`}
	case strings.HasPrefix(text, lookupPrefix):
		name := text[len(lookupPrefix):]
		if !plainName(name) {
			return matcher{}, &Problem{What: quoted(text) + " names no lookup", Hint: `write "lookup:NAME" for [lookup.NAME]`}
		}
		return matcher{lookup: name}, nil
	case strings.HasPrefix(text, "!"):
		return matcher{}, &Problem{What: quoted(text) + " is an exception, and a rule has one pattern", Hint: `put a rule for the exceptions in front, with then = "stop" and no "to"`}
	case text == "<>":
		return matcher{}, &Problem{What: "the null sender is never rewritten", Hint: "an answer to a report would be a loop"}
	}
	if _, err := pattern.CompileList([]string{text}, pattern.Addresses); err != nil {
		return matcher{}, patternProblem(err)
	}
	switch {
	case text == "*":
		return matcher{every: true}, nil
	case strings.HasPrefix(text, "/"):
		re, err := regexp.Compile("(?i)" + text[1:len(text)-1])
		if err != nil {
			return matcher{}, &Problem{What: err.Error()} // pkg/pattern has compiled it too
		}
		return matcher{re: re, captures: min(re.NumSubexp(), maxCaptures)}, nil
	}
	at := strings.LastIndexByte(text, '@')
	m := matcher{local: strings.ToLower(unquote(text[:at])), domain: asciiGlob(strings.ToLower(text[at+1:]))}
	m.captures = strings.Count(m.local, "*") + strings.Count(m.domain, "*")
	if m.captures > maxCaptures {
		return matcher{}, &Problem{What: fmt.Sprintf("%s has more than %d stars", quoted(text), maxCaptures), Hint: "use a regular expression"}
	}
	return m, nil
}

func patternProblem(err error) *Problem {
	var list pattern.Errors
	if errors.As(err, &list) && len(list) > 0 {
		return &Problem{What: quoted(list[0].Pattern) + " " + list[0].Problem, Hint: list[0].Hint}
	}
	return &Problem{What: err.Error()}
}

// asciiGlob writes the plain end of a glob's domain in the form that DNS knows,
// so that it is the same in whichever form it was written.
func asciiGlob(domain string) string {
	head, name := "", domain
	if rest, ok := strings.CutPrefix(domain, "*."); ok {
		head, name = "*.", rest
	}
	a, err := mailaddr.New("x", name)
	if err != nil || strings.ContainsAny(name, "*?") {
		return domain
	}
	if name, err = a.ASCIIDomain(); err != nil {
		return domain
	}
	return head + strings.ToLower(name)
}

// match gives the captures of an address that matches. Both forms of a domain
// with other letters than ASCII's are tried.
//
// A glob's halves are matched each against theirs, so that an @ within a quoted
// local part is never taken for the one before the domain. What a lookup has is
// not for this function to know.
func (m *matcher) match(a mailaddr.Address) ([]string, bool) {
	if m.every {
		return nil, true
	}
	domains := []string{a.Domain()}
	if ascii, err := a.ASCIIDomain(); err == nil && ascii != a.Domain() {
		domains = append(domains, ascii)
	}
	if m.re != nil {
		for _, domain := range domains {
			if found := m.re.FindStringSubmatch(plain(a.Local(), domain)); found != nil {
				return found[1 : 1+m.captures], true
			}
		}
		return nil, false
	}
	if a.Domain() == "" {
		return nil, false
	}
	head, ok := glob(m.local, a.Local(), nil)
	if !ok {
		return nil, false
	}
	for _, domain := range domains {
		if all, ok := glob(m.domain, domain, head); ok {
			return all, true
		}
	}
	return nil, false
}

// plain is the text that an expression sees: the local part without quotes, as
// they are a matter of writing, and a new address gets those that it needs.
func plain(local, domain string) string {
	if domain == "" {
		return local
	}
	return local + "@" + domain
}

// unquote takes a quoted local part of a setting out of its quotes.
func unquote(local string) string {
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local
	}
	var b strings.Builder
	in := local[1 : len(local)-1]
	for i := 0; i < len(in); i++ {
		if in[i] == '\\' && i+1 < len(in) {
			i++
		}
		b.WriteByte(in[i])
	}
	return b.String()
}

package rewrite

import (
	"fmt"
	"strings"

	"filbert/pkg/mailaddr"
)

// template is a compiled `to`: one half for the local part, one for the domain.
// The halves are filled in apart, so that no captured text can move the @.
type template struct {
	local, domain half
}

// half is text and placeholders; keep means that the old one stays.
type half struct {
	keep  bool
	parts []part
}

// part is text, or the value of a placeholder.
type part struct {
	text    string
	what    placeholder
	capture int // of a capture: 1 to 9
}

type placeholder uint8

const (
	isText placeholder = iota
	isLocal
	isDomain
	isCapture
)

const placeholders = "{local_part} {domain} {1} ... {9}"

// compileTo reads a `to` for a match with that many captures.
func compileTo(text string, captures int) (template, *Problem) {
	at := lastAt(text)
	if at < 0 {
		return template{}, &Problem{What: quoted(text) + " has no @", Hint: `write the whole address, "*@example.org" for another domain alone, or "name@*" for another local part alone`}
	}
	var (
		t   template
		bad *Problem
	)
	if t.local, bad = compileHalf(unquote(text[:at]), captures); bad != nil {
		return t, bad
	}
	if t.domain, bad = compileHalf(text[at+1:], captures); bad != nil {
		return t, bad
	}
	// Whatever the captures will be, the text around them must be fit to stand
	// in an address: a letter is.
	sample := make([]string, captures)
	for i := range sample {
		sample[i] = "x"
	}
	if _, err := t.fill(mailaddr.MustParse("x@x"), sample); err != nil {
		return t, &Problem{What: fmt.Sprintf("%s makes no address: %s", quoted(text), reason(err)), Hint: "write it like user@example.org"}
	}
	return t, nil
}

// lastAt is the last @ that stands outside of braces.
func lastAt(text string) int {
	depth := 0
	for i := len(text) - 1; i >= 0; i-- {
		switch text[i] {
		case '}':
			depth++
		case '{':
			depth = max(depth-1, 0)
		case '@':
			if depth == 0 {
				return i
			}
		}
	}
	return -1
}

func compileHalf(text string, captures int) (half, *Problem) {
	if text == "*" {
		return half{keep: true}, nil
	}
	var h half
	for rest := text; rest != ""; {
		i := strings.IndexAny(rest, "{}*")
		if i < 0 {
			h.parts = append(h.parts, part{text: rest})
			break
		}
		if i > 0 {
			h.parts = append(h.parts, part{text: rest[:i]})
		}
		if rest[i] == '*' {
			return half{}, &Problem{What: quoted(text) + " has a star beside other text", Hint: "what the stars of the pattern stood for is {1}, {2} and so on"}
		}
		end := strings.IndexByte(rest[i:], '}')
		if rest[i] == '}' || end < 0 {
			return half{}, &Problem{What: quoted(text) + " has a brace without its partner", Hint: "placeholders are " + placeholders}
		}
		p, bad := compilePlaceholder(rest[i+1:i+end], captures)
		if bad != nil {
			return half{}, bad
		}
		h.parts = append(h.parts, p)
		rest = rest[i+end+1:]
	}
	return h, nil
}

func compilePlaceholder(name string, captures int) (part, *Problem) {
	switch {
	case name == "local_part":
		return part{what: isLocal}, nil
	case name == "domain":
		return part{what: isDomain}, nil
	case strings.HasPrefix(name, "lookup:"):
		return part{}, &Problem{What: "{" + name + "} is a lookup, which rewriting can't use yet", Hint: "write the address with " + placeholders}
	case len(name) != 1 || name[0] < '1' || name[0] > '9':
		return part{}, &Problem{What: "there is no placeholder {" + name + "} here", Hint: "there are: " + placeholders}
	}
	n := int(name[0] - '0')
	if n > captures {
		return part{}, &Problem{What: fmt.Sprintf("{%d} stands for nothing: the pattern has %s", n, captureCount(captures)), Hint: "each * of a glob and each ( ) of an expression is one, from the left"}
	}
	return part{what: isCapture, capture: n}, nil
}

func captureCount(n int) string {
	switch n {
	case 0:
		return "no captures"
	case 1:
		return "one capture"
	}
	return fmt.Sprintf("%d captures", n)
}

// fill makes the new address. mailaddr.New checks all of it: what a capture
// brings along is as untrusted as the message that it came from.
func (t *template) fill(old mailaddr.Address, captures []string) (mailaddr.Address, error) {
	local, domain := old.Local(), old.Domain()
	if !t.local.keep {
		local = t.local.fill(old, captures)
	}
	if !t.domain.keep {
		if domain = t.domain.fill(old, captures); domain == "" {
			return mailaddr.Address{}, fmt.Errorf("%w: empty domain", mailaddr.ErrSyntax)
		}
	}
	return mailaddr.New(local, domain)
}

func (h *half) fill(old mailaddr.Address, captures []string) string {
	var b strings.Builder
	for _, p := range h.parts {
		switch p.what {
		case isText:
			b.WriteString(p.text)
		case isLocal:
			b.WriteString(old.Local())
		case isDomain:
			b.WriteString(old.Domain())
		case isCapture:
			b.WriteString(captures[p.capture-1])
		}
	}
	return b.String()
}

// reason is the text of a mailaddr error without its "bad address: ".
func reason(err error) string {
	return strings.TrimPrefix(err.Error(), mailaddr.ErrSyntax.Error()+": ")
}

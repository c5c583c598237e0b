package rewrite

import (
	"fmt"
	"slices"
	"strings"

	"filbert/pkg/mailaddr"
)

// template is a compiled `to`: one half for the local part, one for the domain.
// The halves are filled in apart, so that no captured text can move the @. Or it
// is a lookup alone, which has whole addresses.
type template struct {
	local, domain half
	whole         *part
}

// half is text and placeholders; keep means that the old one stays.
type half struct {
	keep  bool
	parts []part
}

// part is text, or the value of a placeholder; with a lookup, what that has for
// the placeholder's value.
type part struct {
	text    string
	what    placeholder
	capture int // of a capture: 1 to 9
	lookup  string
}

type placeholder uint8

const (
	isText placeholder = iota
	isLocal
	isDomain
	isCapture
	isAddress // the key of a lookup only
)

const (
	placeholders = "{local_part} {domain} {1} ... {9} {lookup:NAME:KEY}"
	lookupKeys   = "KEY is 1 to 9, local_part, domain or address"
)

// compileTo reads a `to` for a match with that many captures.
func compileTo(text string, captures int) (template, *Problem) {
	at := lastAt(text)
	if at < 0 {
		return compileWhole(text, captures)
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
	sample := filling{old: mailaddr.MustParse("x@x"), captures: make([]string, captures)}
	for i := range sample.captures {
		sample.captures[i] = "x"
	}
	sample.ask = func(string, string) (string, error) { return "x", nil }
	if _, err := t.fill(sample); err != nil {
		return t, &Problem{What: fmt.Sprintf("%s makes no address: %s", quoted(text), reason(err)), Hint: "write it like user@example.org"}
	}
	return t, nil
}

// compileWhole reads a `to` without an @: one lookup.
func compileWhole(text string, captures int) (template, *Problem) {
	name, ok := strings.CutPrefix(text, "{")
	name, ends := strings.CutSuffix(name, "}")
	if !ok || !ends || !strings.HasPrefix(name, lookupPrefix) || strings.ContainsAny(name, "{}") {
		return template{}, &Problem{What: quoted(text) + " has no @", Hint: `write the whole address, "*@example.org" for another domain alone, or "name@*" for another local part alone`}
	}
	p, bad := compilePlaceholder(name, captures)
	return template{whole: &p}, bad
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
	if body, ok := strings.CutPrefix(name, lookupPrefix); ok {
		return compileLookup(body, captures)
	}
	switch {
	case name == "local_part":
		return part{what: isLocal}, nil
	case name == "domain":
		return part{what: isDomain}, nil
	case len(name) != 1 || name[0] < '1' || name[0] > '9':
		return part{}, &Problem{What: "there is no placeholder {" + name + "} here", Hint: placeholderHint(name)}
	}
	n := int(name[0] - '0')
	if n > captures {
		return part{}, &Problem{What: fmt.Sprintf("{%d} stands for nothing: the pattern has %s", n, captureCount(captures)), Hint: "each * of a glob and each ( ) of an expression is one, from the left"}
	}
	return part{what: isCapture, capture: n}, nil
}

// compileLookup reads NAME:KEY.
func compileLookup(body string, captures int) (part, *Problem) {
	name, key, _ := strings.Cut(body, ":")
	if !plainName(name) || key == "" {
		return part{}, &Problem{What: "{" + lookupPrefix + body + "} names no lookup and key", Hint: "write {lookup:NAME:KEY} for [lookup.NAME]; " + lookupKeys}
	}
	switch {
	case key == "address":
		return part{what: isAddress, lookup: name}, nil
	case key != "local_part" && key != "domain" && (len(key) != 1 || key[0] < '1' || key[0] > '9'):
		return part{}, &Problem{What: quoted(key) + " is no key for lookup " + name, Hint: keyHint(name, key)}
	}
	p, bad := compilePlaceholder(key, captures)
	p.lookup = name
	return p, bad
}

// likely guesses which placeholder was meant, "" if none comes to mind.
func likely(name string) string {
	switch strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(strings.ToLower(name)) {
	case "localpart", "local", "user", "username", "mailbox", "lhs":
		return "local_part"
	case "domain", "domainpart", "host", "hostname", "rhs":
		return "domain"
	case "address", "addr", "email", "recipient", "sender":
		return "address"
	}
	return ""
}

// placeholderHint is for a placeholder that there is not.
func placeholderHint(name string) string {
	hint := "there are: " + placeholders
	switch meant := likely(name); meant {
	case "":
		return hint
	case "address":
		return "did you mean {local_part}@{domain}? " + hint
	default:
		return "did you mean {" + meant + "}? " + hint
	}
}

// keyHint is the same for the key of a lookup.
func keyHint(lookup, name string) string {
	if meant := likely(name); meant != "" {
		return "did you mean {lookup:" + lookup + ":" + meant + "}? " + lookupKeys
	}
	return lookupKeys
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

// filling is what a template is filled in from.
type filling struct {
	old      mailaddr.Address
	captures []string
	ask      func(lookup, key string) (string, error)
}

// fill makes the new address. mailaddr checks all of it: what a capture brings
// along is as untrusted as the message that it came from.
func (t *template) fill(f filling) (mailaddr.Address, error) {
	if t.whole != nil {
		text, err := f.ask(t.whole.lookup, t.whole.key(f))
		if err != nil {
			return mailaddr.Address{}, err
		}
		return addressValue(text)
	}
	local, domain := f.old.Local(), f.old.Domain()
	var err error
	if !t.local.keep {
		if local, err = t.local.fill(f, localValue); err != nil {
			return mailaddr.Address{}, err
		}
	}
	if !t.domain.keep {
		if domain, err = t.domain.fill(f, domainValue); err != nil {
			return mailaddr.Address{}, err
		}
		if domain == "" {
			return mailaddr.Address{}, fmt.Errorf("%w: empty domain", mailaddr.ErrSyntax)
		}
	}
	return mailaddr.New(local, domain)
}

// fill gives the text of a half; read checks what lookups have for it.
func (h *half) fill(f filling, read func(string) (string, error)) (string, error) {
	var b strings.Builder
	for i := range h.parts {
		p := &h.parts[i]
		if p.lookup == "" {
			b.WriteString(p.value(f))
			continue
		}
		text, err := f.ask(p.lookup, p.key(f))
		if err != nil {
			return "", err
		}
		if text, err = read(text); err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func (p *part) value(f filling) string {
	switch p.what {
	case isLocal:
		return f.old.Local()
	case isDomain:
		return f.old.Domain()
	case isCapture:
		return f.captures[p.capture-1]
	}
	return p.text
}

// key is the value as a lookup is asked for it.
func (p *part) key(f filling) string {
	switch p.what {
	case isAddress:
		return keyOf(f.old)
	case isDomain:
		return domainKey(f.old)
	}
	return strings.ToLower(p.value(f))
}

// lookups names those that a template asks.
func (t *template) lookups() []string {
	var out []string
	for _, p := range slices.Concat(t.local.parts, t.domain.parts) {
		if p.lookup != "" {
			out = append(out, p.lookup)
		}
	}
	if t.whole != nil {
		out = append(out, t.whole.lookup)
	}
	return out
}

// reason is the text of a mailaddr error without its "bad address: ".
func reason(err error) string {
	return strings.TrimPrefix(err.Error(), mailaddr.ErrSyntax.Error()+": ")
}

package pattern

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"unicode/utf8"

	"filbert/pkg/mailaddr"
)

// maxPattern bounds one pattern. Nothing an administrator writes by hand is
// near it; the expression compiler's memory grows with it.
const maxPattern = 2000

// An Error is one mistake in a list.
type Error struct {
	Index   int    // of the pattern in the list
	Pattern string // as it was written
	Problem string // what is wrong with it
	Hint    string // what to write instead, or ""
}

// Error is the problem and, where there is one, the hint.
func (e *Error) Error() string {
	s := fmt.Sprintf("pattern %q: %s", e.Pattern, e.Problem)
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// Errors are all mistakes of one list.
type Errors []*Error

// Error lists them, one a line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// CompileList compiles a list. The error, if any, is of type Errors.
func CompileList(patterns []string, kind Kind) (List, error) {
	var (
		l        = List{kind: kind}
		errs     Errors
		positive bool
		all      string // the pattern that matches everything, once it was seen
	)
	for i, text := range patterns {
		s, err := compile(text, kind)
		if err == nil && all != "" {
			err = &Error{
				Problem: fmt.Sprintf("is never reached, because %q before it decides everything", all),
				Hint:    "the first pattern that matches decides; put this one in front",
			}
		}
		if err != nil {
			err.Index, err.Pattern = i, text
			errs = append(errs, err)
			continue
		}
		if strings.TrimPrefix(text, "!") == "*" {
			all = text
		}
		positive = positive || !s.not
		l.add(s)
	}
	if len(errs) == 0 && len(patterns) > 0 && !positive {
		errs = append(errs, &Error{
			Index: len(patterns) - 1, Pattern: patterns[len(patterns)-1],
			Problem: "the list has exceptions only, so nothing is in it",
			Hint:    `add "*" as the last pattern for "everything but these"`,
		})
	}
	if len(errs) > 0 {
		return List{}, errs
	}
	return l, nil
}

// MustCompile is CompileList for constants and tests; it panics where that
// fails.
func MustCompile(kind Kind, patterns ...string) List {
	l, err := CompileList(patterns, kind)
	if err != nil {
		panic("pattern.MustCompile: " + err.Error())
	}
	return l
}

// add appends a step, or puts an exact name into the last one when that is a
// set with the same sign: within such a run the order has no effect.
func (l *List) add(s step) {
	if n := len(l.steps); n > 0 && s.exact != nil {
		last := &l.steps[n-1]
		if last.exact != nil && last.not == s.not {
			for name := range s.exact {
				last.exact[name] = struct{}{}
			}
			return
		}
	}
	l.steps = append(l.steps, s)
}

func compile(text string, kind Kind) (step, *Error) {
	body, not := strings.CutPrefix(text, "!")
	switch {
	case body == "":
		return step{}, &Error{Problem: "is empty", Hint: `"*" matches everything`}
	case len(text) > maxPattern:
		return step{}, &Error{Problem: fmt.Sprintf("is longer than %d bytes", maxPattern)}
	case !utf8.ValidString(text):
		return step{}, &Error{Problem: "is not UTF-8"}
	case body != strings.TrimSpace(body):
		return step{}, &Error{Problem: "has a space at its begin or end", Hint: fmt.Sprintf("write %q", strings.TrimSpace(body))}
	case strings.HasPrefix(body, "!"):
		return step{}, &Error{Problem: "is negated twice", Hint: "one ! is enough"}
	case strings.HasPrefix(body, "lookup:"):
		return step{}, &Error{Problem: "names a lookup, which this version does not have", Hint: "write the patterns out"}
	}
	s, err := compileBody(body, kind)
	s.not = not
	return s, err
}

func compileBody(body string, kind Kind) (step, *Error) {
	switch {
	case body == "*":
		return step{match: func(string) bool { return true }}, nil
	case kind == Networks:
		return compileNetwork(body)
	case strings.HasPrefix(body, "/"):
		return compileRegexp(body)
	case strings.ContainsAny(body, "*?"):
		return compileGlob(body, kind)
	}
	return compileExact(body, kind)
}

func compileRegexp(body string) (step, *Error) {
	expr, ok := strings.CutSuffix(body[1:], "/")
	if !ok || expr == "" {
		return step{}, &Error{
			Problem: "begins with / but is no regular expression",
			Hint:    "a regular expression stands between two slashes: /^mx[0-9]+\\./",
		}
	}
	re, err := regexp.Compile("(?i)" + expr)
	if err != nil {
		return step{}, &Error{
			Problem: strings.Replace(err.Error(), "(?i)", "", 1),
			Hint:    "the syntax is RE2 (https://github.com/google/re2/wiki/Syntax)",
		}
	}
	return step{match: re.MatchString}, nil
}

func compileGlob(body string, kind Kind) (step, *Error) {
	body = strings.ToLower(body)
	if kind == Addresses && !strings.Contains(body, "@") {
		return step{}, &Error{Problem: "has no @ though addresses are matched", Hint: fmt.Sprintf("write %q", "*@"+body)}
	}
	if kind == Domains && strings.Contains(body, "@") {
		return step{}, &Error{Problem: "is an address where a domain is wanted", Hint: "write only what stands behind the @"}
	}
	if kind != LocalParts && strings.ContainsAny(body, " \t,;") {
		return step{}, &Error{Problem: "has a space or comma in it", Hint: `write each pattern as a string of its own: ["a.example", "b.example"]`}
	}
	body, err := canonicalGlob(body, kind)
	if err != nil {
		return step{}, err
	}
	return step{match: func(text string) bool { return glob(body, text) }}, nil
}

// canonicalGlob writes the plain end of a glob's domain ("*.xn--...", and
// "*@xn--...") in the one form that the texts have.
func canonicalGlob(body string, kind Kind) (string, *Error) {
	head, domain := "", body
	if local, d, ok := cutLast(body, "@"); ok && kind == Addresses {
		head, domain = local+"@", d
	} else if kind == LocalParts {
		return body, nil
	}
	if d, ok := strings.CutPrefix(domain, "*."); ok {
		head, domain = head+"*.", d
	}
	if domain == "" || strings.ContainsAny(domain, "*?") {
		return body, nil
	}
	name, err := canonical(domain)
	return head + name, err
}

func compileExact(body string, kind Kind) (step, *Error) {
	var (
		name string
		err  *Error
	)
	switch kind {
	case Domains:
		name, err = canonical(body)
	case Addresses:
		name, err = canonicalAddress(body)
	default:
		name = strings.ToLower(body)
	}
	if err != nil {
		return step{}, err
	}
	return step{exact: map[string]struct{}{name: {}}}, nil
}

func canonical(domain string) (string, *Error) {
	if rest, ok := strings.CutPrefix(domain, "."); ok {
		return "", &Error{Problem: "begins with a dot", Hint: fmt.Sprintf("%q is every subdomain, %q the domain itself", "*."+rest, rest)}
	}
	if strings.Contains(domain, "@") {
		return "", &Error{Problem: "is an address where a domain is wanted", Hint: "write only what stands behind the @"}
	}
	a, err := mailaddr.New("x", strings.TrimSuffix(domain, "."))
	if err != nil {
		return "", &Error{Problem: "is no domain: " + reason(err), Hint: domainHint(domain)}
	}
	name, err := a.ASCIIDomain()
	if err != nil {
		return "", &Error{Problem: "is no domain: " + reason(err)}
	}
	return strings.ToLower(name), nil // [IPv6:...] has capitals
}

func domainHint(domain string) string {
	if addr, err := netip.ParseAddr(domain); err == nil {
		if addr.Is4() {
			return fmt.Sprintf("an address literal stands in brackets: \"[%s]\"", addr)
		}
		return fmt.Sprintf("an address literal stands in brackets: \"[IPv6:%s]\"", addr)
	}
	if strings.ContainsAny(domain, " ,;") {
		return `write each pattern as a string of its own: ["a.example", "b.example"]`
	}
	return ""
}

func canonicalAddress(text string) (string, *Error) {
	if text == "<>" {
		return "", nil // the null sender, as mailaddr.Address.String writes it
	}
	local, domain, ok := cutLast(text, "@")
	switch {
	case !ok:
		return "", &Error{Problem: "has no @ though addresses are matched", Hint: fmt.Sprintf("%q is everyone there", "*@"+text)}
	case local == "":
		return "", &Error{Problem: "has nothing before the @", Hint: fmt.Sprintf("%q is everyone there", "*@"+domain)}
	}
	a, err := mailaddr.New(unquote(local), domain)
	if err != nil {
		return "", &Error{Problem: "is no address: " + reason(err)}
	}
	name, dErr := canonical(domain)
	if dErr != nil {
		return "", dErr
	}
	address := strings.ToLower(a.String())
	return address[:strings.LastIndexByte(address, '@')+1] + name, nil
}

// reason is the text of a mailaddr error without its "bad address: ".
func reason(err error) string {
	return strings.TrimPrefix(err.Error(), mailaddr.ErrSyntax.Error()+": ")
}

// unquote takes a quoted local part out of its quotes.
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

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func compileNetwork(body string) (step, *Error) {
	if strings.Contains(body, "/") {
		p, err := netip.ParsePrefix(body)
		switch {
		case err != nil:
			return step{}, &Error{Problem: "is no network", Hint: "write 192.0.2.0/24 or 2001:db8::/32"}
		case p.Addr().Is4In6():
			return step{}, &Error{Problem: "is an IPv4 network in IPv6 form", Hint: "write it as IPv4: 192.0.2.0/24"}
		case p != p.Masked():
			return step{}, &Error{
				Problem: "has bits set behind its prefix, so it is not clear what was meant",
				Hint:    fmt.Sprintf("write %q for the network or %q for the one address", p.Masked(), p.Addr()),
			}
		}
		return step{net: p}, nil
	}
	addr, err := netip.ParseAddr(body)
	if err != nil || addr.Zone() != "" {
		return step{}, &Error{Problem: "is no address and no network", Hint: "write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"}
	}
	addr = addr.Unmap()
	return step{net: netip.PrefixFrom(addr, addr.BitLen())}, nil
}

package config

import (
	"context"
	"fmt"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/pattern"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// checker looks for what is well written and yet cannot work.
type checker struct {
	*report
	s       *settings.Settings
	sources Sources
	main    string
	// unread are the keys whose values could not be read: what is said about
	// them already is all there is to say.
	unread map[string]bool
	// retryRules is how many rules of settings.Retry are the file's.
	retryRules int
}

func (c *checker) check() {
	c.unread = map[string]bool{}
	for _, p := range c.problems {
		c.unread[p.Key] = true
	}
	c.checkTop()
	c.checkDomains()
	c.checkSyntax()
	c.checkListen()
	c.checkETRN()
	c.checkDirectors()
	c.checkRouters()
	c.checkTransports()
	c.checkProviders()
	c.checkTransportEdits()
	c.checkRewrites()
	c.checkCopies()
	c.checkLookups()
	c.checkRetry()
	c.checkReports()
	c.checkVerify()
	c.checkLimits()
	c.checkLoad()
	c.checkDNS()
	c.checkSpool()
	c.checkMemory()
	c.checkLog()
	c.checkUsers()
	c.checkTesting()
}

// pos is where a key was set, or the nearest table that was, or the file.
func (c *checker) pos(key string) Pos {
	for k := key; k != ""; {
		if p, ok := c.sources[k]; ok {
			return p
		}
		i := strings.LastIndexAny(k, ".[")
		if i < 0 {
			break
		}
		k = k[:i]
	}
	return Pos{File: c.main}
}

func (c *checker) isSet(key string) bool {
	_, ok := c.sources[key]
	return ok
}

func (c *checker) bad(key, what, hint string) {
	if !c.wasUnread(key) {
		c.mistake(c.pos(key), key, what, hint)
	}
}

func (c *checker) warn(key, what, hint string) {
	if !c.wasUnread(key) {
		c.doubt(c.pos(key), key, what, hint)
	}
}

func (c *checker) wasUnread(key string) bool {
	for k := key; k != ""; {
		if c.unread[k] {
			return true
		}
		k = k[:max(strings.LastIndexAny(k, ".["), 0)]
	}
	return false
}

// anyUnread tells whether something below a key could not be read: what follows from
// its value is then not known.
func (c *checker) anyUnread(prefix string) bool {
	for k := range c.unread {
		if strings.HasPrefix(k, prefix) {
			return true
		}
	}
	return false
}

func (c *checker) oneOf(key, value string, allowed ...string) bool {
	for _, a := range allowed {
		if a == value {
			return true
		}
	}
	hint := "write one of: " + quoteAll(allowed)
	if near := nearest(value, allowed); near != "" {
		hint = fmt.Sprintf("did you mean %q? (there are: %s)", near, quoteAll(allowed))
	}
	what := fmt.Sprintf("%q is not known", value)
	if value == "" {
		what = "is missing"
	}
	c.bad(key, what, hint)
	return false
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(quoted, ", ")
}

// patterns compiles a list and reports each mistake at the pattern's place.
func (c *checker) patterns(key string, list []string, kind pattern.Kind) pattern.List {
	l, err := pattern.CompileList(list, kind)
	if errs, ok := err.(pattern.Errors); ok {
		for _, e := range errs {
			c.bad(fmt.Sprintf("%s[%d]", key, e.Index), fmt.Sprintf("%q %s", e.Pattern, e.Problem), e.Hint)
		}
	}
	return l
}

func (c *checker) atLeast(key string, value, least int) {
	if value < least {
		hint := "write a larger number"
		if c.isSet(key) {
			hint = "write a larger number, or remove the line for the default"
		}
		c.bad(key, fmt.Sprintf("is %d; the least is %d", value, least), hint)
	}
}

func (c *checker) between(key string, value, least, most int) {
	c.atLeast(key, value, least)
	if value > most {
		c.bad(key, fmt.Sprintf("is %d; the most is %d", value, most), "")
	}
}

func (c *checker) sizeAtLeast(key string, value, least settings.Size) {
	if value < least {
		c.bad(key, fmt.Sprintf("is %s; the least is %s", value, least), "")
	}
}

func (c *checker) longerThan0(key string, d settings.Duration) {
	if d <= 0 {
		c.bad(key, "must be longer than 0", `write a time with its unit, like "5m"`)
	}
}

// onlyFor reports the options of a table that are set although its driver has
// no use for them: they would be silently without effect.
func (c *checker) onlyFor(path, driver string, options map[string][]string) {
	c.onlyForWord(path, "driver", driver, options)
}

// onlyForWord is onlyFor for a table whose kind has another word.
func (c *checker) onlyForWord(path, word, driver string, options map[string][]string) {
	for key := range c.sources {
		rest, ok := strings.CutPrefix(key, path+".")
		if !ok || strings.ContainsAny(rest, ".[") {
			continue
		}
		drivers, limited := options[rest]
		if !limited || contains(drivers, driver) {
			continue
		}
		c.bad(key, fmt.Sprintf("has no effect with %s %q", word, driver),
			fmt.Sprintf("it is for %s %s; remove it, or change the %s", word, strings.ReplaceAll(quoteAll(drivers), ", ", " and "), word))
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// names reports names that are used twice in a list of tables.
func (c *checker) names(table string, n int, name func(i int) string) {
	seen := map[string]int{}
	for i := range n {
		key := fmt.Sprintf("%s[%d].name", table, i)
		nm := name(i)
		if first, ok := seen[nm]; ok {
			c.bad(key, fmt.Sprintf("%q is the name of another [[%s]], at %s", nm, table, c.pos(fmt.Sprintf("%s[%d]", table, first))),
				"give each a name of its own: it tells them apart in the log")
			continue
		}
		seen[nm] = i
		if c.isSet(key) && !isWord(nm) {
			c.bad(key, fmt.Sprintf("%q has characters that a name may not have", nm), "use letters, digits, - _ . and :")
		}
	}
}

// isWord is what can stand in a log line without quotes.
func isWord(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:[]", r) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func (c *checker) address(key, value string, allowBare bool) {
	a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(value))
	switch {
	case err != nil:
		c.bad(key, fmt.Sprintf("%q is no address: %s", value, strings.TrimPrefix(err.Error(), "bad address: ")), "write user@example.org")
	case a.Domain() == "" && !allowBare:
		c.bad(key, fmt.Sprintf("%q has no domain", value), "write user@example.org")
	}
}

func (c *checker) checkTop() {
	s := c.s
	switch {
	case !isDomain(s.Hostname):
		c.bad("hostname", fmt.Sprintf("%q is no host name", s.Hostname), "write the full name of this machine, like mail.example.org")
	case !strings.Contains(s.Hostname, ".") && s.Hostname != "localhost":
		c.warn("hostname", fmt.Sprintf("%q has no domain; other servers may refuse a greeting with it", s.Hostname),
			`write the full name of this machine at the top of the file: hostname = "mail.example.org"`)
	}
	c.address("postmaster", s.Postmaster, true)
	c.oneOf("privilege_separation", s.PrivilegeSeparation, "auto", "on", "off")
}

func (c *checker) checkDomains() {
	d := c.s.Domains
	local := c.askingPatterns("domains.local", d.Local, pattern.Domains)
	c.askingPatterns("domains.relay", d.Relay, pattern.Domains)
	c.trusted("domains.trusted", d.Trusted)
	for i, r := range d.Relay {
		if !strings.ContainsAny(r, "*?/!:") && matchesNow(local, r) {
			c.warn(fmt.Sprintf("domains.relay[%d]", i), fmt.Sprintf("%q is in domains.local too, which decides", r), "remove it from one of the two")
		}
	}
}

// matchesNow tells whether a list has a text whatever its lookups may have.
func matchesNow(l pattern.Asking, text string) bool {
	in, _, err := l.Match(context.Background(), text, func(context.Context, string, string) (bool, error) { return false, nil })
	return in && err == nil
}

func (c *checker) trusted(key string, list []string) {
	c.askingPatterns(key, list, pattern.Networks)
	for i, t := range list {
		if t == "*" || t == "0.0.0.0/0" || t == "::/0" {
			c.warn(fmt.Sprintf("%s[%d]", key, i), fmt.Sprintf("%q lets everyone on the internet send mail through this machine", t),
				"name only the networks whose users are yours")
		}
	}
}

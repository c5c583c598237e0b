package config

import (
	"fmt"
	"sort"
	"strings"

	"filbert/pkg/route"
)

// host checks a host as the router will read it.
func (c *checker) host(key, text string) {
	if _, err := route.ParseSpec(text); err != nil {
		c.bad(key, err.Error(), `write "host", "host:port", "[host]" (without MX lookup) or "[192.0.2.1]:25"`)
	}
}

// transport checks that a name is that of a transport of a fitting driver.
func (c *checker) transport(key, name string, drivers ...string) {
	t, ok := c.s.Transports[name]
	if !ok {
		names := sortedKeys(c.s.Transports)
		hint := fmt.Sprintf("write [transport.%s] with its driver, or use one of: %s", name, strings.Join(names, ", "))
		if near := nearest(name, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		c.bad(key, fmt.Sprintf("there is no transport %q", name), hint)
		return
	}
	if t.Driver != "" && !contains(drivers, t.Driver) {
		c.bad(key, fmt.Sprintf("transport %q has driver %q, which cannot be used here", name, t.Driver),
			"use a transport with driver "+strings.ReplaceAll(quoteAll(drivers), ", ", " or "))
	}
}

// placeholders reports {names} that mean nothing here.
func (c *checker) placeholders(key, text string, allowed ...string) bool {
	ok := true
	for rest := text; ; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			return ok
		}
		j := strings.IndexByte(rest[i:], '}')
		if rest[i] == '}' || j < 0 {
			c.bad(key, fmt.Sprintf("%q has a brace without its partner", text), "placeholders look like {local_part}")
			return false
		}
		name := rest[i+1 : i+j]
		if !contains(allowed, name) {
			hint := "there are: {" + strings.Join(allowed, "} {") + "}"
			if near := nearest(name, allowed); near != "" {
				hint = fmt.Sprintf("did you mean {%s}?", near)
			}
			c.bad(key, fmt.Sprintf("there is no placeholder {%s} here", name), hint)
			ok = false
		}
		rest = rest[i+j+1:]
	}
}

// fillIn replaces placeholders by a word, to check what is around them.
func fillIn(text string) string {
	for {
		i, j := strings.IndexByte(text, '{'), strings.IndexByte(text, '}')
		if i < 0 || j < i {
			return text
		}
		text = text[:i] + "x" + text[j+1:]
	}
}

func isPrintable(s string) bool {
	for _, r := range s {
		if r <= ' ' || r > '~' {
			return false
		}
	}
	return true
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

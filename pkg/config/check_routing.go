package config

import (
	"fmt"
	"net"
	"net/netip"
	"sort"
	"strconv"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/pattern"
	"filbert/pkg/route"
	"filbert/pkg/settings"
)

// directorOptions says for which drivers an option of [[director]] has a
// meaning; what is not listed has one for all.
var directorOptions = map[string][]string{
	"file":           {"aliasfile", "user"},
	"optional":       {"aliasfile", "user"},
	"users":          {"user"},
	"transport":      {"user", "aliasfile"},
	"pipe_transport": {"aliasfile"},
	"file_transport": {"aliasfile"},
	"allow_pipes":    {"aliasfile"},
	"allow_files":    {"aliasfile"},
	"user":           {"aliasfile"},
	"address":        {"smartuser"},
	"separator":      {"user", "aliasfile"},
	"errors_to":      {"aliasfile", "smartuser"},
}

// localTransports are the drivers that a director can hand mail to.
var localTransports = []string{"maildir", "mbox", "pipe", "lmtp", "discard"}

func (c *checker) checkDirectors() {
	c.names("director", len(c.s.Directors), func(i int) string { return c.s.Directors[i].Name })
	for i := range c.s.Directors {
		d := &c.s.Directors[i]
		path := fmt.Sprintf("director[%d]", i)
		c.patterns(path+".domains", d.Domains, pattern.Domains)
		c.patterns(path+".local_parts", d.LocalParts, pattern.LocalParts)
		if !c.oneOf(path+".driver", d.Driver, "aliasfile", "user", "smartuser") {
			continue
		}
		c.onlyFor(path, d.Driver, directorOptions)
		if d.ErrorsTo != "" {
			c.address(path+".errors_to", d.ErrorsTo, true)
		}
		if d.Separator != "" && (len(d.Separator) > 8 || strings.ContainsAny(d.Separator, "@ \t\"\\") || !isPrintable(d.Separator)) {
			c.bad(path+".separator", fmt.Sprintf("%q cannot separate a user from a detail", d.Separator), `use a character like "+" or "-"`)
		}
		c.directorDriver(path, d)
	}
}

func (c *checker) directorDriver(path string, d *settings.Director) {
	switch d.Driver {
	case "aliasfile":
		if d.File == "" {
			c.bad(path+".file", "is missing: an aliasfile director reads a file", `write file = "aliases"`)
		}
		if d.Transport != "" {
			c.transport(path+".transport", d.Transport, localTransports...)
		}
		c.transport(path+".pipe_transport", d.PipeTransport, "pipe")
		c.transport(path+".file_transport", d.FileTransport, "mbox", "maildir")
	case "user":
		c.transport(path+".transport", d.Transport, localTransports...)
		if c.oneOf(path+".users", d.Users, "system", "table") && d.Users == "table" && d.File == "" {
			c.bad(path+".file", "is missing: users from a table need the table", `write file = "users"`)
		}
		if d.Users == "system" && c.isSet(path+".file") {
			c.bad(path+".file", `has no effect with users = "system"`, `remove it, or write users = "table"`)
		}
	case "smartuser":
		c.smartAddress(path+".address", d.Address)
	}
}

// smartAddress checks an address in which {local_part}, {domain} and {detail}
// may stand for those of the recipient.
func (c *checker) smartAddress(key, address string) {
	if address == "" {
		c.bad(key, "is missing: a smartuser director sends on to an address", `write address = "someone@example.org"`)
		return
	}
	if !c.placeholders(key, address, "local_part", "domain", "detail") {
		return
	}
	c.address(key, fillIn(address), true)
}

var routerOptions = map[string][]string{
	"file":           {"table"},
	"map":            {"table"},
	"hosts":          {"smarthost"},
	"mx_only":        {"mx", "table", "smarthost"},
	"mx_only_except": {"mx", "table", "smarthost"},
}

func (c *checker) checkRouters() {
	c.names("router", len(c.s.Routers), func(i int) string { return c.s.Routers[i].Name })
	for i := range c.s.Routers {
		r := &c.s.Routers[i]
		path := fmt.Sprintf("router[%d]", i)
		c.patterns(path+".domains", r.Domains, pattern.Domains)
		c.patterns(path+".mx_only", r.MXOnly, pattern.Domains)
		c.patterns(path+".mx_only_except", r.MXOnlyExcept, pattern.Domains)
		if !c.oneOf(path+".driver", r.Driver, "mx", "table", "smarthost", "literal") {
			continue
		}
		c.onlyFor(path, r.Driver, routerOptions)
		c.transport(path+".transport", r.Transport, "smtp", "lmtp")
		c.between(path+".port", r.Port, 0, 65535)
		c.routerDriver(path, r)
	}
}

func (c *checker) routerDriver(path string, r *settings.Router) {
	switch {
	case r.Driver == "smarthost" && len(r.Hosts) == 0:
		c.bad(path+".hosts", "is missing: a smarthost router needs the host to send to", `write hosts = ["[smtp.example.net]:587"]`)
	case r.Driver == "table" && r.File == "" && len(r.Map) == 0:
		c.bad(path+".file", "is missing: a table router needs file or map", `write map = { "example.org" = "mail.example.org" }`)
	}
	for i, h := range r.Hosts {
		c.host(fmt.Sprintf("%s.hosts[%d]", path, i), h)
	}
	for _, domain := range sortedKeys(r.Map) {
		key := path + ".map." + domain
		c.patterns(key, []string{domain}, pattern.Domains)
		hosts := strings.Fields(r.Map[domain])
		if len(hosts) == 0 {
			c.bad(key, "names no host", `write the hosts, separated by spaces: "a.example b.example:2525"`)
		}
		for _, h := range hosts {
			c.host(key, h)
		}
	}
}

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

func (c *checker) checkDNS() {
	d := c.s.DNS
	for i, server := range d.Servers {
		key := fmt.Sprintf("dns.servers[%d]", i)
		if _, err := netip.ParseAddr(server); err == nil {
			continue
		}
		host, port, err := net.SplitHostPort(server)
		_, errAddr := netip.ParseAddr(host)
		n, errPort := strconv.ParseUint(port, 10, 16)
		if err != nil || errAddr != nil || errPort != nil || n == 0 {
			c.bad(key, fmt.Sprintf("%q is no address of a name server", server), `write "192.0.2.1", "192.0.2.1:53" or "[2001:db8::1]:53"`)
		}
	}
	c.longerThan0("dns.timeout", d.Timeout)
	c.longerThan0("dns.deadline", d.Deadline)
	if d.Deadline < d.Timeout {
		c.bad("dns.deadline", fmt.Sprintf("is %s, less than dns.timeout (%s), so no server could be given its time", d.Deadline, d.Timeout), "make it longer")
	}
	c.between("dns.cache_size", d.CacheSize, 0, 10_000_000)
	c.longerThan0("dns.max_ttl", d.MaxTTL)
	if d.NegativeTTL < 0 {
		c.longerThan0("dns.negative_ttl", d.NegativeTTL)
	}
}

// canonicalDomain is used to compare names that may be written in two ways.
func canonicalDomain(s string) string {
	a, err := mailaddr.New("x", s)
	if err != nil {
		return s
	}
	return a.Domain()
}

package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"filbert/pkg/rewrite"
	"filbert/pkg/settings"
)

var (
	remoteDrivers = []string{"smtp", "lmtp"}
	localDrivers  = []string{"maildir", "mbox", "pipe"}
	pathDrivers   = []string{"maildir", "mbox"}
	pipeDriver    = []string{"pipe"}
	headerDrivers = []string{"smtp", "lmtp", "maildir", "mbox", "pipe"}
	lmtpDriver    = []string{"lmtp"}
)

var transportOptions = map[string][]string{
	"connections_per_host": remoteDrivers,
	"start_concurrency":    remoteDrivers,
	"rate":                 remoteDrivers,
	"back_off_replies":     remoteDrivers,
	"back_off_pause":       remoteDrivers,
	"warm_up":              remoteDrivers,
	"max_recipients":       remoteDrivers,
	"source_addresses":     remoteDrivers,
	"helo":                 remoteDrivers,
	"tls":                  remoteDrivers,
	"connect_timeout":      remoteDrivers,
	"connection_max_uses":  remoteDrivers,
	"connection_max_age":   remoteDrivers,
	"connection_idle":      remoteDrivers,
	"timeout_scale":        remoteDrivers,
	"socket":               lmtpDriver,
	"host":                 lmtpDriver,
	"path":                 pathDrivers,
	"command":              pipeDriver,
	"timeout":              pipeDriver,
	"max_output":           pipeDriver,
	"environment":          pipeDriver,
	"returns":              pipeDriver,
	"user":                 localDrivers,
	"group":                localDrivers,
	"headers_add":          headerDrivers,
	"headers_remove":       headerDrivers,
	"rewrite":              headerDrivers,
	"username":             remoteDrivers,
	"password_file":        remoteDrivers,
	"umask":                localDrivers,
	"writable_home":        pathDrivers,
	"mailbox_limit":        pathDrivers,
	"mailbox_messages":     {"maildir"},
	"mailbox_warn":         pathDrivers,
	"warn_every":           pathDrivers,
	"when_full":            pathDrivers, // quotas of the system, too
	"read_within":          pathDrivers,
}

func (c *checker) checkTransports() {
	for _, name := range sortedKeys(c.s.Transports) {
		t := c.s.Transports[name]
		path := "transport." + name
		if !c.isSet(path) {
			continue // built in
		}
		if !isWord(name) {
			c.bad(path, fmt.Sprintf("%q has characters that a name may not have", name), "use letters, digits, - _ . and :")
		}
		if !c.oneOf(path+".driver", t.Driver, "smtp", "lmtp", "maildir", "mbox", "pipe", "discard") {
			continue
		}
		c.onlyFor(path, t.Driver, transportOptions)
		c.quota(path, &t)
		c.between(path+".concurrency", t.Concurrency, 0, 100_000)
		c.headers(path, &settings.Course{HeadersAdd: t.HeadersAdd, HeadersRemove: t.HeadersRemove})
		c.transportRewrites(path+".rewrite", &t)
		switch t.Driver {
		case "smtp", "lmtp":
			c.remoteTransport(path, &t)
		case "maildir", "mbox":
			c.mailboxPath(path+".path", &t)
			c.oneOf(path+".writable_home", t.WritableHome, "defer", "allow")
			c.localTransport(path, &t)
		case "pipe":
			c.command(path, &t)
			c.localTransport(path, &t)
		}
	}
}

// transportRewrites checks the rules that a transport names. Those of a local one
// are applied by the process of the user, who may not ask what router may ask.
func (c *checker) transportRewrites(key string, t *settings.Transport) {
	var names []string
	for i := range c.s.Rewrites {
		names = append(names, c.s.Rewrites[i].Name)
	}
	for i, name := range t.Rewrites {
		at := fmt.Sprintf("%s[%d]", key, i)
		n := slices.Index(names, name)
		if n < 0 {
			hint := "give a [[rewrite]] this name"
			if near := nearest(name, names); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			c.bad(at, fmt.Sprintf("there is no rewriting rule %q", name), hint)
			continue
		}
		if !contains(localDrivers, t.Driver) {
			continue
		}
		// What is wrong with the rule itself is told where it stands.
		rules, err := rewrite.Compile(c.s.Rewrites[n:n+1], nil)
		if err == nil && len(rules.Lookups()) > 0 {
			c.bad(at, fmt.Sprintf("rule %q asks a lookup, and lookups can't be asked from a local transport", name),
				"rewrite when mail comes in, or write the rule with a pattern")
		}
	}
}

func (c *checker) remoteTransport(path string, t *settings.Transport) {
	c.between(path+".connections_per_host", t.ConnectionsPerHost, 1, 100_000)
	c.pace(path, t)
	c.between(path+".max_recipients", t.MaxRecipients, 1, 100_000)
	c.between(path+".connection_max_uses", t.ConnectionMaxUses, 1, 1_000_000)
	c.between(path+".timeout_scale", t.TimeoutScale, 1, 1000)
	c.longerThan0(path+".connect_timeout", t.ConnectTimeout)
	c.longerThan0(path+".connection_max_age", t.ConnectionMaxAge)
	c.longerThan0(path+".connection_idle", t.ConnectionIdle)
	c.oneOf(path+".tls", t.TLS, "opportunistic", "off")
	switch {
	case t.Username != "" && t.PasswordFile == "":
		c.bad(path+".username", "is set without a password", `write password_file = "PATH", a file with the password in its first line`)
	case t.Username == "" && t.PasswordFile != "":
		c.bad(path+".password_file", "is set without a name to log in by", `write username = "..."`)
	}
	if t.HELO != "" && !isDomain(t.HELO) && !strings.HasPrefix(canonicalDomain(t.HELO), "[") {
		c.bad(path+".helo", fmt.Sprintf("%q is no host name", t.HELO), "write the name that the address you send from resolves to")
	}
	if t.Socket != "" && t.Host != "" {
		c.bad(path+".host", "is set beside socket", "a server is reached in one way: remove one of the two")
	}
	if t.Socket != "" && !filepath.IsAbs(t.Socket) {
		c.bad(path+".socket", fmt.Sprintf("%q is no absolute path", t.Socket), "write it from the root: /run/dovecot/lmtp")
	}
	if t.Host != "" {
		c.host(path+".host", t.Host)
	}
	c.sourceAddresses(path+".source_addresses", t.SourceAddresses)
	if t.WarmUp != nil {
		for i, text := range t.WarmUp.Sources {
			if !hasAddress(t.SourceAddresses, text) {
				c.bad(fmt.Sprintf("%s.warm_up.sources[%d]", path, i), fmt.Sprintf("%q is none of source_addresses", text), "add it there, or remove it here")
			}
		}
	}
}

// hasAddress tells whether an address is among others, however they are written.
func hasAddress(list []string, text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && slices.ContainsFunc(list, func(other string) bool {
		b, err := netip.ParseAddr(other)
		return err == nil && a == b
	})
}

func (c *checker) sourceAddresses(key string, list []string) {
	seen := map[netip.Addr]bool{}
	for i, text := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		addr, err := netip.ParseAddr(text)
		if err != nil {
			c.bad(at, fmt.Sprintf("%q is no IP address", text), "write an address of this machine, like 192.0.2.1")
			continue
		}
		if addr.Is4In6() {
			c.bad(at, fmt.Sprintf("%q is an IPv4 address written as one of IPv6: nothing can be sent from it like this", text), fmt.Sprintf("write %q", addr.Unmap()))
		}
		if addr.IsUnspecified() || addr.IsMulticast() {
			c.bad(at, fmt.Sprintf("%q is no address to connect from", text), "write an address of this machine, like 192.0.2.1")
		}
		if seen[addr] {
			c.bad(at, fmt.Sprintf("%q stands there twice", text), "remove one of the two")
		}
		seen[addr] = true
	}
}

func (c *checker) mailboxPath(key string, t *settings.Transport) {
	if t.Path == "" {
		// A mailbox for "/file" aliases has its path from the alias.
		if t.Driver == "maildir" {
			c.bad(key, "is missing: a maildir transport needs to know where", `write path = "{home}/Maildir"`)
		}
		return
	}
	if !strings.HasPrefix(t.Path, "/") && !strings.HasPrefix(t.Path, "{home}") && !strings.HasPrefix(t.Path, "{mail}") {
		c.bad(key, fmt.Sprintf("%q does not begin at the root", t.Path), "begin it with /, {home}/ or {mail}/")
	}
	for _, part := range strings.Split(t.Path, "/") {
		if part == ".." {
			c.bad(key, `has ".." in it`, "write the path out")
		}
	}
	c.placeholders(key, t.Path, "home", "user", "local_part", "domain", "detail", "mail")
}

func (c *checker) command(path string, t *settings.Transport) {
	key := path + ".command"
	if t.Returns != "" {
		c.oneOf(path+".returns", t.Returns, "report")
		if len(t.Command) == 0 {
			c.bad(path+".returns", "has no command that could write the text", `write command = ["/path/to/program", "argument"]`)
			return
		}
	}
	if len(t.Command) == 0 {
		if path != "transport.pipe" { // the one for "|command" aliases has its command from the alias
			c.warn(key, "is missing, so only aliases that name a command can use this transport", `write command = ["/path/to/program", "argument"]`)
		}
		return
	}
	if first := t.Command[0]; !filepath.IsAbs(first) {
		hint := "write the whole path of the program: there is no search path"
		if strings.Contains(first, " ") {
			hint = "there is no shell: write the program and each argument as a string of its own"
		}
		c.bad(key+"[0]", fmt.Sprintf("%q is no absolute path", first), hint)
	} else if strings.Contains(first, "{") {
		c.bad(key+"[0]", "has a placeholder in the name of the program", "the program must be fixed; placeholders may stand in its arguments")
	}
	for i, arg := range t.Command[1:] {
		c.placeholders(fmt.Sprintf("%s[%d]", key, i+1), arg, "local_part", "domain", "sender", "recipient", "user", "home", "detail", "id")
	}
	c.longerThan0(path+".timeout", t.Timeout)
	c.sizeAtLeast(path+".max_output", t.MaxOutput, 1)
	for i, env := range t.Environment {
		if name, _, ok := strings.Cut(env, "="); !ok || name == "" || strings.ContainsRune(env, 0) {
			c.bad(fmt.Sprintf("%s.environment[%d]", path, i), fmt.Sprintf("%q is no variable", env), `write "NAME=value"`)
		}
	}
}

func (c *checker) localTransport(path string, t *settings.Transport) {
	mode, err := strconv.ParseUint(t.Umask, 8, 32)
	switch {
	case err != nil || mode > 0o777:
		c.bad(path+".umask", fmt.Sprintf("%q is no octal file mode mask", t.Umask), `write it like "077"`)
	case mode&0o002 == 0:
		c.bad(path+".umask", fmt.Sprintf("%q would let everyone write to mailboxes", t.Umask), `write "077", or "007" to share with a group`)
	}
	if t.User == "root" {
		c.bad(path+".user", "is root, and mail is never delivered as root", "name another user, or remove the line for the user the director found")
	}
	if t.Group == "root" {
		c.bad(path+".group", "is root's own, and mail is never delivered as root", "name another group, or remove the line for the group of the user")
	}
}

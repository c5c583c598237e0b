package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"filbert/pkg/lookup"
	"filbert/pkg/pattern"
	"filbert/pkg/settings"
)

// The types of lookups, by what they have in common.
var (
	lookupTypes   = []string{"inline", "file", "regexp", "cidr", "passwd", "cdb", "sqlite", "pgsql", "mysql", "ldap", "redis", "socketmap"}
	lookupFiles   = []string{"file", "regexp", "cidr", "cdb", "sqlite"}
	lookupServers = []string{"pgsql", "mysql", "ldap", "redis", "socketmap"}
	lookupLogins  = []string{"pgsql", "mysql", "ldap", "redis"}
	lookupSQL     = []string{"sqlite", "pgsql", "mysql"}
	lookupQueries = []string{"sqlite", "pgsql", "mysql", "ldap", "redis"}
	lookupCached  = []string{"sqlite", "pgsql", "mysql", "ldap", "redis", "socketmap"}
)

// lookupOptions says for which types an option of [lookup.NAME] has a meaning.
var lookupOptions = map[string][]string{
	"entries":       {"inline"},
	"path":          lookupFiles,
	"servers":       lookupServers,
	"database":      {"pgsql", "mysql", "redis", "socketmap"},
	"username":      lookupLogins,
	"password_file": lookupLogins,
	"query":         lookupQueries,
	"base":          {"ldap"},
	"scope":         {"ldap"},
	"referrals":     {"ldap"},
	"attributes":    {"ldap", "passwd"},
	"tls":           lookupServers,
	"ca_file":       lookupServers,
	"timeout":       lookupCached,
	"connections":   lookupCached,
	"cache_for":     lookupCached,
}

// maxLookupTimeout bounds the wait for a server: mail that must wait longer is
// better tried again.
const maxLookupTimeout = settings.Duration(time.Minute)

func (c *checker) checkLookups() {
	for _, name := range sortedKeys(c.s.Lookups) {
		l := c.s.Lookups[name]
		path := "lookup." + name
		if !isPlainName(name) {
			c.bad(path, fmt.Sprintf("%q can't be the name of a lookup", name), "use letters, digits, - and _")
		}
		if !c.oneOf(path+".type", l.Type, lookupTypes...) {
			continue
		}
		c.onlyForWord(path, "type", l.Type, lookupOptions)
		c.patterns(path+".domains", l.Domains, pattern.Domains)
		c.lookupSource(path, &l)
		c.lookupQuery(path, &l)
		c.lookupBounds(path, &l)
	}
}

// isPlainName is what "lookup:NAME" and {lookup:NAME:KEY} can name.
func isPlainName(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 100
}

// lookupSource checks where the table is.
func (c *checker) lookupSource(path string, l *settings.Lookup) {
	switch {
	case contains(lookupFiles, l.Type) && l.Path == "":
		c.bad(path+".path", "is missing: a lookup of type "+l.Type+" reads a file", `write path = "`+examplePath[l.Type]+`"`)
	case contains(lookupServers, l.Type):
		c.lookupServers(path, l)
	case l.Type == "inline" && len(l.Entries) == 0:
		c.warn(path+".entries", "is missing, so nothing is ever found: an inline lookup has its table here", `write entries = { "key" = "value" }`)
	case l.Type == "inline":
		if _, err := lookup.NewInline(l.Entries); err != nil {
			c.bad(path+".entries", err.Error(), "upper and lower case are the same; remove one of the two")
		}
	}
	if l.Type == "passwd" {
		for i, a := range l.Attributes {
			c.oneOf(fmt.Sprintf("%s.attributes[%d]", path, i), a, lookup.AccountAttributes()...)
		}
	}
}

var examplePath = map[string]string{
	"file": "people", "regexp": "expressions", "cidr": "networks", "cdb": "people.cdb", "sqlite": "/var/lib/mail/people.db",
}

var exampleServer = map[string]string{
	"pgsql": "/run/postgresql", "mysql": "/run/mysqld/mysqld.sock", "ldap": "ldap://localhost", "redis": "127.0.0.1:6379", "socketmap": "127.0.0.1:8888",
}

func (c *checker) lookupServers(path string, l *settings.Lookup) {
	modes := []string{"off", "on"}
	if l.Type != "redis" && l.Type != "socketmap" {
		modes = append(modes, "starttls")
	}
	probe := *l
	if l.TLS != "" && !c.oneOf(path+".tls", l.TLS, modes...) {
		probe.TLS = ""
	}
	if len(l.Servers) == 0 {
		c.bad(path+".servers", "is missing: a lookup of type "+l.Type+" asks a server", `write servers = ["`+exampleServer[l.Type]+`"]`)
	}
	plain := false // is a password sent over the network for all to read?
	for i, name := range l.Servers {
		probe.Servers = []string{name}
		servers, err := lookup.Servers(probe)
		if err != nil {
			hint := `write "host", "host:port", or the path of a socket, like "` + exampleServer[l.Type] + `"`
			c.bad(fmt.Sprintf("%s.servers[%d]", path, i), err.Error(), hint)
			continue
		}
		s := servers[0]
		plain = plain || s.Network == "tcp" && s.TLS == lookup.Plain && !isLoopback(s.Host)
	}
	switch {
	case l.CAFile != "" && (l.TLS == "" || l.TLS == "off") && !slices.ContainsFunc(l.Servers, isLDAPS):
		c.bad(path+".ca_file", "has no effect without TLS", `remove it, or write tls = "on"`)
	case l.PasswordFile != "" && plain:
		c.warn(path+".tls", "the password goes to the server for everyone on the way to read", `write tls = "on"`)
	}
	switch {
	case l.Type == "ldap" && l.Username != "" && l.PasswordFile == "":
		c.bad(path+".password_file", "is missing: a username without a password would be taken as nobody", `write password_file = "ldap.password", or remove username`)
	case l.PasswordFile != "" && l.Username == "" && l.Type != "redis":
		c.bad(path+".password_file", "has no effect without a username", `write username = "NAME"`)
	}
	if l.Type == "socketmap" && (l.Database == "" || strings.ContainsAny(l.Database, " \t\r\n")) {
		c.bad(path+".database", "must be the name of a map, without blanks", `write database = "NAME", as the program calls its map`)
	}
	if l.Type == "redis" && strings.Trim(l.Database, "0123456789") != "" {
		c.bad(path+".database", fmt.Sprintf("%q is no number", l.Database), "write a number in quotes, like \"0\"")
	}
	if (l.Type == "pgsql" || l.Type == "mysql") && l.Username == "" {
		c.bad(path+".username", "is missing: who logs in to the database", `write username = "filbert"`)
	}
	if (l.Type == "pgsql" || l.Type == "mysql") && l.Database == "" {
		c.bad(path+".database", "is missing: the name of the database", `write database = "mail"`)
	}
}

func isLDAPS(server string) bool { return strings.HasPrefix(server, "ldaps://") }

func isLoopback(host string) bool {
	return host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1"
}

var exampleQuery = map[string]string{
	"sqlite": "SELECT mailbox FROM people WHERE address = {key}",
	"pgsql":  "SELECT mailbox FROM people WHERE address = {key}",
	"mysql":  "SELECT mailbox FROM people WHERE address = {key}",
	"ldap":   "(mail={key})",
}

// lookupQuery checks what is asked. The grammar of each language is its
// driver's; here it is about the places for the key.
func (c *checker) lookupQuery(path string, l *settings.Lookup) {
	key := path + ".query"
	switch {
	case !contains(lookupQueries, l.Type):
		return
	case l.Query == "" && l.Type == "redis":
		return // the key itself
	case l.Query == "":
		c.bad(key, "is missing: what to ask for", fmt.Sprintf("write query = %q", exampleQuery[l.Type]))
		return
	}
	q, err := lookup.ParseQuestion(l.Query)
	if err == nil && !q.Asks() {
		err = lookup.ErrNoPlace
	}
	if err != nil {
		hint := "there are: {key} {local_part} {domain}"
		if errors.Is(err, lookup.ErrNoPlace) {
			hint = "without it the answer is the same for all; write {key} where the address stands"
		} else if near := nearest(strangePlace(l.Query), []string{"key", "local_part", "domain"}); near != "" {
			hint = fmt.Sprintf("did you mean {%s}?", near)
		}
		c.bad(key, err.Error(), hint)
	}
	if err == nil && contains(lookupSQL, l.Type) {
		if _, err := lookup.ParseStatement(l.Type, l.Query); err != nil {
			c.bad(key, err.Error(), fmt.Sprintf("write it like %q", exampleQuery[l.Type]))
		}
	}
	if l.Type == "ldap" {
		if err == nil {
			c.ldapFilter(key, q)
		}
		c.oneOfOrUnset(path+".scope", l.Scope, "sub", "one", "base")
		c.oneOfOrUnset(path+".referrals", l.Referrals, "fail", "ignore")
		if l.Base == "" {
			c.bad(path+".base", "is missing: where the search begins", `write base = "ou=people,dc=example,dc=org"`)
		}
	}
}

// ldapFilter checks what of a filter needs no knowledge of LDAP.
func (c *checker) ldapFilter(key string, q lookup.Question) {
	open := 0
	for _, p := range q {
		open += strings.Count(p.Text, "(") - strings.Count(p.Text, ")")
	}
	if err := q.OnTheRight("("); err != nil {
		c.bad(key, err.Error(), `write it like "(mail={key})"`)
	} else if open != 0 || q[0].Place != lookup.Nowhere || !strings.HasPrefix(q[0].Text, "(") {
		c.bad(key, "is no filter: brackets stand around it and its parts, each with its partner", `write it like "(&(mail={key})(objectClass=person))"`)
	}
}

// strangePlace is the first word in braces that lookup does not know.
func strangePlace(query string) string {
	for i := range query {
		if _, _, err := lookup.PlaceAt(query[i:]); err != nil {
			word, _, _ := strings.Cut(query[i+1:], "}")
			return word
		}
	}
	return ""
}

func (c *checker) oneOfOrUnset(key, value string, allowed ...string) {
	if value != "" {
		c.oneOf(key, value, allowed...)
	}
}

func (c *checker) lookupBounds(path string, l *settings.Lookup) {
	if c.isSet(path + ".timeout") {
		c.longerThan0(path+".timeout", l.Timeout)
		if l.Timeout > maxLookupTimeout {
			c.bad(path+".timeout", fmt.Sprintf("is %s; the most is %s", l.Timeout, maxLookupTimeout), "")
		}
	}
	if c.isSet(path + ".connections") {
		c.between(path+".connections", l.Connections, 1, 100)
	}
	if l.CacheFor != nil && (*l.CacheFor < 0 || *l.CacheFor > settings.Duration(24*time.Hour)) {
		c.bad(path+".cache_for", "must be between 0s and a day", `write a time with its unit, like "10s"`)
	}
}

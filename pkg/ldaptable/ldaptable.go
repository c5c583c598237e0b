package ldaptable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"sync"

	"github.com/go-ldap/ldap/v3"

	"filbert/pkg/lookup"
	"filbert/pkg/lookup/link"
	"filbert/pkg/settings"
)

// silence takes the library's log, which is one for the whole process, from
// standard error: what fails comes back as an error.
var silence = sync.OnceFunc(func() { ldap.Logger(log.New(io.Discard, "", 0)) })

// table is a directory on servers.
type table struct {
	filter, base lookup.Question
	scope        int
	attributes   []string
	leaveOut     bool
	servers      []lookup.Server
	failover     *lookup.Failover
	pools        []*lookup.Pool[*conn]
}

// Open makes a table of a directory. It asks nobody.
func Open(set settings.Lookup) (lookup.Table, error) {
	silence()
	t := &table{attributes: set.Attributes, leaveOut: set.Referrals == "ignore"}
	if len(t.attributes) == 0 {
		t.attributes = []string{"1.1"} // none at all: RFC 4511, section 4.5.1.8
	}
	var err error
	if t.scope, err = scopeOf(set.Scope); err != nil {
		return nil, err
	}
	if err := t.parse(set); err != nil {
		return nil, err
	}
	if set.Username != "" && set.Password == "" {
		return nil, errors.New("a username without a password would be taken as nobody: set password_file")
	}
	if t.servers, err = lookup.Servers(set); err != nil {
		return nil, err
	}
	trust, err := link.Trust(set, t.servers)
	if err != nil {
		return nil, err
	}
	t.failover = lookup.NewFailover(t.servers, lookup.TimeoutOf(set))
	for _, s := range t.servers {
		d := dialer{server: s, username: set.Username, password: set.Password, trust: trust, timeout: lookup.TimeoutOf(set)}
		t.pools = append(t.pools, lookup.NewPool(lookup.ConnectionsOf(set), d.dial, (*conn).end))
	}
	return t, nil
}

func scopeOf(name string) (int, error) {
	switch name {
	case "", "sub":
		return ldap.ScopeWholeSubtree, nil
	case "one":
		return ldap.ScopeSingleLevel, nil
	case "base":
		return ldap.ScopeBaseObject, nil
	}
	return 0, fmt.Errorf(`scope: %q is not "sub", "one" or "base"`, name)
}

// parse takes filter and base apart, and tries them with a harmless key.
func (t *table) parse(set settings.Lookup) (err error) {
	if t.filter, err = lookup.ParseQuestion(set.Query); err != nil {
		return err
	}
	if t.base, err = lookup.ParseQuestion(set.Base); err != nil {
		return fmt.Errorf("base: %w", err)
	}
	if !t.filter.Asks() && !t.base.Asks() {
		return lookup.ErrNoPlace
	}
	if err := t.filter.OnTheRight("("); err != nil {
		return err
	}
	if err := t.base.OnTheRight(",+"); err != nil {
		return fmt.Errorf("base: %w", err)
	}
	sample, _ := lookup.SubjectOf("a@b")
	base, filter, _ := t.fill(sample)
	if _, err := ldap.CompileFilter(filter); err != nil {
		return fmt.Errorf("the filter %s: %w", set.Query, err)
	}
	if _, err := ldap.ParseDN(base); err != nil {
		return fmt.Errorf("the base %s: %w", set.Base, err)
	}
	return nil
}

// fill makes base and filter of a key. False: the key lacks a part.
func (t *table) fill(s lookup.Subject) (base, filter string, ok bool) {
	if base, ok = t.base.Fill(s, ldap.EscapeDN); !ok {
		return "", "", false
	}
	filter, ok = t.filter.Fill(s, ldap.EscapeFilter)
	return base, filter, ok
}

// Find asks the servers in order.
func (t *table) Find(ctx context.Context, key string) (lookup.Answer, error) {
	subject, ok := lookup.SubjectOf(key)
	if !ok {
		return lookup.Answer{}, nil
	}
	base, filter, ok := t.fill(subject)
	if !ok {
		return lookup.Answer{}, nil
	}
	q := question{base: base, filter: filter, scope: t.scope, attributes: t.attributes, mayLack: t.base.Asks(), leaveOut: t.leaveOut}
	var a lookup.Answer
	err := t.failover.Ask(ctx, func(ctx context.Context, server int) error {
		return t.pools[server].Do(ctx, func(ctx context.Context, c *conn) (err error) {
			a, err = c.ask(ctx, q)
			a.Where = "ldap " + t.servers[server].Name
			return err
		})
	})
	if err != nil {
		return lookup.Answer{}, err
	}
	return a, nil
}

// Close ends the connections.
func (t *table) Close() {
	for _, p := range t.pools {
		p.Close()
	}
}

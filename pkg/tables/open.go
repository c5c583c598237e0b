package tables

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"filbert/pkg/lookup"
	"filbert/pkg/pattern"
	"filbert/pkg/settings"
	"filbert/pkg/tally"
)

// The defaults of the settings.
const (
	defaultTimeout  = 5 * time.Second
	defaultCacheFor = 10 * time.Second
)

// World is what the tables need from around them.
type World struct {
	Now    func() time.Time
	Passwd string // the password file; "" = /etc/passwd
	// Complain is told of a file that can't be taken; nil: nobody is.
	Complain func(name string, err error)
	// Known, Asked and Spared count the answers of servers that are known, the
	// questions to them, and those that were not asked as the server had just failed.
	Known, Asked, Spared *tally.Figure
}

// Open opens one lookup.
func Open(name string, set settings.Lookup, world World) (lookup.Table, error) {
	t, err := openGuard(name, set, world)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func openGuard(name string, set settings.Lookup, world World) (*guard, error) {
	domains, err := pattern.CompileList(set.Domains, pattern.Domains)
	if err != nil {
		return nil, fmt.Errorf("open lookup %s: domains: %w", name, err)
	}
	if world.Now == nil {
		world.Now = time.Now
	}
	t, isServer, err := open(name, set, world)
	switch {
	case err != nil && isServer:
		// A password or certificate that can't be read must not keep the mail waiting
		// that needs no such server.
		if world.Complain != nil {
			world.Complain(name, err)
		}
		t = unopened{err}
	case err != nil:
		return nil, fmt.Errorf("open lookup %s: %w", name, err)
	}
	g := &guard{name: name, table: t, domains: domains, key: lookup.AddressKey}
	switch {
	case isServer:
		g.shield = newShield(t, shieldSettings{
			timeout:  orElse(time.Duration(set.Timeout), defaultTimeout),
			cacheFor: time.Duration(settings.Or(set.CacheFor, settings.Duration(defaultCacheFor))),
			now:      world.Now,
			known:    world.Known, asked: world.Asked, spared: world.Spared,
		})
	case set.Type == "passwd":
		// The names of accounts are as they are written; the table itself tries lower case.
		g.key = func(key string) string { return key }
	}
	return g, nil
}

func orElse(d, unset time.Duration) time.Duration {
	if d <= 0 {
		return unset
	}
	return d
}

// unopened is a table on a server that could not be made ready.
type unopened struct{ err error }

func (u unopened) Find(context.Context, string) (lookup.Answer, error) {
	return lookup.Answer{}, fmt.Errorf("it could not be opened: %w", u.err)
}

func (u unopened) Close() {}

// guard holds a table to the promises of the package.
type guard struct {
	name    string
	table   lookup.Table
	shield  *shield // nil for what needs no server
	domains pattern.List
	key     func(string) string
}

// Find asks the table, if it may have the key.
func (g *guard) Find(ctx context.Context, key string) (lookup.Answer, error) {
	key = g.key(key)
	if !mayBe(key) || !g.inDomains(key) {
		return lookup.Answer{}, nil
	}
	var a lookup.Answer
	var err error
	if g.shield != nil {
		a, err = g.shield.find(ctx, key)
	} else {
		a, err = checked(g.table.Find(ctx, key))
	}
	if err != nil {
		return lookup.Answer{}, fmt.Errorf("lookup %s: %w", g.name, err)
	}
	return a, nil
}

// checked holds an answer to the rules for what tables give.
func checked(a lookup.Answer, err error) (lookup.Answer, error) {
	if err != nil || !a.Found {
		return lookup.Answer{}, err
	}
	return a, lookup.Usable(a.Values)
}

// mayBe reports whether any table could have a key: what is no text is in none,
// and is shown to no server.
func mayBe(key string) bool {
	if len(key) > lookup.MaxKey || !utf8.ValidString(key) {
		return false
	}
	for i := range len(key) {
		if c := key[i]; c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// inDomains looks at what stands behind the @, or at a key without one as a
// domain: a local part alone is in no domain.
func (g *guard) inDomains(key string) bool {
	return g.domains.Empty() || g.domains.Match(key[strings.LastIndexByte(key, '@')+1:])
}

// Reload has the table look at its file, and forgets answers.
func (g *guard) Reload() error {
	if g.shield != nil {
		g.shield.forget()
	}
	if r, ok := g.table.(lookup.Reloader); ok {
		if err := r.Reload(); err != nil {
			return fmt.Errorf("lookup %s: %w", g.name, err)
		}
	}
	return nil
}

// Close waits for questions that are under way.
func (g *guard) Close() {
	if g.shield != nil {
		g.shield.close()
	}
	g.table.Close()
}

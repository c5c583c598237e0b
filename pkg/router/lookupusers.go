package router

import (
	"fmt"
	"strings"

	"filbert/pkg/aliases"
	"filbert/pkg/lookup"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/untrusted"
)

// lookupUsers is the driver `user` with source "lookup".
type lookupUsers struct {
	rules    *rules
	director *director
}

// direct asks as tableUsers reads: by the whole address, by the name, both
// without what follows the separator, and last by the domain.
func (l *lookupUsers) direct(q *query, n *node) said {
	type question struct{ key, detail string }
	var questions []question
	for _, c := range candidates(n.addr, l.director.set.Separator) {
		for _, key := range userKeys(c.addr) {
			questions = append(questions, question{key, c.detail})
		}
	}
	questions = append(questions, question{aliases.DomainKey(n.addr.Domain()), ""})
	for _, ask := range questions {
		u, where, found, err := q.userIn(l.director.set.Lookup, ask.key)
		switch {
		case err != nil:
			return l.director.badUser(err)
		case found:
			return l.director.virtualUser(l.rules, u, ask.detail, where, n.addr)
		}
	}
	return said{why: "not in lookup " + l.director.set.Lookup}
}

// userKeys are those by which a user is looked for: the address, then the name.
func userKeys(a mailaddr.Address) [2]string {
	full := aliases.Key(a)
	return [2]string{full, strings.TrimSuffix(full[:len(full)-len(a.Domain())], "@")}
}

// userIn reads the user that a lookup has under a key.
func (q *query) userIn(name, key string) (u lookup.User, where string, found bool, err error) {
	a, err := q.find(q.ctx, name, key)
	if err != nil || !a.Found {
		return u, "", false, err
	}
	if where = a.Where; where == "" {
		where = "lookup " + name
	}
	if len(a.Values) != 1 {
		return u, where, true, &mistake{fmt.Errorf("lookup %s: %s has %d values, and one user is wanted", name, key, len(a.Values))}
	}
	if u, err = lookup.ParseUser(a.Values[0]); err != nil {
		q.rules.tell("reading "+key+" of lookup "+name, err)
		return u, where, true, &mistake{fmt.Errorf("lookup %s: %s: %w", name, key, err)}
	}
	return u, where, true, nil
}

// badUser is what is said while a user cannot be had.
func (d *director) badUser(err error) said {
	if _, is := err.(*mistake); is {
		return said{decision: decided, verdict: outcome.Defer(outcome.Internal, statusConfig,
			"director %s: %s", d.set.Name, untrusted.From(err.Error()).ForTerminal())}
	}
	return d.unreadable(err)
}

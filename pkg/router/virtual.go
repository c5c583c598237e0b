package router

import (
	"fmt"

	"filbert/pkg/aliases"
)

// virtual is the driver `virtual`: whole domains, by name@domain, the same
// without what follows the separator, and last @domain, which takes all others.
// A bare name among the items is a user of this machine, not of the domain.
type virtual struct{ entries }

func newVirtual(r *rules, d *director) *virtual {
	v := &virtual{newEntries(r, d, aliases.ParseVirtual, true)}
	v.bare = r.home
	return v
}

func (v *virtual) direct(q *query, n *node) said {
	b, err := v.source.open(q)
	if err != nil {
		return v.director.unreadable(err)
	}
	type attempt struct {
		candidate
		key string
	}
	var attempts []attempt
	for _, c := range candidates(n.addr, v.director.set.Separator) {
		attempts = append(attempts, attempt{c, aliases.Key(c.addr)})
	}
	// Whoever takes the rest of a domain has the whole local part.
	attempts = append(attempts, attempt{candidate{addr: n.addr}, aliases.DomainKey(n.addr.Domain())})
	why := "no entry"
	for _, at := range attempts {
		found, err := b.has(at.key)
		switch {
		case err != nil:
			return v.director.unreadable(err)
		case !found:
			continue
		case n.descends(at.addr):
			why = fmt.Sprintf("%s is one of its own ancestors", at.addr)
			continue
		}
		return v.found(q, n, at.candidate, b, at.key)
	}
	return said{why: why}
}

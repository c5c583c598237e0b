package router

import (
	"fmt"

	"filbert/pkg/aliases"
)

// aliasFile is the driver `aliasfile`.
type aliasFile struct{ entries }

func newAliasFile(r *rules, d *director) *aliasFile {
	return &aliasFile{newEntries(r, d, aliases.Parse, false)}
}

// direct looks an address up: name@domain, then name, and with a separator the
// same for what stands before it.
func (a *aliasFile) direct(q *query, n *node) said {
	b, err := a.source.open(q)
	if err != nil {
		return a.director.unreadable(err)
	}
	why := "no entry"
	for _, c := range candidates(n.addr, a.director.set.Separator) {
		key, found, err := keyIn(b, c.addr)
		switch {
		case err != nil:
			return a.director.unreadable(err)
		case !found:
			continue
		case n.descends(c.addr):
			why = fmt.Sprintf("%s is one of its own ancestors", c.addr)
			continue
		}
		return a.found(q, n, c, b, key)
	}
	return said{why: why}
}

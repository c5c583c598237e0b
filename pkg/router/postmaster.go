package router

import (
	"fmt"

	"filbert/pkg/outcome"
	"filbert/pkg/proto"
)

// toPostmaster sends what must have a place, and has none, to the address of
// the setting postmaster.
func (q *query) toPostmaster(n *node, why string) []node {
	to := q.rules.qualified(q.rules.postmaster)
	c := n.child(nil, 1)
	c.rcpt.Address = to
	if n.fallback == nil {
		from := *n
		c.fallback = &from
	}
	if sameLocal(to, n.addr) || n.descends(to) {
		q.trace.add("%s, and the setting postmaster leads back here", why)
		q.postmasterLost(&c, outcome.Fail(outcome.UnknownUser, statusUnknown, "no director takes it"))
		return nil
	}
	q.trace.add("%s: the setting postmaster, %s", why, to)
	return []node{c}
}

// postmasterLost defers what went to postmaster and failed: it is what nobody
// else could be told. The recipient that waits is the one that began it, so that
// a later attempt goes the whole way again.
func (q *query) postmasterLost(n *node, o outcome.Outcome) {
	from := n.fallback
	text := o.Text.ForTerminal()
	o = outcome.Defer(outcome.UnknownUser, statusConfig,
		"mail for %s has no place (%s): make an alias for it, or set postmaster", from.addr, text)
	q.trace.add("deferred: %s", o.Text.ForTerminal())
	q.rules.tell("finding a place for "+from.addr.String(),
		fmt.Errorf("%s: make an alias for it, or set postmaster", text))
	q.add(from, proto.Leaf{Verdict: o})
}

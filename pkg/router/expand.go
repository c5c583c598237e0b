package router

import (
	"fmt"
	"slices"
	"strings"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
)

// seenKey is what is expanded once in a tree.
type seenKey struct {
	addr mailaddr.Address
	// exempt: how often it is among its own ancestors, up to two. Then fewer
	// directors are asked.
	exempt int
}

// expand grows the tree of one recipient, depth first, without recursion: how
// deep it gets is decided by files.
func (q *query) expand(root node) {
	mark := len(q.leaves)
	stack := []node{root}
	seen := map[seenKey]bool{}
	limit := q.expansionLimit()
	for pushed := 1; len(stack) > 0; {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		children := q.step(&n, seen)
		pushed += len(children)
		if len(q.leaves)-mark+len(stack)+len(children) > limit || pushed > 4*limit+1000 {
			q.overflow(mark, &root, &n, limit)
			return
		}
		q.leaves = slices.Grow(q.leaves, len(children))
		for i := len(children) - 1; i >= 0; i-- {
			stack = append(stack, children[i])
		}
	}
	if len(q.leaves) == mark {
		// Every branch led to an address that had been expanded before, which
		// only an address that stands for nothing but itself can do.
		q.verdict(&root, q.loop(&root))
	}
}

// step does one address: it adds a leaf, or gives children.
func (q *query) step(n *node, seen map[seenKey]bool) []node {
	q.trace.at(n.depth)
	if n.rcpt.Kind != envelope.TargetAddress {
		q.target(n)
		return nil
	}
	n.addr = q.rules.qualified(n.rcpt.Address)
	if local, err := q.isLocal(n.addr.Domain()); err != nil {
		q.verdict(n, cantTell("domains.local", err))
		return nil
	} else if !local {
		q.await(n)
		return nil
	}
	if len(n.rcpt.Lineage) >= envelope.MaxLineage {
		q.verdict(n, outcome.Fail(outcome.Loop, statusLoop, "aliases nested more than %d deep: %s", envelope.MaxLineage, chain(n)))
		return nil
	}
	k := seenKey{addr: lowered(n.addr), exempt: min(n.times(n.addr), forwarded)}
	if seen[k] {
		q.trace.address(n.addr.String())
		q.trace.at(n.depth + 1)
		q.trace.add("already in this tree")
		return nil
	}
	seen[k] = true
	return q.direct(n)
}

// qualified gives a bare name the domain of this machine.
func (r *rules) qualified(a mailaddr.Address) mailaddr.Address {
	if a.Domain() != "" {
		return a
	}
	if full, err := a.WithDomain(r.home); err == nil {
		return full
	}
	return a
}

func lowered(a mailaddr.Address) mailaddr.Address {
	if lower, err := a.WithLocal(strings.ToLower(a.Local())); err == nil {
		return lower
	}
	return a
}

// direct offers n to the directors in order.
func (q *query) direct(n *node) []node {
	q.trace.address(n.addr.String())
	q.trace.at(n.depth + 1)
	var doubt outcome.Outcome // of who could not tell and was passed over
	for i := 0; i < len(q.rules.directors); {
		d := q.rules.directors[i]
		i = d.next
		next, v := d.before(q, n.addr)
		if next == ask {
			s := d.driver.direct(q, n)
			switch s.decision {
			case taken, redirected, decided, elsewhere:
				return q.directed(n, d, &s)
			case declined:
				next = d.declined(q, s.why)
			case unsure:
				next, v = d.unsure(q, s.verdict)
			}
		} else if next == goOn {
			i = d.after()
		}
		switch next {
		case concede:
			q.settle(n, d.name, v)
			return nil
		case giveUp:
			return q.nobody(n, doubt)
		}
		if v.Class != 0 {
			doubt = v
		}
	}
	return q.nobody(n, doubt)
}

// directed does what a director has said.
func (q *query) directed(n *node, d *director, s *said) []node {
	switch s.decision {
	case taken:
		q.trace.step(d.step("took", s.why))
		q.explainLeaf(&s.leaf)
		q.take(n, &d.course, s.leaf)
		return nil
	case redirected:
		q.trace.step(d.step("redirected", s.why))
		if edit := d.edit(q, n.addr); !edit.IsEmpty() {
			for i := range s.children {
				s.children[i].rcpt.Edit = s.children[i].rcpt.Edit.Then(edit)
			}
		}
		return s.children
	}
	if s.decision == elsewhere {
		q.trace.step(d.step("took", s.why))
		n.edit = d.edit(q, n.addr)
		if to := d.report(q); to != nil {
			n.rcpt.ErrorsTo = to
		}
		q.await(n)
		return nil
	}
	did := "took"
	if s.verdict.Class != outcome.Delivered {
		did = s.verdict.Class.String()
	}
	q.trace.step(d.step(did, verdictText(s.verdict)))
	q.settle(n, d.name, s.verdict)
	return nil
}

// take adds the leaf of an entry that delivers.
func (q *query) take(n *node, c *course, leaf proto.Leaf) {
	leaf.Recipient = n.rcpt
	c.follow(q, &leaf)
	leaf.Parent, leaf.Expanded = n.root, n.expanded
	q.leaves = append(q.leaves, leaf)
}

func (q *query) explainLeaf(l *proto.Leaf) {
	if !q.trace.on() {
		return
	}
	text := "transport " + l.Transport
	if l.User != nil {
		text += fmt.Sprintf(", user %s (uid %d, gid %d, home %s)", l.User.Name, l.User.UID, l.User.GID, l.User.Home)
	}
	if l.Detail != "" {
		text += ", detail " + l.Detail
	}
	q.trace.note("%s", text)
}

// nobody ends an address that no director took. With a doubt there is one that might
// have taken it and could not tell: that is no unknown user.
func (q *query) nobody(n *node, doubt outcome.Outcome) []node {
	if strings.EqualFold(n.addr.Local(), "postmaster") {
		return q.toPostmaster(n, "no director took it")
	}
	if doubt.Class != 0 {
		q.trace.add("no director took it, and one could not tell: it waits")
		q.verdict(n, doubt)
		return nil
	}
	if len(n.rcpt.Lineage) > 0 && n.descends(n.addr) {
		q.trace.add("no director took it: loop")
		q.verdict(n, q.loop(n))
		return nil
	}
	q.trace.add("no director took it: unknown user")
	q.verdict(n, outcome.Fail(outcome.UnknownUser, statusUnknown, "there is no user %s here", n.addr))
	return nil
}

func (q *query) loop(n *node) outcome.Outcome {
	return outcome.Fail(outcome.Loop, statusLoop, "aliases that lead in a circle: %s", chain(n))
}

// overflow takes back the whole tree: a part of a list would look like all of
// it, and a later attempt could not tell who had the message.
func (q *query) overflow(mark int, root, at *node, limit int) {
	for domain, list := range q.remote {
		kept := list[:0]
		for _, i := range list {
			if i < mark {
				kept = append(kept, i)
			}
		}
		if q.remote[domain] = kept; len(kept) == 0 {
			delete(q.remote, domain)
		}
	}
	q.leaves = q.leaves[:mark]
	o := outcome.Defer(outcome.Policy, statusExpansion, "%s expands to more than %d recipients (limits.expansion), by way of %s",
		root.addr, limit, chain(at))
	q.trace.add("%s", o.Text.ForTerminal())
	q.rules.tell("expanding "+root.addr.String(), fmt.Errorf("more than %d recipients (limits.expansion)", limit))
	q.verdict(root, o)
}

// maxChain is how many addresses of a chain are shown at each of its ends.
const maxChain = 5

// chain is how an address was come to, for people.
func chain(n *node) string {
	all := slices.CompactFunc(slices.Clone(n.lineage()), sameLocal)
	var words []string
	for i, a := range all {
		if i >= maxChain && i < len(all)-maxChain {
			if i == maxChain {
				words = append(words, "...")
			}
			continue
		}
		words = append(words, a.String())
	}
	return strings.Join(words, " -> ")
}

package router

import (
	"context"
	"strings"
	"sync"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// maxDomains is how many domains of one query are routed at the same time.
const maxDomains = 32

// node is an address on its way through the tree.
type node struct {
	rcpt     envelope.Recipient
	addr     mailaddr.Address // rcpt.Address with a domain
	root     int              // whose tree: index in the query
	expanded bool
	depth    int
	passed   []mailaddr.Address // the lineage of its children, once made
	from     *director          // whose alias it is
	// edit is what the director that hands it to the routers changes in the header:
	// as theirs it is of this delivery, and is not filed with the recipient.
	edit *envelope.Edit
	// fallback is the ancestor that went to the setting postmaster, and from
	// there here: if this fails, that one is deferred.
	fallback *node
}

// query is one RouteQuery under way.
type query struct {
	ctx    context.Context
	rules  *rules
	sender mailaddr.Address
	origin proto.Origin
	verify proto.Verify
	trace  *trace

	mu    sync.Mutex // of asked and consulted: domains are routed side by side
	asked map[string]remembered
	// consulted are the programs' answers.
	consulted map[proto.ConsultQuery]consulted
	forwards  map[proto.ForwardQuery]*proto.ForwardAnswer // of the directors, who are asked in turn

	leaves []proto.Leaf
	// remote are the leaves that wait for their domain: indexes of leaves, by what
	// their routes depend on.
	remote map[routeKey][]int
}

// answer goes through a whole query.
func (r *rules) answer(ctx context.Context, m *proto.RouteQuery) *proto.RouteAnswer {
	q := &query{ctx: ctx, rules: r, sender: m.Sender, origin: m.Origin, verify: m.Verify, leaves: make([]proto.Leaf, 0, len(m.Recipients))}
	if m.Explain {
		q.trace = new(trace)
	}
	for i := range m.Recipients {
		q.begin(i, &m.Recipients[i])
	}
	q.routeRemote()
	leaves := unique(q.leaves, m.Recipients)
	if m.Verify == proto.VerifyCallout {
		r.verifyLeaves(ctx, r.world.Callouts, r.world.Agents, leaves, q.trace)
	}
	return &proto.RouteAnswer{Leaves: leaves, Trace: q.trace.all()}
}

// begin starts the tree of one recipient.
func (q *query) begin(i int, rcpt *envelope.Recipient) {
	n := node{rcpt: *rcpt, addr: rcpt.Address, root: i}
	q.trace.at(0)
	switch {
	case rcpt.Kind != envelope.TargetAddress:
		q.target(&n)
		return
	case n.addr.IsNull():
		q.verdict(&n, outcome.Fail(outcome.UnknownUser, statusBadAddress, "the null address is no recipient"))
		return
	}
	if local, err := q.isLocal(n.addr.Domain()); err != nil {
		q.verdict(&n, cantTell("domains.local", err))
	} else if local {
		q.expand(n)
	} else {
		q.await(&n)
	}
}

// isLocal tells whether directors handle a domain.
func (q *query) isLocal(domain string) (bool, error) {
	if domain == "" {
		return true, nil
	}
	in, _, err := q.rules.local.Match(q.ctx, domain, q.ask)
	return in, err
}

// cantTell is the verdict while a setting can't be asked.
func cantTell(setting string, err error) outcome.Outcome {
	return outcome.Defer(outcome.Internal, statusConfig, "%s: %s", setting, untrusted.From(err.Error()).ForTerminal())
}

var (
	statusBadAddress = smtp.Status{Class: 5, Subject: 1, Detail: 3}
	statusUnknown    = smtp.Status{Class: 5, Subject: 1, Detail: 1}
	statusLoop       = smtp.Status{Class: 5, Subject: 4, Detail: 6}
	statusRefused    = smtp.Status{Class: 5, Subject: 7, Detail: 1}
	statusLater      = smtp.Status{Class: 4, Subject: 7, Detail: 1}
	statusConfig     = smtp.Status{Class: 4, Subject: 3, Detail: 5}
	statusExpansion  = smtp.Status{Class: 4, Subject: 2, Detail: 4}
	statusDone       = smtp.Status{Class: 2, Subject: 0, Detail: 0}
	statusTimeout    = smtp.Status{Class: 4, Subject: 4, Detail: 3}
)

// add appends a leaf for n.
func (q *query) add(n *node, leaf proto.Leaf) {
	leaf.Parent, leaf.Recipient, leaf.Expanded = n.root, n.rcpt, n.expanded
	q.leaves = append(q.leaves, leaf)
}

// verdict appends a leaf that needs no delivery.
func (q *query) verdict(n *node, o outcome.Outcome) {
	q.settle(n, "", o)
}

// settle is verdict with the name of who decided.
func (q *query) settle(n *node, by string, o outcome.Outcome) {
	if n.fallback != nil && o.Permanent() {
		q.postmasterLost(n, o)
		return
	}
	q.add(n, proto.Leaf{By: by, Verdict: o})
}

// await puts n on the list of a domain, or routes it at once to explain it.
func (q *query) await(n *node) {
	domain, err := n.addr.ASCIIDomain()
	if err != nil {
		q.verdict(n, outcome.Fail(outcome.NoDomain, statusBadAddress, "the domain cannot be written for DNS: %v", err))
		return
	}
	domain = strings.ToLower(domain) // [IPv6:...] has capitals
	if q.trace.on() {
		q.trace.address(n.addr.String())
		q.trace.at(n.depth + 1)
		q.trace.add("not a local domain: routers")
		q.arrive(n, q.routeDomain(domain, n.addr))
		return
	}
	if n.fallback != nil {
		// At once, since a leaf does not know of its node any more.
		q.arrive(n, q.routeCached(q.keyOf(domain, n.addr), n.addr))
		return
	}
	q.add(n, proto.Leaf{Edit: n.edit})
	if q.remote == nil {
		q.remote = make(map[routeKey][]int, 1)
	}
	k := q.keyOf(domain, n.addr)
	q.remote[k] = append(q.remote[k], len(q.leaves)-1)
}

// arrive makes n's leaf from a route.
func (q *query) arrive(n *node, rt *routed) {
	if rt.verdict.Class != 0 {
		q.settle(n, rt.by, rt.verdict)
		return
	}
	q.add(n, proto.Leaf{Edit: n.edit})
	rt.fill(q, &q.leaves[len(q.leaves)-1], rt.hosts(q))
}

// routeRemote routes each domain that leaves wait for, several at a time, and
// fills them in. All leaves of a route share its list of hosts.
func (q *query) routeRemote() {
	q.count()
	if len(q.remote) == 1 {
		for k, at := range q.remote {
			q.fill(at, q.routeCached(k, q.leaves[at[0]].Recipient.Address))
		}
		return
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxDomains)
	for k, at := range q.remote {
		slots <- struct{}{}
		wg.Go(func() {
			q.fill(at, q.routeCached(k, q.leaves[at[0]].Recipient.Address))
			<-slots
		})
	}
	wg.Wait()
}

func (q *query) fill(at []int, rt *routed) {
	if rt.verdict.Class != 0 {
		for _, i := range at {
			q.leaves[i].By, q.leaves[i].Verdict = rt.by, rt.verdict
		}
		return
	}
	hosts := rt.hosts(q)
	for _, i := range at {
		rt.fill(q, &q.leaves[i], hosts)
	}
}

// leafKey is what two leaves that deliver to the same place have in common.
type leafKey struct {
	kind         envelope.TargetKind
	addr         mailaddr.Address
	target, user string
	root         int // verdicts: each recipient has its own; else -1
}

func keyOf(l *proto.Leaf) leafKey {
	k := leafKey{kind: l.Recipient.Kind, addr: l.Recipient.Address, root: -1}
	if l.Verdict.Class != 0 {
		k.root = l.Parent
	}
	switch {
	case k.kind != envelope.TargetAddress:
		// By whichever name one came to a command or file, it is one.
		k.addr, k.target, k.user = mailaddr.Address{}, l.Recipient.Target, l.Recipient.User
	case l.User != nil || l.NextHop == "":
		// Upper and lower case differ for other machines only.
		if lower, err := k.addr.WithLocal(strings.ToLower(k.addr.Local())); err == nil {
			k.addr = lower
		}
	}
	return k
}

// unique leaves each place of delivery once. A recipient of the message goes
// before one that an alias led to: its reports are the sender's own. Who has
// no leaf left gets a verdict that says why.
func unique(leaves []proto.Leaf, recipients []envelope.Recipient) []proto.Leaf {
	if len(leaves) == 1 && len(recipients) == 1 {
		return leaves
	}
	kept := make(map[leafKey]int, len(leaves))
	drop := make([]bool, len(leaves))
	dropped := false
	for i := range leaves {
		k := keyOf(&leaves[i])
		first, twice := kept[k]
		switch {
		case !twice:
			kept[k] = i
		case leaves[first].Expanded && !leaves[i].Expanded:
			drop[first], kept[k], dropped = true, i, true
		default:
			drop[i], dropped = true, true
		}
	}
	if !dropped {
		return leaves
	}
	out := leaves[:0]
	has := make([]bool, len(recipients))
	for i := range leaves {
		if !drop[i] {
			has[leaves[i].Parent] = true
			out = append(out, leaves[i])
		}
	}
	for i, ok := range has {
		if !ok {
			out = append(out, duplicate(i, recipients[i]))
		}
	}
	return out
}

func duplicate(i int, rcpt envelope.Recipient) proto.Leaf {
	return proto.Leaf{Parent: i, Recipient: rcpt, Expanded: true, Verdict: outcome.Outcome{
		Class: outcome.Delivered, Status: statusDone,
		Text: untrusted.From("goes with another recipient of this message to the same place"),
	}}
}

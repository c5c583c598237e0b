package router

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/pattern"
	"filbert/pkg/proto"
	"filbert/pkg/route"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// How long the route of a domain is kept: DNS has its own times, and a route is
// only a computation saved, so that a change is seen soon.
const (
	keepRoute   = time.Minute
	keepFailure = 10 * time.Second
	smtpPort    = 25
)

// routed is what the routers said of a domain. It is never changed after it was
// made, and shared.
type routed struct {
	by        string
	course    *course // of the router that took it
	transport string
	user      *proto.User // of a local transport
	login     *proto.Credentials
	never     bool // to be remembered
	nextHop   string
	plan      route.Plan
	plans     []route.Plan // of the hosts of a smarthost, when pick orders them
	pick      picker
	verdict   outcome.Outcome // Class not 0: instead of all that
	expires   time.Time
}

// picker gives the places of n hosts in the order to try for a message.
type picker func(q *query) []int

// hosts are the plan's, in an order to try.
func (rt *routed) hosts(q *query) []proto.Host {
	if rt.pick != nil {
		var sorted []route.Plan
		for _, i := range rt.pick(q) {
			sorted = append(sorted, rt.plans[i])
		}
		return inOrder(route.Join(sorted...), q.rules.world.Chance)
	}
	return inOrder(rt.plan, q.rules.world.Chance)
}

func inOrder(plan route.Plan, chance route.Chance) []proto.Host {
	if plan.Len() == 0 {
		return nil
	}
	out := make([]proto.Host, 0, plan.Len())
	plan.Order(chance, func(h route.Host) {
		out = append(out, proto.Host{Name: h.Name, Addr: h.Addr, Pref: h.Pref, MX: proto.MX(h.MX)})
	})
	return out
}

func (rt *routed) fill(q *query, l *proto.Leaf, hosts []proto.Host) {
	l.Transport, l.NextHop, l.Hosts, l.User, l.Credentials = rt.transport, rt.nextHop, hosts, rt.user, rt.login
	rt.course.follow(q, l)
}

// routes is what a driver of a router does.
//
// An address stands for all that have the same routeKey; a driver that looks at
// more than the domain says so in varies.
type routes interface {
	route(q *query, domain string, a mailaddr.Address) answered
}

// answered is a router's whole answer: declined with why, taken with plan and
// nextHop, decided or unsure with verdict.
type answered struct {
	decision decision
	why      string
	plan     route.Plan
	plans    []route.Plan // pick: one for each host
	pick     picker
	nextHop  string
	login    *proto.Credentials
	never    bool      // it holds for this message alone
	expires  time.Time // zero: as long as may be
	verdict  outcome.Outcome
}

// remote is one router of the configuration.
type remote struct {
	course
	set    settings.Router
	mx     exchange
	driver routes
}

func (r *rules) compileRouters() error {
	var chain []*course
	for i := range r.settings.Routers {
		rt := &remote{set: r.settings.Routers[i]}
		if err := r.compileRouter(rt); err != nil {
			return fmt.Errorf("router %s: %w", rt.set.Name, err)
		}
		r.routers = append(r.routers, rt)
		chain = append(chain, &rt.course)
		r.varies.add(rt.conditions.varies())
		if v, ok := rt.driver.(varying); ok {
			r.varies.add(v.varies())
		}
	}
	return chainOf(chain)
}

func (r *rules) compileRouter(rt *remote) (err error) {
	if rt.course, err = r.compileCourse("router", rt.set.Name, rt.set.Driver, &rt.set.Conditions, &rt.set.Course); err != nil {
		return err
	}
	if rt.mx.only, err = r.compileAsking(rt.set.MXOnly, pattern.Domains); err != nil {
		return fmt.Errorf("mx_only: %w", err)
	}
	if rt.mx.except, err = r.compileAsking(rt.set.MXOnlyExcept, pattern.Domains); err != nil {
		return fmt.Errorf("mx_only_except: %w", err)
	}
	for _, name := range []string{rt.set.Lookup, rt.set.Credentials} {
		if name != "" && !r.tables.Has(name) {
			return fmt.Errorf("there is no lookup %q", name)
		}
	}
	if rt.set.User != "" {
		r.needPasswd()
	}
	rt.mx.rules = r
	rt.mx.port = smtpPort
	if rt.set.Port != 0 {
		rt.mx.port = uint16(rt.set.Port)
	}
	switch rt.set.Driver {
	case "mx":
		rt.driver = &mxRouter{rt}
	case "literal":
		rt.driver = &literalRouter{rt}
	case "smarthost":
		rt.driver, err = newSmartHost(rt)
	case "table":
		rt.driver, err = newTable(r, rt)
	case "accept":
		rt.driver = acceptRouter{}
	case "fail", "defer":
		rt.driver = &refuser{rt}
	case "command":
		rt.driver = &commandRouter{rt}
	default:
		err = fmt.Errorf("driver %q is not known", rt.set.Driver)
	}
	return err
}

// variance is what of a message and an address, beside its domain, decides about
// its route.
type variance struct {
	local, sender, origin, size bool
}

func (v *variance) add(o variance) {
	v.local, v.sender = v.local || o.local, v.sender || o.sender
	v.origin, v.size = v.origin || o.origin, v.size || o.size
}

// varying is a driver that looks at more than the domain.
type varying interface{ varies() variance }

// routeKey is what two addresses have in common that have the same route.
type routeKey struct {
	domain string
	verify proto.Verify
	// What is empty where no router looks at it.
	local    string
	sender   mailaddr.Address
	source   string
	client   netip.Addr
	listener string
	size     int64
}

func (q *query) keyOf(domain string, a mailaddr.Address) routeKey {
	k, v := routeKey{domain: domain, verify: q.verify}, &q.rules.varies
	if v.local {
		k.local = a.Local()
	}
	if v.sender {
		k.sender = q.sender
	}
	if v.origin {
		k.source, k.client, k.listener = q.origin.Source.String(), q.origin.Client, q.origin.Listener
	}
	if v.size {
		k.size = q.origin.Size
	}
	return k
}

// routeCached is routeDomain with the memory of the last minute.
func (q *query) routeCached(k routeKey, a mailaddr.Address) *routed {
	r := q.rules
	now := r.world.Now()
	if rt := r.cache.get(k, now); rt != nil {
		r.world.Figures.known.Add(1)
		return rt
	}
	rt := q.makeRoute(k.domain, a)
	keep := keepRoute
	if rt.verdict.Class != 0 {
		keep = keepFailure
	}
	if end := now.Add(keep); rt.expires.IsZero() || end.Before(rt.expires) {
		rt.expires = end
	}
	if !rt.verdict.Temporary() && !rt.never {
		r.cache.put(k, rt, now)
	}
	return rt
}

// routeDomain offers an address to the routers in order.
func (q *query) routeDomain(domain string, a mailaddr.Address) *routed {
	none := route.NoRouter(domain)
	doubtful := false // somebody could not tell, and was passed over
	for i := 0; i < len(q.rules.routers); {
		rt := q.rules.routers[i]
		i = rt.next
		next, v := rt.before(q, a)
		if next == ask {
			s := rt.driver.route(q, domain, a)
			switch s.decision {
			case taken:
				s.never = s.never || doubtful // the next question may be answered
				return q.routedBy(rt, &s)
			case decided:
				q.trace.step(rt.step(s.verdict.Class.String(), verdictText(s.verdict)))
				return &routed{by: rt.name, verdict: s.verdict, expires: s.expires}
			case unsure:
				next, v = rt.unsure(q, s.verdict)
			default:
				next = rt.declined(q, s.why)
			}
		} else if next == goOn {
			i = rt.after()
		}
		switch next {
		case concede:
			return &routed{by: rt.name, verdict: v}
		case giveUp:
			return &routed{verdict: none}
		}
		if v.Class != 0 {
			none, doubtful = v, true
		}
	}
	q.trace.add("no router took it")
	return &routed{verdict: none}
}

// routedBy is the route of a router that took an address.
func (q *query) routedBy(rt *remote, s *answered) *routed {
	out := &routed{by: rt.name, course: &rt.course, transport: rt.set.Transport, nextHop: s.nextHop,
		plan: s.plan, plans: s.plans, pick: s.pick, expires: s.expires, login: s.login, never: s.never}
	if rt.set.User != "" {
		out.user = q.rules.actor(rt.set.User, rt.set.Group)
	}
	if q.trace.on() {
		q.trace.step(rt.step("took", fmt.Sprintf("transport %s, next hop %s", out.transport, untrusted.From(out.nextHop).ForTerminal())))
		for _, h := range out.hosts(q) {
			q.trace.note("%d %s", h.Pref, hostText(h))
		}
	}
	return out
}

// hostText is "name [address:port]", or without a name the address alone.
func hostText(h proto.Host) string {
	if strings.HasPrefix(h.Name, "[") {
		return h.Addr.String()
	}
	return fmt.Sprintf("%s [%s]", h.Name, h.Addr)
}

// unreadable is what a router says while its file cannot be used.
func (rt *remote) unreadable(err error) answered {
	return answered{decision: unsure, verdict: outcome.Defer(outcome.Internal, statusConfig,
		"router %s: %s", rt.set.Name, untrusted.From(err.Error()).ForTerminal())}
}

// routeCache keeps the routes of domains.
type routeCache struct {
	limit int
	mu    sync.RWMutex
	byKey map[routeKey]*routed
}

const leastRoutes = 1000

func newRouteCache(limit int) *routeCache {
	return &routeCache{limit: max(limit, leastRoutes), byKey: make(map[routeKey]*routed)}
}

func (c *routeCache) get(k routeKey, now time.Time) *routed {
	c.mu.RLock()
	rt := c.byKey[k]
	c.mu.RUnlock()
	if rt == nil || !now.Before(rt.expires) {
		return nil
	}
	return rt
}

// put keeps a route. A full cache loses what has expired, or else an arbitrary
// part: DNS answers behind it are cached as well, so little is lost.
func (c *routeCache) put(k routeKey, rt *routed, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byKey) >= c.limit {
		for d, old := range c.byKey {
			if !now.Before(old.expires) {
				delete(c.byKey, d)
			}
		}
		for d := range c.byKey {
			if len(c.byKey) <= c.limit*7/8 {
				break
			}
			delete(c.byKey, d)
		}
	}
	c.byKey[k] = rt
}

// luck is chance for use by many goroutines.
type luck struct{}

// Shuffle is that of math/rand/v2, which seeds itself.
func (luck) Shuffle(n int, swap func(i, j int)) { rand.Shuffle(n, swap) }

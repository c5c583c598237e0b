package router

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"filbert/pkg/lookup"
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
	transport string
	nextHop   string
	plan      route.Plan
	verdict   outcome.Outcome // Class not 0: instead of all that
	expires   time.Time
}

// hosts are the plan's, in an order to try.
func (rt *routed) hosts(chance route.Chance) []proto.Host {
	if rt.plan.Len() == 0 {
		return nil
	}
	out := make([]proto.Host, 0, rt.plan.Len())
	rt.plan.Order(chance, func(h route.Host) {
		out = append(out, proto.Host{Name: h.Name, Addr: h.Addr, Pref: h.Pref})
	})
	return out
}

func (rt *routed) fill(l *proto.Leaf, hosts []proto.Host) {
	l.By, l.Transport, l.NextHop, l.Hosts = rt.by, rt.transport, rt.nextHop, hosts
}

// routes is what a driver of a router does.
type routes interface {
	route(ctx context.Context, domain string, a mailaddr.Address, t *trace) answered
}

// answered is a router's whole answer: declined with why, taken with plan and
// nextHop, or decided with verdict.
type answered struct {
	decision decision
	why      string
	plan     route.Plan
	nextHop  string
	expires  time.Time // zero: as long as may be
	verdict  outcome.Outcome
}

// remote is one router of the configuration.
type remote struct {
	set     settings.Router
	domains pattern.List
	mx      exchange
	driver  routes
}

func (r *rules) compileRouters() error {
	for i := range r.settings.Routers {
		rt := &remote{set: r.settings.Routers[i]}
		if err := r.compileRouter(rt); err != nil {
			return fmt.Errorf("router %s: %w", rt.set.Name, err)
		}
		r.routers = append(r.routers, rt)
	}
	return nil
}

func (r *rules) compileRouter(rt *remote) (err error) {
	if rt.domains, err = pattern.CompileList(rt.set.Domains, pattern.Domains); err != nil {
		return fmt.Errorf("domains: %w", err)
	}
	if rt.mx.only, err = pattern.CompileList(rt.set.MXOnly, pattern.Domains); err != nil {
		return fmt.Errorf("mx_only: %w", err)
	}
	if rt.mx.except, err = pattern.CompileList(rt.set.MXOnlyExcept, pattern.Domains); err != nil {
		return fmt.Errorf("mx_only_except: %w", err)
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
	default:
		err = fmt.Errorf("driver %q is not known", rt.set.Driver)
	}
	return err
}

// routeCached is routeDomain with the memory of the last minute.
func (r *rules) routeCached(ctx context.Context, domain string, a mailaddr.Address) *routed {
	now := r.world.Now()
	if rt := r.cache.get(domain, now); rt != nil {
		return rt
	}
	rt := r.routeDomain(ctx, domain, a, nil)
	keep := keepRoute
	if rt.verdict.Class != 0 {
		keep = keepFailure
	}
	if end := now.Add(keep); rt.expires.IsZero() || end.Before(rt.expires) {
		rt.expires = end
	}
	if !rt.verdict.Temporary() {
		r.cache.put(domain, rt, now)
	}
	return rt
}

// routeDomain offers a domain to the routers in order. The address stands for
// all that share the domain: no router looks at its local part.
func (r *rules) routeDomain(ctx context.Context, domain string, a mailaddr.Address, t *trace) *routed {
	for _, rt := range r.routers {
		who := "router " + rt.set.Name
		if !rt.domains.Empty() && !rt.domains.Match(domain) {
			t.add("%s (%s): declined: domains does not match", who, rt.set.Driver)
			continue
		}
		s := rt.driver.route(ctx, domain, a, t)
		switch s.decision {
		case declined:
			t.add("%s (%s): declined: %s", who, rt.set.Driver, s.why)
			continue
		case decided:
			v := &s.verdict
			t.add("%s (%s): %s: %s %s: %s", who, rt.set.Driver, v.Class, v.Kind, v.Status, v.Text.ForTerminal())
			return &routed{by: rt.set.Name, verdict: s.verdict, expires: s.expires}
		}
		out := &routed{by: rt.set.Name, transport: rt.set.Transport, nextHop: s.nextHop, plan: s.plan, expires: s.expires}
		t.add("%s (%s): took: transport %s, next hop %s", who, rt.set.Driver, out.transport, untrusted.From(out.nextHop).ForTerminal())
		if t.on() {
			s.plan.Order(r.world.Chance, func(h route.Host) { t.add("  %d %s", h.Pref, hostText(h)) })
		}
		return out
	}
	t.add("no router took it")
	return &routed{verdict: route.NoRouter(domain)}
}

// hostText is "name [address:port]", or without a name the address alone.
func hostText(h route.Host) string {
	if strings.HasPrefix(h.Name, "[") {
		return h.Addr.String()
	}
	return fmt.Sprintf("%s [%s]", h.Name, h.Addr)
}

// unreadable is what a router says while its file cannot be used.
func (rt *remote) unreadable(err error) answered {
	return answered{decision: decided, verdict: outcome.Defer(outcome.Internal, statusConfig,
		"router %s: %s", rt.set.Name, untrusted.From(err.Error()).ForTerminal())}
}

// routeCache keeps the routes of domains.
type routeCache struct {
	limit int
	mu    sync.RWMutex
	byKey map[string]*routed
}

const leastRoutes = 1000

func newRouteCache(limit int) *routeCache {
	return &routeCache{limit: max(limit, leastRoutes), byKey: make(map[string]*routed)}
}

func (c *routeCache) get(domain string, now time.Time) *routed {
	c.mu.RLock()
	rt := c.byKey[domain]
	c.mu.RUnlock()
	if rt == nil || !now.Before(rt.expires) {
		return nil
	}
	return rt
}

// put keeps a route. A full cache loses what has expired, or else an arbitrary
// part: DNS answers behind it are cached as well, so little is lost.
func (c *routeCache) put(domain string, rt *routed, now time.Time) {
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
	c.byKey[domain] = rt
}

// luck is chance for use by many goroutines.
type luck struct{}

// Shuffle is that of math/rand/v2, which seeds itself.
func (luck) Shuffle(n int, swap func(i, j int)) { rand.Shuffle(n, swap) }

// checkHost checks a host of a table.
func checkHost(s string) error {
	_, err := route.ParseSpec(s)
	return err
}

// newTable makes the driver `table`.
func newTable(r *rules, rt *remote) (*tableRouter, error) {
	t := &tableRouter{remote: rt}
	var err error
	if t.inline, err = lookup.HostsOf(rt.set.Map, checkHost); err != nil {
		return nil, err
	}
	if rt.set.File == "" {
		return t, nil
	}
	path := rt.set.File
	t.file, err = lookup.NewFile(lookup.Source[*lookup.Hosts]{
		Path: path, MaxSize: lookup.MaxHosts,
		Parse:    func(name string, data []byte) (*lookup.Hosts, error) { return lookup.ParseHosts(name, data, checkHost) },
		Complain: func(err error) { r.tell("reading "+path, err) },
	})
	r.warn(path, err, false)
	return t, nil
}

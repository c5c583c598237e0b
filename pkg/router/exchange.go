package router

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/pattern"
	"filbert/pkg/resolve"
	"filbert/pkg/route"
)

// exchange finds the hosts that have the mail of a domain: it asks DNS what
// pkg/route needs to know, in the order in which that matters.
type exchange struct {
	rules        *rules
	port         uint16
	only, except pattern.Asking // domains for which nothing but MX will do
}

// hosts is RFC 5321, section 5.1: MX records, else the domain's own addresses.
func (x *exchange) hosts(q *query, domain string, own *route.Own, port uint16) (route.Plan, time.Time, outcome.Outcome) {
	mx, err := x.rules.resolver.LookupMX(q.ctx, domain)
	if err != nil {
		var e *resolve.Error
		switch {
		case errors.As(err, &e) && e.Kind() == resolve.NoData:
			return x.implicit(q, domain, own, port)
		case errors.As(err, &e) && !e.Temporary():
			return route.Plan{}, time.Time{}, route.NoDomain(domain)
		}
		return route.Plan{}, time.Time{}, route.TemporaryDNS(domain, err)
	}
	q.trace.note("MX of %s: %s", domain, describe(mx))
	switch {
	case mx.Null:
		return route.Plan{}, mx.Expires, route.NullMX(domain)
	case len(mx.Records) == 0:
		return route.Plan{}, mx.Expires, route.BadMX(domain)
	}
	list := make([]route.Exchanger, len(mx.Records))
	for i, r := range mx.Records {
		list[i] = route.Exchanger{Host: r.Host, Pref: r.Pref}
	}
	chosen, verdict := route.Choose(domain, list, own, x.rules.world.Chance)
	if verdict.Class != 0 {
		return route.Plan{}, mx.Expires, verdict
	}
	found, expires := x.addresses(q, chosen)
	plan, verdict := route.Make(domain, found, port, own)
	plan = plan.FoundBy(route.Record)
	return plan, earlier(expires, mx.Expires), verdict
}

// implicit is a domain without MX records: it is its own mail exchanger, where
// mx_only does not forbid that.
func (x *exchange) implicit(q *query, domain string, own *route.Own, port uint16) (route.Plan, time.Time, outcome.Outcome) {
	only, err := x.mxOnly(q, domain)
	if err != nil {
		return route.Plan{}, time.Time{}, cantTell("mx_only", err)
	}
	if only {
		q.trace.note("MX of %s: none, and mx_only wants one", domain)
		return route.Plan{}, time.Time{}, route.NoMX(domain)
	}
	q.trace.note("MX of %s: none: its own addresses", domain)
	plan, expires, verdict := x.direct(q, domain, own, port)
	return plan.FoundBy(route.Implied), expires, verdict
}

// mxOnly tells whether nothing but MX records will do for a domain.
func (x *exchange) mxOnly(q *query, domain string) (bool, error) {
	only, _, err := x.only.Match(q.ctx, domain, q.ask)
	if err != nil || !only {
		return false, err
	}
	except, _, err := x.except.Match(q.ctx, domain, q.ask)
	return !except, err
}

// direct uses the addresses of a host itself.
func (x *exchange) direct(q *query, host string, own *route.Own, port uint16) (route.Plan, time.Time, outcome.Outcome) {
	chosen, verdict := route.Choose(host, []route.Exchanger{{Host: host}}, own, x.rules.world.Chance)
	if verdict.Class != 0 {
		return route.Plan{}, time.Time{}, verdict
	}
	found, expires := x.addresses(q, chosen)
	if found[0].Err != nil && !found[0].Unsure {
		return route.Plan{}, expires, route.NoAddress(host)
	}
	plan, verdict := route.Make(host, found, port, own)
	return plan, expires, verdict
}

// addresses asks for those of all exchangers at once.
func (x *exchange) addresses(q *query, list []route.Exchanger) ([]route.Found, time.Time) {
	found := make([]route.Found, len(list))
	ends := make([]time.Time, len(list))
	var wg sync.WaitGroup
	for i := range list[1:] {
		wg.Go(func() { found[i+1], ends[i+1] = x.find(q.ctx, list[i+1]) })
	}
	found[0], ends[0] = x.find(q.ctx, list[0])
	wg.Wait()
	var first time.Time
	for i := range found {
		first = earlier(first, ends[i])
		if q.trace.on() {
			q.trace.note("%s", describeFound(&found[i]))
		}
	}
	return found, first
}

func (x *exchange) find(ctx context.Context, e route.Exchanger) (route.Found, time.Time) {
	a, err := x.rules.resolver.LookupAddr(ctx, e.Host)
	f := route.Found{Exchanger: e, V4: a.V4, V6: a.V6, Err: err}
	if err != nil {
		var re *resolve.Error
		f.Unsure = !errors.As(err, &re) || re.Temporary()
	}
	return f, a.Expires
}

// earlier is the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func describe(mx resolve.MXAnswer) string {
	if mx.Null {
		return "null (RFC 7505)"
	}
	text := ""
	for i, r := range mx.Records {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%d %s", r.Pref, r.Host)
	}
	if mx.Dropped > 0 {
		text += fmt.Sprintf(" (%d that name no host were dropped)", mx.Dropped)
	}
	return text
}

func describeFound(f *route.Found) string {
	if f.Err != nil {
		return f.Err.Error()
	}
	return fmt.Sprintf("addresses of %s: %v", f.Host, append(append(f.V6[:0:0], f.V6...), f.V4...))
}

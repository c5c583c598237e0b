package router

import (
	"context"
	"time"

	"filbert/pkg/callout"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/tally"
)

// Figures are what router counts (pkg/proto, stats.go). The zero value counts nothing.
type Figures struct {
	recipients, domains *tally.Figure
	known, made         *tally.Figure // routes
	dnsKnown, dnsAsked  *tally.Figure

	lookupsKnown, lookupsAsked, lookupsSpared *tally.Figure

	calloutsKnown, calloutsMade *tally.Figure
}

func newFigures(set *tally.Set) Figures {
	return Figures{
		recipients: set.Figure(proto.FigureRouteRecipients), domains: set.Figure(proto.FigureRouteDomains),
		known: set.Figure(proto.FigureRoutesKnown), made: set.Figure(proto.FigureRoutesMade),
		dnsKnown: set.Figure(proto.FigureDNSKnown), dnsAsked: set.Figure(proto.FigureDNSAsked),
		lookupsKnown: set.Figure(proto.FigureLookupsKnown), lookupsAsked: set.Figure(proto.FigureLookupsAsked),
		lookupsSpared: set.Figure(proto.FigureLookupsSpared),
		calloutsKnown: set.Figure(proto.FigureCalloutsKnown), calloutsMade: set.Figure(proto.FigureCalloutsMade),
	}
}

// makeRoute is routeDomain, counted.
func (q *query) makeRoute(domain string, a mailaddr.Address) *routed {
	began := time.Now()
	rt := q.routeDomain(domain, a)
	q.rules.world.Figures.made.Took(time.Since(began))
	return rt
}

// askCounted is ask, counted.
func (v *verifier) askCounted(ctx context.Context, l *proto.Leaf, q callout.Question) (callout.Answer, error) {
	f, began := &v.rules.world.Figures, time.Now()
	a, err := v.ask(ctx, l, q)
	switch {
	case a.Remembered:
		f.calloutsKnown.Add(1)
	case err == nil:
		f.calloutsMade.Took(time.Since(began))
	}
	return a, err
}

// count counts the recipients that wait for a route, and their domains.
func (q *query) count() {
	n := 0
	for _, at := range q.remote {
		n += len(at)
	}
	q.rules.world.Figures.recipients.Add(n)
	q.rules.world.Figures.domains.Add(len(q.remote))
}

package router

import (
	"context"
	"strings"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// orderName is whose the leaves are that a standing order sends somewhere.
const orderName = "order"

// overridden answers a query that names the hosts itself: nobody is asked where the
// recipients belong, only the hosts are looked up.
func (r *rules) overridden(ctx context.Context, m *proto.RouteQuery) *proto.RouteAnswer {
	q := &query{ctx: ctx, rules: r, sender: m.Sender, origin: m.Origin}
	a := r.toHosts(q, m.Override)
	var hosts []proto.Host
	if a.verdict.Class == 0 {
		hosts = inOrder(a.plan, r.world.Chance)
	}
	out := &proto.RouteAnswer{}
	for i := range m.Recipients {
		l := proto.Leaf{Parent: i, Recipient: m.Recipients[i], By: orderName, Verdict: a.verdict}
		if a.verdict.Class == 0 {
			l.Transport, l.NextHop, l.Hosts, l.Edit = r.smtpTransport(), a.nextHop, hosts, l.Recipient.Edit
		}
		out.Leaves = append(out.Leaves, l)
	}
	return out
}

func (r *rules) toHosts(q *query, hosts string) answered {
	rt := &remote{set: settings.Router{Name: orderName, Transport: r.smtpTransport()}}
	rt.name, rt.kind = orderName, "router"
	rt.mx.rules, rt.mx.port = r, smtpPort
	specs, err := parseSpecs(strings.Fields(hosts))
	if err != nil {
		return rt.unreadable(err)
	}
	return rt.named(q, specs)
}

// smtpTransport is how mail goes to a host that no router names: as the first router
// sends it that sends any to other machines.
func (r *rules) smtpTransport() string {
	for i := range r.settings.Routers {
		name := r.settings.Routers[i].Transport
		if r.settings.Transports[name].Driver == "smtp" {
			return name
		}
	}
	return "smtp"
}

package router

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/route"
	"filbert/pkg/smtp"
)

// maxNextHop is what proto allows for a next hop.
const maxNextHop = 255

// mxRouter is the driver `mx`.
type mxRouter struct{ *remote }

func (m *mxRouter) route(q *query, domain string, a mailaddr.Address) answered {
	if _, literal := a.IsLiteral(); literal {
		return answered{why: "an address literal has no MX records"}
	}
	plan, expires, verdict := m.mx.hosts(q, domain, m.mx.rules.own, m.mx.port)
	if verdict.Class != 0 {
		return m.without(verdict, expires)
	}
	return answered{decision: taken, plan: plan, nextHop: domain, expires: expires}
}

// without is the answer for a domain that has no server to send to.
func (m *mxRouter) without(v outcome.Outcome, expires time.Time) answered {
	if v.Kind == outcome.Loop {
		switch m.set.Self {
		case "decline":
			return answered{why: v.Text.ForTerminal() + " (self = decline)"}
		case "defer":
			v = outcome.Defer(outcome.Loop, smtp.Status{Class: 4, Subject: v.Status.Subject, Detail: v.Status.Detail}, "%s", v.Text.ForTerminal())
			return answered{decision: decided, verdict: v, expires: expires}
		}
	}
	return answered{decision: sureness(v), verdict: v, expires: expires}
}

// sureness tells a verdict that DNS has given from one that it could not give.
func sureness(v outcome.Outcome) decision {
	if v.Temporary() {
		return unsure
	}
	return decided
}

// literalRouter is the driver `literal` (RFC 5321, section 4.1.3).
type literalRouter struct{ *remote }

func (l *literalRouter) route(_ *query, domain string, a mailaddr.Address) answered {
	ip, ok := a.IsLiteral()
	if !ok {
		return answered{why: "no address literal"}
	}
	plan, verdict := route.Make(domain, []route.Found{foundAddr(domain, ip)}, l.mx.port, l.mx.rules.own)
	if verdict.Class != 0 {
		return answered{decision: decided, verdict: verdict}
	}
	return answered{decision: taken, plan: plan, nextHop: domain}
}

func foundAddr(name string, ip netip.Addr) route.Found {
	f := route.Found{Exchanger: route.Exchanger{Host: name}}
	if ip.Is4() {
		f.V4 = []netip.Addr{ip}
	} else {
		f.V6 = []netip.Addr{ip}
	}
	return f
}

// named makes one plan of hosts that the administrator named, tried in turn.
// One that can be found is enough. None is our own mistake, or DNS's, and no
// reason to return mail.
func (rt *remote) named(q *query, specs []route.Spec) answered {
	if q.rules.settings.Transports[rt.set.Transport].Username != "" {
		if err := mayHavePassword(specs); err != nil {
			return rt.unreadable(err)
		}
	}
	var plans []route.Plan
	var expires time.Time
	var missing outcome.Outcome
	for _, s := range specs {
		plan, end, verdict := rt.one(q, s)
		expires = earlier(expires, end)
		if verdict.Class != 0 {
			q.trace.note("%s: %s", s, verdict.Text.ForTerminal())
			if missing.Class == 0 {
				missing = route.Unconfigured(rt.set.Name, s.String(), errors.New(verdict.Text.ForTerminal()))
			}
			continue
		}
		plans = append(plans, plan)
	}
	if len(plans) == 0 {
		return answered{decision: unsure, verdict: missing}
	}
	return answered{decision: taken, plans: plans, plan: route.Join(plans...), nextHop: hopOf(specs), expires: expires}
}

func (rt *remote) one(q *query, s route.Spec) (route.Plan, time.Time, outcome.Outcome) {
	own, port := rt.mx.rules.own.Anywhere(), rt.mx.port
	if s.Port != 0 {
		port = s.Port
	}
	switch {
	case s.Addr.IsValid():
		plan, verdict := route.Make(s.String(), []route.Found{foundAddr("["+s.Addr.String()+"]", s.Addr)}, port, own)
		return plan, time.Time{}, verdict
	case s.MX:
		return rt.mx.hosts(q, s.Host, own, port)
	}
	return rt.mx.direct(q, s.Host, own, port)
}

// hopOf names the hosts for limits and grouping: mail for the same list may
// share connections, whatever its domain.
func hopOf(specs []route.Spec) string {
	words := make([]string, len(specs))
	for i, s := range specs {
		words[i] = s.String()
	}
	hop := strings.Join(words, " ")
	if len(hop) > maxNextHop {
		hop = words[0]
	}
	return hop
}

// cutLast cuts at the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err
}

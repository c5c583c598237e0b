package router

import (
	"context"
	"slices"
	"strings"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// mayRoute tells who may ask for routes: they tell of users and aliases.
func mayRoute(caller string) bool {
	return slices.Contains([]string{string(proto.Dispatch), string(proto.SMTPD), string(proto.Master)}, caller)
}

// withoutPasswords leaves of logins only the names: dispatch alone passes them on.
func withoutPasswords(leaves []proto.Leaf) {
	for i := range leaves {
		if c := leaves[i].Credentials; c != nil { // shared with other answers
			leaves[i].Credentials = &proto.Credentials{Username: c.Username}
		}
	}
}

// hidden stands for the values of a lookup that has passwords.
const hidden = "(not shown: this lookup has passwords)"

// hasPasswords tells whether a router takes credentials from a lookup. Its values are
// shown to nobody, whoever asks and wherever else the lookup is used.
func hasPasswords(s *settings.Settings, name string) bool {
	return slices.ContainsFunc(s.Routers, func(r settings.Router) bool { return r.Credentials == name })
}

// lookUp answers a LookupQuery.
func (r *Router) lookUp(ctx context.Context, c *ipc.Call) {
	var m proto.LookupQuery
	if c.Decode(&m) != nil {
		return
	}
	rules, done := r.use()
	defer done()
	if !permitted(rules.settings, proto.Service(c.Caller), m.Name) {
		// Its settings may be younger or older than ours: no violation.
		c.Reply(&proto.LookupAnswer{Trouble: "this program has no business with lookup " + untrusted.From(m.Name).ForTerminal()})
		return
	}
	ctx, cancel := context.WithTimeout(ctx, queryDeadline)
	defer cancel()
	a, err := rules.tables.Find(ctx, m.Name, m.Key)
	out := &proto.LookupAnswer{Found: a.Found, Values: a.Values, Where: a.Where}
	if a.Found && hasPasswords(rules.settings, m.Name) {
		out.Values = []string{hidden}
	}
	if err != nil {
		out = &proto.LookupAnswer{Trouble: untrusted.From(err.Error()).ForTerminal()}
	}
	c.Reply(out)
}

// permitted tells whether a program may ask a lookup: the administrator may ask
// all, the others those that the settings which they read name.
func permitted(s *settings.Settings, caller proto.Service, name string) bool {
	switch caller {
	case proto.Master:
		return true
	case proto.SMTPD:
		// It asks about an address as the rules will make it.
		return takenBy(s, name) || rewritesAsk(s, name) || etrnAsks(s, name)
	case proto.Cleanup:
		// Which domains are ours decides whether domains.syntax counts.
		return rewritesAsk(s, name) || copiesAsk(s, name) || len(s.Domains.Syntax) > 0 && asks(s.Domains.Local, name)
	case proto.SMTPClient:
		return rewritesAsk(s, name)
	case proto.Dispatch:
		return retryAsks(s, name)
	}
	return false
}

// takenBy tells whether the patterns that say whose mail is taken ask a lookup.
func takenBy(s *settings.Settings, name string) bool {
	return asks(s.Domains.Local, name) || asks(s.Domains.Relay, name) || asks(s.Domains.Trusted, name) ||
		slices.ContainsFunc(s.Listen, func(l settings.Listen) bool { return asks(l.Trusted, name) })
}

// etrnAsks tells whether a rule about who may ask for whose mail asks a lookup.
func etrnAsks(s *settings.Settings, name string) bool {
	return slices.ContainsFunc(s.ETRN, func(r settings.ETRN) bool { return asks(r.Clients, name) || asks(r.Domains, name) })
}

// retryAsks tells whether a rule of when mail is tried again asks a lookup.
func retryAsks(s *settings.Settings, name string) bool {
	return slices.ContainsFunc(s.Retry, func(r settings.Retry) bool { return asks(r.Match, name) || asks(r.Senders, name) })
}

// copiesAsk tells whether a rule for copies asks a lookup.
func copiesAsk(s *settings.Settings, name string) bool {
	return slices.ContainsFunc(s.Copies, func(c settings.Copy) bool { return c.Lookup == name || asks(c.Match, name) })
}

// rewritesAsk tells whether a rewriting rule asks a lookup.
func rewritesAsk(s *settings.Settings, name string) bool {
	return slices.ContainsFunc(s.Rewrites, func(rw settings.Rewrite) bool {
		return rw.Match == "lookup:"+name || strings.Contains(rw.To, "{lookup:"+name+":") || asks(rw.Clients, name)
	})
}

// asks tells whether a list of patterns asks a lookup.
func asks(patterns []string, name string) bool {
	return slices.Contains(patterns, "lookup:"+name) || slices.Contains(patterns, "!lookup:"+name)
}

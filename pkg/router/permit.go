package router

import (
	"context"
	"slices"
	"strings"

	"filbert/pkg/ipc"
	"filbert/pkg/pattern"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// mayRoute tells who may ask for routes: they tell of users and aliases.
func mayRoute(caller string) bool {
	return slices.Contains([]string{string(proto.Dispatch), string(proto.SMTPD), string(proto.Master)}, caller)
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
		return slices.Contains(smtpdLookups(s), name)
	case proto.Cleanup, proto.SMTPClient:
		return slices.ContainsFunc(s.Rewrites, func(rw settings.Rewrite) bool {
			return rw.Match == "lookup:"+name || strings.Contains(rw.To, "{lookup:"+name+":")
		})
	}
	return false
}

// smtpdLookups are the lookups of the patterns that say whose mail is taken; and
// of the rewriting rules, as smtpd asks about an address as it will be.
func smtpdLookups(s *settings.Settings) []string {
	lists := [][]string{s.Domains.Local, s.Domains.Relay, s.Domains.Trusted}
	for i := range s.Listen {
		lists = append(lists, s.Listen[i].Trusted)
	}
	var names []string
	for _, patterns := range lists {
		// Which kind they are makes no difference to the lookups among them.
		for _, p := range patterns {
			if a, err := pattern.CompileAsking([]string{strings.TrimPrefix(p, "!")}, pattern.LocalParts); err == nil {
				names = append(names, a.Lookups()...)
			}
		}
	}
	for i := range s.Rewrites {
		if name, is := strings.CutPrefix(s.Rewrites[i].Match, "lookup:"); is {
			names = append(names, name)
		}
		if _, rest, is := strings.Cut(s.Rewrites[i].To, "{lookup:"); is {
			name, _, _ := strings.Cut(rest, ":")
			names = append(names, name)
		}
	}
	return names
}

package config

import (
	"fmt"
	"slices"
	"strings"

	"filbert/pkg/rewrite"
)

// completeRewrites numbers the rules without a name, so that the log can tell
// which one it was.
func (c *checker) completeRewrites() {
	for i := range c.s.Rewrites {
		r := &c.s.Rewrites[i]
		if r.Name == "" {
			r.Name = fmt.Sprintf("rule-%d", i+1)
		}
		if r.Then == "" {
			r.Then = rewrite.Continue
		}
	}
}

// checkRewrites has pkg/rewrite compile each rule, and looks at what only the
// whole configuration can tell.
func (c *checker) checkRewrites() {
	c.names("rewrite", len(c.s.Rewrites), func(i int) string { return c.s.Rewrites[i].Name })
	for i := range c.s.Rewrites {
		r := &c.s.Rewrites[i]
		path := fmt.Sprintf("rewrite[%d]", i)
		for _, p := range rewrite.Check(r) {
			c.bad(path+"."+p.Key, p.What, p.Hint)
		}
		for _, use := range rewrite.Uses(r) {
			c.lookupName(path+"."+use.Key, use.Lookup)
		}
		for j, name := range r.Listeners {
			c.door(fmt.Sprintf("%s.listeners[%d]", path, j), name)
		}
		for j, source := range r.Sources {
			c.likelySource(fmt.Sprintf("%s.sources[%d]", path, j), source)
		}
		if len(r.Clients) > 0 && !slices.ContainsFunc(r.Listeners, isListener) && len(r.Listeners) > 0 {
			c.bad(path+".clients", "never matches: what comes in by "+strings.Join(r.Listeners, " and ")+" has no client of the network", "remove clients, or name a listener")
		}
	}
	c.checkOutgoing()
}

// checkOutgoing looks at the rules that transports use at the way out; that there
// are such rules checkTransports has seen to.
func (c *checker) checkOutgoing() {
	user := map[string]string{}
	for _, transport := range sortedKeys(c.s.Transports) {
		list := c.s.Transports[transport].Rewrites
		for j, name := range list {
			if contains(list[:j], name) {
				c.bad(fmt.Sprintf("transport.%s.rewrite[%d]", transport, j), fmt.Sprintf("%q is named twice", name),
					"remove one of the two: rules are applied in the order in which they stand, whatever the order here")
			}
			if user[name] == "" {
				user[name] = transport
			}
		}
	}
	for i := range c.s.Rewrites {
		c.outgoingRule(i, user[c.s.Rewrites[i].Name])
	}
}

// outgoingRule reports conditions that a rule of the way out cannot have: mail
// that leaves has no door by which it comes.
func (c *checker) outgoingRule(i int, transport string) {
	if transport == "" {
		return
	}
	for _, key := range []string{"listeners", "clients"} {
		if path := fmt.Sprintf("rewrite[%d].%s", i, key); c.isSet(path) {
			c.bad(path, fmt.Sprintf("has no effect with transport %s, which uses the rule at the way out", transport),
				"remove it; for mail that comes in write a rule of its own")
		}
	}
}

func isListener(name string) bool { return name != rewrite.DoorSendmail && name != rewrite.DoorReports }

// door checks that a name is that of a way in.
func (c *checker) door(key, name string) {
	doors := []string{rewrite.DoorSendmail, rewrite.DoorReports}
	for i := range c.s.Listen {
		doors = append(doors, c.s.Listen[i].Name)
	}
	if contains(doors, name) {
		return
	}
	hint := "there are: " + quoteAll(doors)
	if near := nearest(name, doors); near != "" {
		hint = fmt.Sprintf("did you mean %q? (%s)", near, hint)
	}
	c.bad(key, fmt.Sprintf("there is no listener %q", name), hint)
}

// likelySource warns of a field that looks like a mistyped word: any name may be
// that of a field.
func (c *checker) likelySource(key, source string) {
	s := strings.ToLower(source)
	known := rewrite.Sources()
	if contains(known, s) || s == "" {
		return
	}
	if near := nearest(s, known); near != "" {
		c.warn(key, fmt.Sprintf("%q is taken for a header field of that name", source), fmt.Sprintf("did you mean %q?", near))
	}
}

package rewrite

import (
	"fmt"
	"slices"
	"strings"

	"filbert/pkg/pattern"
	"filbert/pkg/settings"
)

// What a rule that has matched does next: the values of `then`.
const (
	Continue = "continue" // with the next rule
	Stop     = "stop"     // no further rules
	Again    = "again"    // from the first rule, if the address has changed
)

// Problem is one mistake in a rule.
type Problem struct {
	Key  string // "to", "sources[1]"
	What string
	Hint string // what to write instead, or ""
}

// Error is the problem and, where there is one, the hint.
func (p Problem) Error() string {
	s := p.Key + ": " + p.What
	if p.Hint != "" {
		s += ": " + p.Hint
	}
	return s
}

// rule is a compiled [[rewrite]].
type rule struct {
	name      string
	sources   []string // sorted, lower case, written out
	listeners []string
	clients   pattern.Asking
	match     matcher
	to        template
	leave     bool // no `to`: the address stays, and no further rule is asked
	then      string
	asks      []string // lookups
	outgoing  []string // the transports that use it at the way out, sorted
}

// Check tells all mistakes of one rule.
func Check(r *settings.Rewrite) []Problem {
	_, problems := compile(r)
	return problems
}

// Use is a lookup that a rule asks.
type Use struct {
	Key    string // of the rule: "match", "to", "clients[1]"
	Lookup string
}

// Uses tells which lookups a rule asks; of a rule with mistakes, those of the keys
// that have none.
func Uses(r *settings.Rewrite) []Use {
	one, _ := compile(r)
	var uses []Use
	for i, text := range r.Clients {
		if name, is := strings.CutPrefix(strings.TrimPrefix(text, "!"), lookupPrefix); is && !one.clients.Empty() {
			uses = append(uses, Use{fmt.Sprintf("clients[%d]", i), name})
		}
	}
	if one.match.lookup != "" {
		uses = append(uses, Use{"match", one.match.lookup})
	}
	for _, name := range one.to.lookups() {
		uses = append(uses, Use{"to", name})
	}
	return uses
}

func compile(r *settings.Rewrite) (rule, []Problem) {
	c := compiler{rule: rule{name: r.Name, then: r.Then}}
	c.sources(r.Sources)
	c.doors(r)
	var bad *Problem
	if c.rule.match, bad = compileMatch(r.Match); bad != nil {
		c.bad("match", bad)
	}
	matches := bad == nil
	c.thenOf(r)
	if r.To == "" {
		c.rule.leave = true
		if r.Then != Stop {
			c.bad("to", &Problem{What: "is missing", Hint: `write the new address, or then = "stop" to leave these addresses to no further rule`})
		}
		return c.rule, c.problems
	}
	captures := c.rule.match.captures
	if !matches {
		captures = maxCaptures // how many there should have been nobody knows
	}
	if c.rule.to, bad = compileTo(r.To, captures); bad != nil {
		c.bad("to", bad)
	}
	return c.rule, c.problems
}

type compiler struct {
	rule     rule
	problems []Problem
}

func (c *compiler) bad(key string, p *Problem) {
	p.Key = key
	c.problems = append(c.problems, *p)
}

func (c *compiler) sources(list []string) {
	if len(list) == 0 {
		c.bad("sources", &Problem{What: "is missing: a rule is for the places that it names", Hint: `write sources = ["from", "reply-to"], or ["all"]`})
	}
	var words []string
	for i, text := range list {
		s, bad := checkSource(text)
		if bad != nil {
			c.bad(fmt.Sprintf("sources[%d]", i), bad)
			continue
		}
		words = append(words, s)
	}
	c.rule.sources = expandSources(words)
}

func (c *compiler) doors(r *settings.Rewrite) {
	c.rule.listeners = r.Listeners
	clients, err := pattern.CompileAsking(r.Clients, pattern.Networks)
	if err != nil {
		list, _ := err.(pattern.Errors)
		for _, e := range list {
			c.bad(fmt.Sprintf("clients[%d]", e.Index), &Problem{What: quoted(e.Pattern) + " " + e.Problem, Hint: e.Hint})
		}
	}
	c.rule.clients = clients
}

func (c *compiler) thenOf(r *settings.Rewrite) {
	switch r.Then {
	case Continue, Stop, Again:
	case "":
		c.rule.then = Continue
	default:
		c.bad("then", &Problem{What: quoted(r.Then) + " is not known", Hint: `write "continue", "stop" or "again"`})
	}
}

const otherClients = "only for mail of certain clients"

// applies says why a rule is not for a message that comes in, "" if it is.
func (r *rule) applies(o Origin) string {
	if len(r.outgoing) > 0 {
		return "only at the way out, by transport " + strings.Join(r.outgoing, ", ")
	}
	if len(r.listeners) > 0 && !slices.Contains(r.listeners, o.Listener) {
		return "only for mail that came in by " + strings.Join(r.listeners, ", ")
	}
	if r.clients.Empty() {
		return ""
	}
	// Where a lookup decides, it is asked when there is an address for the rule.
	if list, all := r.clients.Plain(); !o.Client.IsValid() || all && !list.MatchAddr(o.Client) {
		return otherClients
	}
	return ""
}

func (r *rule) has(source string) bool {
	_, found := slices.BinarySearch(r.sources, source)
	return found
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

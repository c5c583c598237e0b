package retry

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"filbert/pkg/pattern"
	"filbert/pkg/settings"
)

// Problem is one thing that is wrong with a rule.
type Problem struct {
	Key, What, Hint string // Key within the rule: "phases[1].until"
}

// Bounds of a rule.
const (
	maxPhases = 20
	// leastWait keeps a mistyped unit from becoming a load: tests use as little.
	leastWait = 10 * time.Millisecond
	maxFactor = 100
)

// Check finds what is wrong with a rule that was completed. What only all rules
// together show is for the checks of the configuration.
func Check(r *settings.Retry) []Problem {
	var c checker
	c.patterns("match", r.Match, func(text string) bool { return strings.Contains(text, "@") })
	c.patterns("senders", r.Senders, func(string) bool { return true })
	for i, name := range r.On {
		if !slices.Contains(Kinds(), name) {
			c.add(fmt.Sprintf("on[%d]", i), fmt.Sprintf("there is no kind of failure %q", name), "")
		}
	}
	for i, code := range r.Codes {
		c.code(fmt.Sprintf("codes[%d]", i), code)
	}
	if j := *r.Jitter; j < 0 || j > 100 {
		c.add("jitter", fmt.Sprintf("is %d", j), "write a number from 0 to 100: percent of the wait")
	}
	if a := r.Afterwards; a != settings.AfterwardsOnce && a != settings.AfterwardsAgain {
		c.add("afterwards", fmt.Sprintf("%q is not known", a), `write "again" or "once"`)
	}
	c.phases(r.Phases)
	return c.found
}

type checker struct{ found []Problem }

func (c *checker) add(key, what, hint string) { c.found = append(c.found, Problem{key, what, hint}) }

func (c *checker) patterns(key string, list []string, isAddress func(string) bool) {
	for i, text := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		if body := strings.TrimPrefix(text, "!"); strings.HasPrefix(body, "lookup:") {
			if _, is := pattern.LookupOf(body); !is {
				c.add(at, fmt.Sprintf("%q names no lookup", text), `write "lookup:NAME" for [lookup.NAME]`)
			}
			continue
		}
		_, err := compileMatchers([]string{text}, isAddress)
		if errs, ok := err.(pattern.Errors); ok {
			for _, e := range errs {
				c.add(at, fmt.Sprintf("%q %s", text, e.Problem), e.Hint)
			}
		}
	}
}

func (c *checker) code(key, code string) {
	const hint = `write a reply code like "450" or "45?", or an enhanced one like "4.2.2" or "4.7.*"`
	_, err := path.Match(code, "")
	switch {
	case err != nil, code == "", strings.Trim(code, "0123456789.?*") != "":
		c.add(key, fmt.Sprintf("%q is no reply code", code), hint)
	case code[0] == '5' || code[0] == '2':
		c.add(key, fmt.Sprintf("%q is no reply that is tried again", code), hint)
	}
}

func (c *checker) phases(list []settings.Phase) {
	if len(list) == 0 {
		c.add("phases", "is missing, so there are no waits", `write phases = [{ every = "15m", until = "2 days" }]`)
	}
	if len(list) > maxPhases {
		c.add("phases", fmt.Sprintf("has %d phases; the most is %d", len(list), maxPhases), "")
	}
	before := settings.Duration(0)
	for i := range list {
		p, at := &list[i], fmt.Sprintf("phases[%d]", i)
		c.waits(at, p)
		switch {
		case p.Until == 0:
			c.add(at+".until", "is missing, so the phase would never end", `write until = "5 days": the time since the first failure`)
			continue
		case p.Until <= before && i > 0:
			c.add(at+".until", fmt.Sprintf("is %s, not later than that of the phase before (%s)", p.Until, before),
				"both count from the first failure: write them in increasing order")
		}
		before = p.Until
	}
}

// waits checks the waits of one phase.
func (c *checker) waits(at string, p *settings.Phase) {
	growing := p.From != 0
	switch {
	case p.Every != 0 && (growing || p.Factor != 0 || p.Max != 0):
		c.add(at, "has every, and from, factor or max", "write every for waits that stay the same, or from, factor and max for waits that grow")
		return
	case p.Every == 0 && !growing:
		c.add(at+".every", "is missing, and from too, so there is no wait", `write every = "15m", or from = "5m"`)
		return
	case p.Every != 0 && p.Every.D() < leastWait, growing && p.From.D() < leastWait:
		c.add(at, fmt.Sprintf("has a wait of %s; the least is %s", max(p.Every, p.From), settings.Duration(leastWait)), "")
	case !growing:
	case p.Factor < 1 || p.Factor > maxFactor:
		c.add(at+".factor", fmt.Sprintf("is %g, so the waits would not grow", p.Factor), "write a number from 1 (always the same wait) to 100")
	case p.Max < p.From:
		c.add(at+".max", fmt.Sprintf("is %s, less than from (%s)", p.Max, p.From), "make it as long at least")
	}
	if p.Every > 0 && p.Until > 0 && p.Until < p.Every || growing && p.Until > 0 && p.Until < p.From {
		c.add(at+".until", fmt.Sprintf("is %s, less than the first wait (%s)", p.Until, max(p.Every, p.From)), "make it as long at least")
	}
}

package retry

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"filbert/pkg/pattern"
	"filbert/pkg/settings"
)

// MX is what is known of the MX records of a recipient's domain.
type MX uint8

// What may be known.
const (
	MXUnknown MX = 0 // nobody asked: a smarthost, an address literal, a local mailbox
	MXThere   MX = 1
	MXNone    MX = 2 // the domain's own address is its mail server
)

// Subject is whom a failure is about.
type Subject struct {
	Address string // of the recipient
	Domain  string
	Host    string // the server's name; "": there is none
	Sender  string // "": the null sender
	MX      MX
	Answers Answers // of the lookups that rules ask
}

// Rules are compiled rules in their order; behind them stand the built-in ones, so
// that every failure has one. The zero value has these alone. They may be used by
// several goroutines.
type Rules struct {
	list []*rule
	asks bool
}

// rule is one of them.
type rule struct {
	name    string
	match   []matcher
	senders []matcher
	on      []string
	codes   []string
	mx      *bool
	phases  phases
	jitter  float64
	once    bool
}

// matcher is one pattern.
type matcher struct {
	not     bool
	address bool   // else domains and hosts
	lookup  string // asked for address and names; "": list decides
	list    pattern.List
}

// Compile makes rules of settings. The error is the first mistake that Check finds.
func Compile(list []settings.Retry) (Rules, error) {
	var out Rules
	for i := range list {
		r, err := compileRule(list[i].Complete())
		if err != nil {
			return Rules{}, fmt.Errorf("retry rule %s: %w", list[i].Name, err)
		}
		out.list = append(out.list, r)
		out.asks = out.asks || r.asks()
	}
	return out, nil
}

func compileRule(s settings.Retry) (*rule, error) {
	if problems := Check(&s); len(problems) > 0 {
		return nil, fmt.Errorf("%s %s", problems[0].Key, problems[0].What)
	}
	r := &rule{name: s.Name, mx: s.MX, codes: s.Codes, phases: compilePhases(s.Phases),
		jitter: float64(*s.Jitter) / 100, once: s.Afterwards == settings.AfterwardsOnce}
	r.on = Ungrouped(s.On)
	var err error
	if r.match, err = compileMatchers(s.Match, func(text string) bool { return strings.Contains(text, "@") }); err != nil {
		return nil, err
	}
	r.senders, err = compileMatchers(s.Senders, func(string) bool { return true })
	return r, err
}

// Ungrouped has the members of groups in their place.
func Ungrouped(names []string) []string {
	var out []string
	for _, name := range names {
		if members, ok := groups[name]; ok {
			out = append(out, members...)
			continue
		}
		out = append(out, name)
	}
	return out
}

func compileMatchers(texts []string, isAddress func(string) bool) ([]matcher, error) {
	var out []matcher
	for _, text := range texts {
		body, not := strings.CutPrefix(text, "!")
		m := matcher{not: not, address: isAddress(text)}
		if name, is := pattern.LookupOf(body); is {
			m.lookup = name
			out = append(out, m)
			continue
		}
		kind := pattern.Domains
		if m.address {
			kind = pattern.Addresses
			if body == "<>" {
				body = "/^$/"
			}
		}
		var err error
		if m.list, err = pattern.CompileList([]string{body}, kind); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

var builtIn = sync.OnceValue(func() []*rule {
	list := settings.DefaultRetry()
	out := make([]*rule, len(list))
	for i := range list {
		r, err := compileRule(list[i])
		if err != nil {
			panic(err) // constants of this program; a test compiles them
		}
		out[i] = r
	}
	return out
})

// find is the first rule for a failure of a subject.
func (r Rules) find(s *Subject, f Failure) choice {
	return r.first(func(x *rule) verdict {
		if !x.isOn(f) {
			return no
		}
		return x.isFor(s)
	})
}

// whole is the first rule for a subject that is for every failure: it bounds what
// rules for some failures may take together.
func (r Rules) whole(s *Subject) choice {
	return r.first(func(x *rule) verdict {
		if x.limited() {
			return no
		}
		return x.isFor(s)
	})
}

func (r Rules) first(is func(*rule) verdict) choice {
	var c choice
	for _, x := range r.list {
		switch is(x) {
		case yes:
			c.rule = x
			return c
		case maybe:
			c.perhaps = append(c.perhaps, x)
		}
	}
	last := builtIn()
	for _, x := range last {
		if is(x) == yes { // they ask nothing
			c.rule = x
			return c
		}
	}
	c.rule = last[len(last)-1]
	return c
}

// limited tells whether a rule is for some failures only.
func (x *rule) limited() bool { return len(x.on)+len(x.codes) > 0 }

func (x *rule) isFor(s *Subject) verdict {
	if !x.isForMX(s.MX) {
		return no
	}
	return both(s.anyOf(x.match, s.Address, s.Domain, s.Host), s.anyOf(x.senders, s.Sender))
}

func (x *rule) isForMX(mx MX) bool { return x.mx == nil || mx != MXUnknown && *x.mx == (mx == MXThere) }

// anyOf tells whether a list is for an address or names: the first pattern that
// matches decides.
func (s *Subject) anyOf(list []matcher, address string, names ...string) verdict {
	if len(list) == 0 {
		return yes
	}
	out := undecided
	for i := range list {
		m := &list[i]
		v := s.matches(m, address, names)
		if v == no {
			continue
		}
		decides := yes
		if m.not {
			decides = no
		}
		out = either(out, decides)
		if v == yes {
			return out
		}
	}
	return either(out, no)
}

func (s *Subject) matches(m *matcher, address string, names []string) verdict {
	switch {
	case m.lookup != "":
		v, _ := s.looksUp(m.lookup, address, names)
		return v
	case m.address && m.list.Match(address):
		return yes
	case m.address:
		return no
	}
	if slices.ContainsFunc(names, func(n string) bool { return n != "" && m.list.Match(n) }) {
		return yes
	}
	return no
}

func (x *rule) isOn(f Failure) bool {
	if len(x.on) > 0 && !slices.Contains(x.on, f.Name()) {
		return false
	}
	return len(x.codes) == 0 || slices.ContainsFunc(x.codes, func(code string) bool { return f.hasCode(code) })
}

// hasCode tells whether a reply had a code like this. Ours are not replies.
func (f Failure) hasCode(like string) bool {
	if f.Code == 0 {
		return false
	}
	for _, has := range []string{strconv.Itoa(f.Code), f.Status.String()} {
		if ok, err := path.Match(like, has); ok && err == nil {
			return true
		}
	}
	return false
}

// stretched is a wait with the dice's share of the jitter.
func (x *rule) stretched(wait time.Duration, dice float64) time.Duration {
	dice = min(max(dice, 0), 1)
	return wait + time.Duration(dice*x.jitter*float64(wait))
}

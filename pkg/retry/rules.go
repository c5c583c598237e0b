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
}

// Rules are compiled rules in their order; behind them stand the built-in ones, so
// that every failure has one. The zero value has these alone. They may be used by
// several goroutines.
type Rules struct{ list []*rule }

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
	address bool // else domains and hosts
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
func (r Rules) find(s *Subject, f Failure) *rule {
	return r.first(func(x *rule) bool { return x.isFor(s) && x.isOn(f) })
}

// whole is the first rule for a subject that is for every failure: it bounds what
// rules for some failures may take together.
func (r Rules) whole(s *Subject) *rule {
	return r.first(func(x *rule) bool { return x.isFor(s) && !x.limited() })
}

func (r Rules) first(is func(*rule) bool) *rule {
	for _, x := range r.list {
		if is(x) {
			return x
		}
	}
	last := builtIn()
	for _, x := range last {
		if is(x) {
			return x
		}
	}
	return last[len(last)-1]
}

// limited tells whether a rule is for some failures only.
func (x *rule) limited() bool { return len(x.on)+len(x.codes) > 0 }

func (x *rule) isFor(s *Subject) bool {
	if x.mx != nil && (s.MX == MXUnknown || *x.mx != (s.MX == MXThere)) {
		return false
	}
	return anyOf(x.match, s.Address, s.Domain, s.Host) && anyOf(x.senders, s.Sender)
}

// anyOf tells whether a list is for an address or names: the first pattern that
// matches decides.
func anyOf(list []matcher, address string, names ...string) bool {
	if len(list) == 0 {
		return true
	}
	for i := range list {
		if m := &list[i]; m.matches(address, names) {
			return !m.not
		}
	}
	return false
}

func (m *matcher) matches(address string, names []string) bool {
	if m.address {
		return m.list.Match(address)
	}
	return slices.ContainsFunc(names, func(n string) bool { return n != "" && m.list.Match(n) })
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

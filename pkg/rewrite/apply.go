package rewrite

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"filbert/pkg/mailaddr"
	"filbert/pkg/settings"
)

// MaxRounds is how often one address may begin again at the first rule. The
// bound is ours; rules that make sense come to rest after two or three.
const MaxRounds = 10

// Rules are the compiled rules of a configuration; nil has none. They may be
// used by several goroutines.
type Rules struct {
	list []rule
}

// Compile compiles all rules. Those that a transport names are for the way out
// alone. An error names the rule and is of type Problem; there is none where Check
// finds nothing.
func Compile(list []settings.Rewrite, transports map[string]settings.Transport) (*Rules, error) {
	r := &Rules{}
	for i := range list {
		one, problems := compile(&list[i])
		if len(problems) > 0 {
			return nil, fmt.Errorf("rewrite %s: %w", list[i].Name, problems[0])
		}
		one.asks = append(one.to.lookups(), one.clients.Lookups()...)
		if one.match.lookup != "" {
			one.asks = append(one.asks, one.match.lookup)
		}
		for name, t := range transports {
			if slices.Contains(t.Rewrites, one.name) {
				one.outgoing = append(one.outgoing, name)
			}
		}
		slices.Sort(one.outgoing)
		r.list = append(r.list, one)
	}
	return r, nil
}

// Lookups names the lookups that any rule may ask, sorted.
func (r *Rules) Lookups() []string {
	if r == nil {
		return nil
	}
	return lookupsOf(r.list, nil)
}

// Incoming names the lookups that rules may ask when mail comes in, whatever its
// origin.
func (r *Rules) Incoming() []string {
	if r == nil {
		return nil
	}
	return lookupsOf(r.list, func(i int) bool { return len(r.list[i].outgoing) == 0 })
}

func lookupsOf(rules []rule, wanted func(i int) bool) []string {
	var out []string
	for i := range rules {
		if wanted == nil || wanted(i) {
			out = append(out, rules[i].asks...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Origin is where a message came from.
type Origin struct {
	Listener string     // its name; DoorSendmail, DoorReports
	Client   netip.Addr // invalid for what came from this machine's programs
}

// Set are the rules for one message. The zero value has none.
type Set struct {
	rules    []rule
	skipped  []string // why each rule is not for this message, "" for those that are
	fields   []string // the header fields that rules are for, lower case
	envelope bool
	client   netip.Addr
	ask      Ask
}

// Outgoing chooses the rules that a transport names, for what leaves by it, in the
// order in which the rules stand.
func (r *Rules) Outgoing(names []string) Set {
	if r == nil || len(names) == 0 {
		return Set{}
	}
	var chosen []rule
	for i := range r.list {
		if slices.Contains(names, r.list[i].name) {
			chosen = append(chosen, r.list[i])
		}
	}
	s := Set{rules: chosen, skipped: make([]string, len(chosen))}
	s.gather()
	return s
}

// For chooses the rules that are for mail of an origin when it comes in.
func (r *Rules) For(o Origin) Set {
	if r == nil || len(r.list) == 0 {
		return Set{}
	}
	s := Set{rules: r.list, skipped: make([]string, len(r.list)), client: o.Client}
	for i := range r.list {
		s.skipped[i] = r.list[i].applies(o)
	}
	s.gather()
	return s
}

// gather notes which sources the rules are for.
func (s *Set) gather() {
	for i := range s.rules {
		if s.skipped[i] != "" {
			continue
		}
		for _, source := range s.rules[i].sources {
			if IsHeader(source) {
				s.fields = append(s.fields, source)
			} else {
				s.envelope = true
			}
		}
	}
	slices.Sort(s.fields)
	s.fields = slices.Compact(s.fields)
}

// Only is the set without the header fields that are not among sources.
func (s Set) Only(sources []string) Set {
	s.fields = slices.DeleteFunc(slices.Clone(s.fields), func(f string) bool { return !slices.Contains(sources, f) })
	return s
}

// Sources are those that any rule is for, whether or not it is for this message.
func (s Set) Sources() []string {
	var out []string
	for i := range s.rules {
		out = append(out, s.rules[i].sources...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Envelope reports whether a rule for this message is for its envelope.
func (s Set) Envelope() bool { return s.envelope }

// Empty reports whether no rule is for this message.
func (s Set) Empty() bool { return !s.envelope && len(s.fields) == 0 }

// Lookups names the lookups that the rules for this message may ask.
func (s Set) Lookups() []string {
	return lookupsOf(s.rules, func(i int) bool { return s.skipped[i] == "" })
}

// Verdict is what one rule made of one address.
type Verdict string

// The verdicts.
const (
	Changed Verdict = "changed"
	Stays   Verdict = "stays"    // it matched, and the address is as before
	NoMatch Verdict = "no match" // the pattern
	NotHere Verdict = "not here" // another source, listener or client
	NoValue Verdict = "no value" // it matched, and a lookup has nothing to make an address of; the old one stays
	Failed  Verdict = "failed"   // what it made is no address; the old one stays
	Endless Verdict = "endless"  // MaxRounds were not enough; all of it is undone
	Unread  Verdict = "unread"   // a field that cannot be read stays as it is
)

// Step is one rule asked about one address.
type Step struct {
	Source  string
	Rule    string // "" of Unread
	Verdict Verdict
	Old     mailaddr.Address
	New     mailaddr.Address // where it changed
	Why     string           // NotHere, NoValue, Failed, Endless, Unread: in words
	Stopped bool             // no further rule was asked
}

// Apply puts an address of a source through the rules. note, which may be nil,
// is told of every step. An error is for now only (ErrUnanswered), and the address
// is then the old one.
func (s Set) Apply(source string, a mailaddr.Address, note func(Step)) (mailaddr.Address, error) {
	if note == nil {
		note = func(Step) {}
	}
	if a.IsNull() {
		return a, nil
	}
	now := a
	for i, rounds := 0, 1; i < len(s.rules); i++ {
		r := &s.rules[i]
		step, err := s.try(i, source, now)
		if err != nil {
			return a, fmt.Errorf("rule %s: %w", r.name, err)
		}
		if step.Verdict == Changed {
			now = step.New
		}
		again := r.then == Again && step.Verdict == Changed
		if again && rounds == MaxRounds {
			note(Step{Source: source, Rule: r.name, Verdict: Endless, Old: a,
				Why: fmt.Sprintf("no end after %d rounds: the address is left as it came", MaxRounds)})
			return a, nil
		}
		note(step)
		if step.Stopped {
			break
		}
		if again {
			i, rounds = -1, rounds+1
		}
	}
	return now, nil
}

// try asks one rule.
func (s *Set) try(i int, source string, a mailaddr.Address) (Step, error) {
	r := &s.rules[i]
	step := Step{Source: source, Rule: r.name, Old: a}
	if step.Why = s.skipped[i]; step.Why != "" {
		step.Verdict = NotHere
		return step, nil
	}
	if !r.has(source) {
		step.Verdict, step.Why = NotHere, "not for this source"
		return step, nil
	}
	if ours, err := s.fromClients(r); err != nil || !ours {
		step.Verdict, step.Why = NotHere, otherClients
		return step, err
	}
	captures, ok, err := s.match(&r.match, a)
	if err != nil {
		return step, err
	}
	if !ok {
		step.Verdict = NoMatch
		return step, nil
	}
	step.Verdict, step.Stopped = Stays, r.then == Stop
	if r.leave {
		return step, nil
	}
	made, err := r.to.fill(filling{a, captures, s.value})
	var none absent
	switch {
	case errors.Is(err, ErrUnanswered):
		return step, err
	case errors.As(err, &none):
		// As if the pattern had not matched: the rules behind it are for whoever
		// is not in the table.
		step.Verdict, step.Stopped, step.Why = NoValue, false, none.Error()
	case err != nil:
		step.Verdict, step.Stopped, step.Why = Failed, false, reason(err)
	case made != a:
		step.Verdict, step.New = Changed, made
	}
	return step, nil
}

// fromClients tells whether lookups among the clients of a rule have the client.
// For has seen to those without.
func (s *Set) fromClients(r *rule) (bool, error) {
	if len(r.outgoing) > 0 || len(r.clients.Lookups()) == 0 {
		return true, nil
	}
	ours, _, err := r.clients.MatchAddr(context.Background(), s.client, func(_ context.Context, lookup, key string) (bool, error) {
		_, found, err := s.values(lookup, key)
		return found, err
	})
	return ours, err
}

// match gives the captures of an address that a pattern or a lookup has. One
// without a domain is in no lookup, as it is in no glob.
func (s *Set) match(m *matcher, a mailaddr.Address) ([]string, bool, error) {
	if m.lookup == "" {
		captures, ok := m.match(a)
		return captures, ok, nil
	}
	if a.Domain() == "" {
		return nil, false, nil
	}
	_, found, err := s.values(m.lookup, keyOf(a))
	return nil, found, err
}

package rewrite

import (
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

// Compile compiles all rules. An error names the rule and is of type Problem;
// there is none where Check finds nothing.
func Compile(list []settings.Rewrite) (*Rules, error) {
	r := &Rules{}
	for i := range list {
		one, problems := compile(&list[i])
		if len(problems) > 0 {
			return nil, fmt.Errorf("rewrite %s: %w", list[i].Name, problems[0])
		}
		r.list = append(r.list, one)
	}
	return r, nil
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
}

// For chooses the rules that are for mail of an origin.
func (r *Rules) For(o Origin) Set {
	if r == nil || len(r.list) == 0 {
		return Set{}
	}
	s := Set{rules: r.list, skipped: make([]string, len(r.list))}
	for i := range r.list {
		if s.skipped[i] = r.list[i].applies(o); s.skipped[i] != "" {
			continue
		}
		for _, source := range r.list[i].sources {
			if IsHeader(source) {
				s.fields = append(s.fields, source)
			} else {
				s.envelope = true
			}
		}
	}
	slices.Sort(s.fields)
	s.fields = slices.Compact(s.fields)
	return s
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

// Verdict is what one rule made of one address.
type Verdict string

// The verdicts.
const (
	Changed Verdict = "changed"
	Stays   Verdict = "stays"    // it matched, and the address is as before
	NoMatch Verdict = "no match" // the pattern
	NotHere Verdict = "not here" // another source, listener or client
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
	Why     string           // NotHere, Failed, Endless, Unread: in words
	Stopped bool             // no further rule was asked
}

// Apply puts an address of a source through the rules. note, which may be nil,
// is told of every step.
func (s Set) Apply(source string, a mailaddr.Address, note func(Step)) mailaddr.Address {
	if note == nil {
		note = func(Step) {}
	}
	if a.IsNull() {
		return a
	}
	now := a
	for i, rounds := 0, 1; i < len(s.rules); i++ {
		r := &s.rules[i]
		step := s.try(i, source, now)
		if step.Verdict == Changed {
			now = step.New
		}
		again := r.then == Again && step.Verdict == Changed
		if again && rounds == MaxRounds {
			note(Step{Source: source, Rule: r.name, Verdict: Endless, Old: a,
				Why: fmt.Sprintf("no end after %d rounds: the address is left as it came", MaxRounds)})
			return a
		}
		note(step)
		if step.Stopped {
			break
		}
		if again {
			i, rounds = -1, rounds+1
		}
	}
	return now
}

// try asks one rule.
func (s Set) try(i int, source string, a mailaddr.Address) Step {
	r := &s.rules[i]
	step := Step{Source: source, Rule: r.name, Old: a}
	if step.Why = s.skipped[i]; step.Why != "" {
		step.Verdict = NotHere
		return step
	}
	if !r.has(source) {
		step.Verdict, step.Why = NotHere, "not for this source"
		return step
	}
	captures, ok := r.match.match(a)
	if !ok {
		step.Verdict = NoMatch
		return step
	}
	step.Verdict, step.Stopped = Stays, r.then == Stop
	if r.leave {
		return step
	}
	made, err := r.to.fill(a, captures)
	switch {
	case err != nil:
		step.Verdict, step.Stopped, step.Why = Failed, false, reason(err)
	case made != a:
		step.Verdict, step.New = Changed, made
	}
	return step
}

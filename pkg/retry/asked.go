package retry

import (
	"time"

	"filbert/pkg/pattern"
)

// Question is a key for a lookup that a rule names.
type Question struct{ Lookup, Key string }

// Answer is what a lookup said.
type Answer uint8

// The answers.
const (
	CannotTell Answer = 1 // for the moment: a server or a file is away
	Has        Answer = 2
	HasNot     Answer = 3
)

// Answers are by question. What is not in them counts as what nobody can tell.
//
// While a lookup can't tell, whatever it might say is thought possible: mail is given
// up only when it would be by every answer, and waits as if the lookup had nothing.
// So a table that is away never makes a deferral a failure, and every message ends
// still, by the most patient of the rules.
type Answers map[Question]Answer

// Asks tells whether any rule has lookups.
func (r Rules) Asks() bool { return r.asks }

// Question is the first that has to be asked for the rules to be told apart for a
// subject, and is not in its answers; false: there is none.
func (r Rules) Question(s *Subject) (Question, bool) {
	if !r.asks {
		return Question{}, false
	}
	for _, x := range r.list {
		if !x.isForMX(s.MX) {
			continue
		}
		if q, open := s.openIn(x.match, s.Address, s.Domain, s.Host); open {
			return q, true
		}
		if s.anyOf(x.match, s.Address, s.Domain, s.Host) == no {
			continue
		}
		if q, open := s.openIn(x.senders, s.Sender); open {
			return q, true
		}
		if !x.limited() && x.isFor(s) == yes {
			break // nobody gets to the rules behind it
		}
	}
	return Question{}, false
}

// openIn is the first question of a list that nobody has asked.
func (s *Subject) openIn(list []matcher, address string, names ...string) (Question, bool) {
	for i := range list {
		m := &list[i]
		if m.lookup != "" {
			if _, q := s.looksUp(m.lookup, address, names); q != (Question{}) {
				return q, true
			}
		}
		if s.matches(m, address, names) == yes {
			break
		}
	}
	return Question{}, false
}

// looksUp tells whether a lookup has an address or a name, and what was not asked.
func (s *Subject) looksUp(lookup, address string, names []string) (verdict, Question) {
	out := no
	for i := -1; i < len(names); i++ {
		text, kind := address, pattern.Addresses
		if i >= 0 {
			text, kind = names[i], pattern.Domains
		}
		if text == "" {
			continue // the null sender, or no server: in no table
		}
		q := Question{lookup, pattern.Key(text, kind)}
		switch s.Answers[q] {
		case Has:
			return yes, Question{}
		case HasNot:
		case CannotTell:
			out = maybe
		default:
			return maybe, q
		}
	}
	return out, Question{}
}

func (x *rule) asks() bool {
	for _, list := range [][]matcher{x.match, x.senders} {
		for i := range list {
			if list[i].lookup != "" {
				return true
			}
		}
	}
	return false
}

// verdict is whether a rule is for a subject, as far as that is known.
type verdict uint8

const (
	undecided verdict = 0
	no        verdict = 1
	yes       verdict = 2
	maybe     verdict = no | yes
)

// either is what one of two may be.
func either(a, b verdict) verdict { return a | b }

// both is what two together are.
func both(a, b verdict) verdict {
	switch {
	case a == no || b == no:
		return no
	case a == yes && b == yes:
		return yes
	}
	return maybe
}

// choice is the rule for a subject, and those before it that are for it perhaps.
type choice struct {
	*rule
	perhaps []*rule
}

// longest is the longest wait of any of them, with the jitter.
func (c choice) longest() time.Duration {
	most := c.stretched(c.phases.longest(), 1)
	for _, x := range c.perhaps {
		most = max(most, x.stretched(x.phases.longest(), 1))
	}
	return most
}

// all tells whether something is so by each of them.
func (c choice) all(is func(*rule) bool) bool {
	for _, x := range c.perhaps {
		if !is(x) {
			return false
		}
	}
	return is(c.rule)
}

// end is the end of the last phase of the most patient.
func (c choice) end() time.Duration {
	most := c.phases.end()
	for _, x := range c.perhaps {
		most = max(most, x.phases.end())
	}
	return most
}

package retry

import "time"

// Message is what of a message counts.
type Message struct {
	Arrived  time.Time
	Attempts int // that were made, with the one that has just failed
}

// Decision is what becomes of a recipient whose attempt has failed.
type Decision struct {
	Next   time.Time // of the next attempt
	GiveUp time.Time // when it will have been tried long enough
	Final  bool      // the next attempt is the last
	Over   bool      // no further attempt: it is given up now
	Once   bool      // as an earlier message was: this one was tried once
	Rule   string
	Why    string // in plain words: what was known

	// What was known: the last failure, since when there was no other, and with Once when
	// mail was given up for it. Since is zero where nothing is kept of such failures.
	Failure Failure
	Since   time.Time
	GaveUp  time.Time
}

// Decide is what a failure makes of a state and of a message.
func (r Rules) Decide(subject Subject, s State, m Message, f Failure, now time.Time, dice float64) (State, Decision) {
	s = r.Fail(subject, s, f, now, dice)
	d := r.Judge(subject, &s, m, now)
	if d.Over {
		s.GiveUp(now)
	}
	return s, d
}

// GiveUp notes that a message was given up; the first one counts.
func (s *State) GiveUp(now time.Time) {
	if s.GaveUp.IsZero() || s.GaveUp.After(now) {
		s.GaveUp = now
	}
}

// Judge says what becomes of a message by a state, behind an attempt of its own
// that failed (Fail was called for it).
func (r Rules) Judge(subject Subject, s *State, m Message, now time.Time) Decision {
	x := r.find(&subject, s.Failure)
	d := Decision{Rule: x.name, Next: s.Next, GiveUp: r.latest(&subject, x, s, m), Why: s.Words(), Failure: s.Failure, Since: s.KindSince}
	switch {
	case r.spent(&subject, x, s, m, now):
		d.Over = true
		if x.single(s, m) {
			d.Once, d.GaveUp = true, s.GaveUp
			d.Why += ", and mail for it was given up on " + moment(s.GaveUp) + "; it was tried once more"
		}
	case !d.Next.Before(d.GiveUp):
		d.Next, d.Final = d.GiveUp, true
	}
	return d
}

// JudgeAlone is Judge for a failure of which no state is kept, as it is of our own
// making: only the number of attempts counts, and the message's age.
func (r Rules) JudgeAlone(subject Subject, f Failure, m Message, now time.Time, dice float64) Decision {
	x := r.find(&subject, f)
	wait := x.phases.wait(x.phases.after(m.Attempts))
	s := State{Since: m.Arrived, KindSince: m.Arrived, Last: now, Failure: f, Attempts: m.Attempts}
	s.Next = now.Add(x.stretched(wait, dice))
	d := r.Judge(subject, &s, m, now)
	d.Since = time.Time{}
	return d
}

// Rebuilt is the decision of an earlier attempt, by what the log of a message tells
// of it: the states may have been lost since, or be someone else's to know.
func (r Rules) Rebuilt(subject Subject, f Failure, m Message, last, now time.Time, dice float64) Decision {
	if last.IsZero() || last.After(now) {
		last = now // a wrong clock
	}
	d := r.JudgeAlone(subject, f, m, last, dice)
	d.Over, d.Final = false, d.Final || d.Over // it was not given up: it has an attempt left
	if d.Next.Before(now) {
		d.Next = now
	}
	if x := r.find(&subject, f); d.Final && !last.Before(d.GiveUp) {
		// The last attempt was made and did not end it, for a reason of our own: the
		// usual wait, not one attempt after the other.
		d.Next = now.Add(x.phases.wait(x.phases.after(m.Attempts)))
	}
	return d
}

// single tells whether a message has but one attempt, as one before it was given up
// and nothing has succeeded since.
func (x *rule) single(s *State, m Message) bool {
	return x.once && !s.GaveUp.IsZero() && m.Arrived.After(s.GaveUp)
}

// latest is giveUp by the most patient of the rules that are for a subject perhaps.
func (r Rules) latest(subject *Subject, c choice, s *State, m Message) time.Time {
	end := r.giveUp(subject, c.rule, s, m)
	for _, x := range c.perhaps {
		end = later(end, r.giveUp(subject, x, s, m))
	}
	return end
}

// spent tells whether a message has had all its attempts, by each of the rules that
// are for its subject perhaps.
func (r Rules) spent(subject *Subject, c choice, s *State, m Message, now time.Time) bool {
	return c.all(func(x *rule) bool { return x.single(s, m) || !now.Before(r.giveUp(subject, x, s, m)) })
}

// giveUp is when a message has been tried long enough. A rule for some failures
// counts from when they began, as days of another failure before it are not its
// own; but all together never take longer than the rule for every failure.
func (r Rules) giveUp(subject *Subject, x *rule, s *State, m Message) time.Time {
	end := m.Arrived.Add(x.phases.end())
	if !x.limited() || !s.KindSince.After(m.Arrived) {
		return end
	}
	most := m.Arrived.Add(max(r.whole(subject).end(), x.phases.end()))
	end = s.KindSince.Add(x.phases.end())
	if end.After(most) {
		return most
	}
	return end
}

// Combine is the decision for a recipient with several hosts: the earliest attempt
// at any, and given up only when all are.
func Combine(list []Decision) Decision {
	var out Decision
	for i, d := range list {
		if i == 0 {
			out = d
			continue
		}
		switch {
		case out.Over && !d.Over, out.Over == d.Over && d.Next.Before(out.Next):
			was := out
			out = d
			out.GiveUp = later(was.GiveUp, d.GiveUp)
		default:
			out.GiveUp = later(out.GiveUp, d.GiveUp)
		}
	}
	out.Final = !out.Over && !out.Next.Before(out.GiveUp)
	return out
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

package retry

import (
	"time"
)

// State is what is known of a host, or of an address, that failed and has not
// succeeded since. The zero value is one of which nothing is known; a success
// makes it that.
type State struct {
	Since     time.Time // the first failure in a row
	KindSince time.Time // the first of this kind in a row
	Last      time.Time // the last attempt
	Next      time.Time // when the next is due
	Attempts  int       // in a row
	Failure             // the last
	GaveUp    time.Time // when the first message was given up for it; zero: none was
}

// IsZero tells whether nothing is known.
func (s *State) IsZero() bool { return s.Since.IsZero() }

// maxText bounds what is kept of a server's words.
const maxText = 500

// Fail is the state after one more failure.
func (r Rules) Fail(subject Subject, s State, f Failure, now time.Time, dice float64) State {
	f.Text = f.Text.Clip(maxText)
	if s.IsZero() || s.Since.After(now) {
		s.Since, s.KindSince = now, now // what lies in the future was told by a wrong clock
	}
	if s.KindSince.IsZero() || s.KindSince.After(now) || s.Failure.Name() != f.Name() {
		s.KindSince = now
	}
	s.Last, s.Failure, s.Attempts = now, f, s.Attempts+1
	x := r.find(&subject, f)
	wait := x.phases.wait(now.Sub(s.begin(x.rule)))
	if named, ok := f.named(); ok {
		wait = obeyed(named, wait, x.phases.longest(), s.Attempts)
	}
	s.Next = now.Add(x.stretched(wait, dice))
	return s
}

// begin is from when on a rule's phases count.
func (s *State) begin(x *rule) time.Time {
	if x.limited() {
		return s.KindSince
	}
	return s.Since
}

// named is the time that a server asks for.
func (f Failure) named() (time.Duration, bool) {
	if f.Code/100 != 4 {
		return 0, false
	}
	return Named(f.Text)
}

const (
	// obeyedTimes is how often in a row a server's own time is taken instead of ours.
	// Greylisting needs it once.
	obeyedTimes = 3
	leastNamed  = 10 * time.Second
)

// obeyed is the wait where a server has named one: not so short that we knock all
// the time, nor longer than the rule ever waits.
func obeyed(named, wait, longest time.Duration, attempt int) time.Duration {
	least := min(wait, leastNamed)
	if attempt > obeyedTimes {
		least = wait
	}
	// A second more, as the server may count from another moment.
	return min(max(named+time.Second, least), longest)
}

// Leave says whether an attempt may be made.
type Leave uint8

// The leaves.
const (
	Free  Leave = 0 // nothing is known against it
	Wait  Leave = 1 // it is not due
	Probe Leave = 2 // it is due: one attempt is enough to find out for all who wait
	Must  Leave = 3 // the only or the last attempt of this message
)

// May tells whether a message may be attempted, or until when it has to wait. What
// lies further ahead than the rule ever waits was told by a wrong clock, and holds
// nobody.
func (r Rules) May(subject Subject, s *State, m Message, now time.Time) (leave Leave, until time.Time) {
	if s.IsZero() {
		return Free, time.Time{}
	}
	x := r.find(&subject, s.Failure)
	if r.spent(&subject, x, s, m, now) {
		return Must, time.Time{}
	}
	wrong := now.Before(s.Last) || s.Next.Sub(now) > x.longest()
	if wrong || !now.Before(s.Next) {
		return Probe, time.Time{}
	}
	return Wait, s.Next
}

// Soon is how long others wait while one finds out whether a host is back.
func (r Rules) Soon(subject Subject, s *State) time.Duration {
	const patience = time.Minute
	return min(patience, r.find(&subject, s.Failure).phases.wait(s.Last.Sub(s.Since)))
}

// Words say in plain words what is known: "this machine has refused mail since
// 3 March 14:05".
func (s *State) Words() string {
	return wordsFor(s.Failure.Name()) + " since " + moment(s.KindSince)
}

func moment(t time.Time) string { return t.Format("2 January 15:04") }

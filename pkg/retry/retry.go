// Package retry decides when a message that could not be delivered is tried
// again, and when it has been tried long enough. It is pure: rule, state and
// the present moment in, a decision out; the caller keeps the clock and the dice.
//
// It promises that the wait grows from the rule's first value by its factor to
// its ceiling, that the last attempt falls on the moment of giving up and not
// a whole wait later, and that no clock, however wrong, makes it give up before an
// attempt was made or wait longer than the ceiling. RFC 5321, section 4.5.4.1
// (sending strategy) gives the reasons for waits of half an hour and days of trying.
package retry

import (
	"math"
	"time"

	"filbert/pkg/settings"
)

// State is what the decision depends on.
type State struct {
	Arrived     time.Time
	LastAttempt time.Time // zero: none yet
	Attempts    int
	Report      bool // the suite's own report: its shorter time applies
	Busy        bool // put back by our own limits: no attempt was made
}

// Decision says when the next attempt is due, and whether it is the last.
type Decision struct {
	Due     time.Time
	Final   bool
	GiveUp  time.Time
	Overdue bool // the time to give up has passed
}

// jitterShare is the most by which a wait is stretched, so that messages that
// failed together are not all tried together for ever.
const jitterShare = 0.1

// busyWait is the pause for a message that found no room: nothing failed.
const busyWait = 2 * time.Second

// Next decides. dice is a number in [0,1) that spreads the waits.
func Next(rule settings.Retry, s State, now time.Time, dice float64) Decision {
	limit := rule.GiveUp.D()
	if s.Report {
		limit = rule.GiveUpBounces.D()
	}
	d := Decision{GiveUp: s.Arrived.Add(limit)}
	d.Overdue = !now.Before(d.GiveUp)
	d.Due = dueTime(rule, s, now, dice)
	if !d.Overdue && d.Due.Before(d.GiveUp) || s.Attempts == 0 || s.Busy {
		return d
	}
	// The wait would pass the end: the last attempt is made at the end, or at
	// once when that has passed (the machine was off).
	d.Final = true
	switch {
	case !d.Overdue:
		d.Due = d.GiveUp
	case s.LastAttempt.Before(d.GiveUp):
		d.Due = now
	}
	// Else the last attempt was made and did not end it, for a reason of our own:
	// the usual wait, not one attempt after the other.
	return d
}

func dueTime(rule settings.Retry, s State, now time.Time, dice float64) time.Time {
	if s.Busy {
		return now.Add(busyWait)
	}
	if s.LastAttempt.IsZero() {
		return now
	}
	wait := Wait(rule, s.Attempts)
	wait += time.Duration(dice * jitterShare * float64(wait))
	due := s.LastAttempt.Add(wait)
	if latest := now.Add(rule.Max.D() + time.Duration(jitterShare*float64(rule.Max.D()))); due.After(latest) {
		// The last attempt lies in the future: the clock was set back.
		return latest
	}
	return due
}

// Wait is the time between attempt n and the next, n counting from 1.
func Wait(rule settings.Retry, n int) time.Duration {
	if n < 1 {
		n = 1
	}
	w := float64(rule.First.D()) * math.Pow(max(rule.Factor, 1), float64(n-1))
	if w > float64(rule.Max.D()) || math.IsInf(w, 0) || math.IsNaN(w) {
		return rule.Max.D()
	}
	return time.Duration(w)
}

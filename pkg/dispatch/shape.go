package dispatch

import (
	"fmt"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/pace"
)

// Destinations whose pace is known and that have nothing under way: those that rest are
// forgotten when they have become many, and beyond the most some others, too.
const (
	leastSweep = 1000
	mostKept   = 100_000
)

// urgency says what of a pace counts for a delivery.
type urgency uint8

const (
	usual urgency = 0
	// pressing is what an administrator has tried now, and what is given up if it does
	// not go through: a pause does not keep it. A rate does.
	pressing urgency = 1
)

// heldError says that the destination gets nothing more for now: its rate is used up,
// or its server has asked for less.
type heldError struct {
	until time.Time // when to come again
	why   string
	short bool // as soon as the rate has room
}

func (e *heldError) Error() string { return e.why }

func (l *limits) policyLocked(key destKey) *pace.Policy {
	if t := l.transports[key.transport]; t != nil {
		return t.paces.of(key)
	}
	return nil
}

// widthLocked is how many places the destination has.
func (l *limits) widthLocked(d *destPlaces) int {
	if p := l.policyLocked(d.key); p != nil {
		return d.pace.Width(p)
	}
	return l.perDest
}

// heldLocked is what keeps a delivery from a place, or nil.
func (l *limits) heldLocked(d *destPlaces, who urgency) *heldError {
	p := l.policyLocked(d.key)
	if p == nil {
		return nil
	}
	now := l.now()
	hold, until := d.pace.Look(p, now)
	switch {
	case hold == pace.ByPause && who == usual:
		return &heldError{until: until, why: fmt.Sprintf("%s has asked for less mail (%q), and gets none until %s",
			d.key, d.pace.Reply().ForTerminal(), until.Format("15:04:05"))}
	case hold == pace.ByRate:
		return &heldError{until: d.pace.Turn(p, now), short: true, why: d.key.rateWords()}
	}
	return nil
}

// sendAwayLocked tells those whose turn it would be who get no place for now. Who
// waits behind one that may have a place waits on.
func (l *limits) sendAwayLocked(d *destPlaces) {
	for len(d.waiting) > 0 {
		i := d.next()
		first := d.waiting[i]
		if first.held = l.heldLocked(d, first.who); first.held == nil {
			return
		}
		l.unwaitLocked(d, i)
		close(first.come)
	}
}

// learn takes in how a delivery went, before its place is given back.
func (l *limits) learn(key destKey, take func(*pace.Policy, *pace.State, time.Time)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.dests[key]
	if d == nil {
		return
	}
	if p := l.policyLocked(d.key); p != nil {
		take(p, &d.pace, l.now())
		l.markReady(d)
	}
}

// throttled tells whether an outcome is a reply by which a server asks for less.
func (l *limits) throttled(key destKey, o *outcome.Outcome) bool {
	l.mu.Lock()
	p := l.policyLocked(key)
	l.mu.Unlock()
	return p != nil && p.Throttled(o)
}

// pausedUntil is the end of a destination's pause; now, when there is none.
func (l *limits) pausedUntil(key destKey) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	d := l.dests[key]
	if d == nil {
		return now
	}
	if p := l.policyLocked(d.key); p != nil {
		if hold, until := d.pace.Look(p, now); hold == pace.ByPause {
			return until
		}
	}
	return now
}

func (l *limits) restedLocked(d *destPlaces) bool {
	p := l.policyLocked(d.key)
	return p == nil || d.pace.Rested(p, l.now())
}

// sweepLocked keeps the destinations few enough.
func (l *limits) sweepLocked() {
	if len(l.dests) < l.sweepAt {
		return
	}
	for _, d := range l.dests {
		l.forgetLocked(d)
	}
	for k, d := range l.dests {
		if len(l.dests) <= mostKept {
			break
		}
		if d.idle() {
			delete(l.dests, k)
		}
	}
	l.sweepAt = max(leastSweep, 2*len(l.dests))
}

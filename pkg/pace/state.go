package pace

import (
	"time"

	"filbert/pkg/untrusted"
)

// keepGrown is how long it is remembered that a destination takes more at once than
// the first few.
const keepGrown = 10 * time.Minute

// maxAhead bounds the turns that are given out beforehand.
const maxAhead = time.Hour

// maxKept is how much of a reply is kept, in octets.
const maxKept = 200

// State is what is known of one destination; the zero value is one that is new.
type State struct {
	width  int // deliveries at once; 0: as many as at the start
	window int // successes since width changed
	shrunk time.Time
	full   time.Time      // when the bucket of the rate is full again
	turn   time.Time      // the last that was given out to one who waits for the rate
	paused time.Time      // until then
	used   time.Time      // the last delivery that began
	reply  untrusted.Text // the one that paused it

	counted time.Time // when the time began in which count deliveries have begun
	count   int
}

// Width is how many deliveries may go on at once, at least 1.
func (s *State) Width(p *Policy) int {
	if s.width == 0 {
		return p.start
	}
	return min(s.width, p.most)
}

// Hold says what keeps a delivery from beginning now.
type Hold uint8

// What may keep it.
const (
	Free    Hold = 0
	ByRate  Hold = 1
	ByPause Hold = 2
)

// Look tells whether a delivery may begin, and if not, until when that stays so.
func (s *State) Look(p *Policy, now time.Time) (Hold, time.Time) {
	s.settle(p, now)
	if s.paused.After(now) {
		return ByPause, s.paused
	}
	if b := p.bucket(now); b.rate.N > 0 {
		if at := s.full.Add(-b.slack); at.After(now) {
			return ByRate, at
		}
	}
	return Free, now
}

// Turn is when one who is held by the rate had best come again: each at a moment of
// its own, as the rate allows, or all who wait would come for each place.
func (s *State) Turn(p *Policy, now time.Time) time.Time {
	_, first := s.Look(p, now)
	at := s.turn.Add(p.bucket(now).gap)
	if at.Before(first) || at.Sub(first) > maxAhead {
		at = first
	}
	s.turn = at
	return at
}

// settle brings moments back that a clock which was set back has left too far ahead.
func (s *State) settle(p *Policy, now time.Time) {
	if most := now.Add(p.pause); s.paused.After(most) {
		s.paused = most
	}
	if most := now.Add(p.bucket(now).rate.Per); s.full.After(most) {
		s.full = most
	}
	if s.shrunk.After(now) {
		s.shrunk = now
	}
	if s.used.After(now) {
		s.used = now
	}
}

// Begin notes that a delivery begins. Look has said Free, or the caller knows better.
func (s *State) Begin(p *Policy, now time.Time) {
	s.settle(p, now)
	s.used = now
	b := p.bucket(now)
	if b.rate.N == 0 {
		return
	}
	s.tally(b.rate.Per, now)
	if s.full.Before(now) {
		s.full = now
	}
	s.full = s.full.Add(b.gap)
}

// Succeeded notes that the destination took part in a delivery as it should.
func (s *State) Succeeded(p *Policy) {
	width := s.Width(p)
	if width >= p.most {
		s.width, s.window = width, 0
		return
	}
	if s.window++; s.window >= width {
		s.width, s.window = width+1, 0
	}
}

// Failed notes that a connection failed, or that the server closed it as it had too
// many, in a delivery that began then.
func (s *State) Failed(p *Policy, began, now time.Time) {
	s.window = 0
	if began.Before(s.shrunk) {
		return
	}
	s.width, s.shrunk = max(1, s.Width(p)/2), now
}

// Paused notes a reply that asks for less (Policy.Throttled): nothing begins for a
// while, and then one delivery at a time. It gives the end.
func (s *State) Paused(p *Policy, reply untrusted.Text, now time.Time) time.Time {
	s.width, s.window, s.shrunk = 1, 0, now
	s.reply = reply.Clip(maxKept)
	if until := now.Add(p.pause); until.After(s.paused) {
		s.paused = until
	}
	return s.paused
}

// Reply is the one that paused the destination last, cut short.
func (s *State) Reply() untrusted.Text { return s.reply }

// Rested tells whether the state may be forgotten.
func (s *State) Rested(p *Policy, now time.Time) bool {
	s.settle(p, now)
	if s.paused.After(now) || s.full.After(now) || s.turn.After(now) {
		return false
	}
	return s.Width(p) == p.start || now.Sub(s.used) >= keepGrown
}

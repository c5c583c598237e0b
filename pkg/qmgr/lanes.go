package qmgr

import (
	"slices"
)

// What is due waits in a lane for each destination. The lanes take turns, one message
// each, so that it does not matter how much is due for one of them; within a lane the
// senders take turns in the same way, so that one mailing does not hold up the rest.

// shares is among how many rows the senders of one destination are spread. Two may share
// one, as a row for each would cost more memory than the messages do.
const shares = 64

// lane is what is due for one destination.
type lane struct {
	hop   string
	rows  []row // those with something in it, the next one first
	under int   // attempts under way
	queue bool  // it is in the ring
}

// row is what is due of some senders, in the order in which it became due.
type row struct {
	share   uint32
	entries []*entry // some may have been parked elsewhere, held or dropped since
}

// lanes is all of them.
type lanes struct {
	byHop map[string]*lane
	ring  []*lane // those that have something and a place for it, the next one first
}

// of is the lane of a destination.
func (l *lanes) of(hop string) *lane {
	at := l.byHop[hop]
	if at == nil {
		at = &lane{hop: hop}
		l.byHop[hop] = at
	}
	return at
}

// park puts an entry that is due into its lane.
func (l *lanes) park(e *entry, perHop int) {
	e.parked = true
	at := l.of(e.nextHop)
	share := uint32(e.sender) % shares
	i := slices.IndexFunc(at.rows, func(r row) bool { return r.share == share })
	if i < 0 {
		i = len(at.rows)
		at.rows = append(at.rows, row{share: share})
	}
	at.rows[i].entries = append(at.rows[i].entries, e)
	l.enter(at, perHop)
}

// enter puts a lane at the end of the ring if it has something and a place.
func (l *lanes) enter(at *lane, perHop int) {
	if !at.queue && len(at.rows) > 0 && at.under < perHop {
		at.queue = true
		l.ring = append(l.ring, at)
	}
}

// next takes an entry out of the first lane that has one, nil if none has.
func (l *lanes) next(perHop int) *entry {
	for len(l.ring) > 0 {
		at := l.ring[0]
		l.ring[0] = nil
		l.ring = l.ring[1:]
		at.queue = false
		e := at.take()
		if e != nil {
			e.parked = false
			at.under++
		}
		l.enter(at, perHop)
		l.forget(at)
		if e != nil {
			return e
		}
	}
	return nil
}

// take is the next entry of a lane: of the first row, which then is the last.
func (at *lane) take() *entry {
	for len(at.rows) > 0 {
		r := at.rows[0]
		at.rows = slices.Delete(at.rows, 0, 1)
		var e *entry
		for e == nil && len(r.entries) > 0 {
			if r.entries[0].parked && r.entries[0].nextHop == at.hop {
				e = r.entries[0]
			}
			r.entries[0] = nil
			r.entries = r.entries[1:]
		}
		if len(r.entries) > 0 {
			at.rows = append(at.rows, r)
		}
		if e != nil {
			return e
		}
	}
	return nil
}

// ended gives back the place of an attempt.
func (l *lanes) ended(hop string, perHop int) {
	at := l.of(hop)
	at.under = max(0, at.under-1)
	l.enter(at, perHop)
	l.forget(at)
}

// forget drops a lane that nothing is in.
func (l *lanes) forget(at *lane) {
	if at.under == 0 && len(at.rows) == 0 && !at.queue {
		delete(l.byHop, at.hop)
	}
}

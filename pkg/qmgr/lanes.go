package qmgr

import (
	"slices"

	"filbert/pkg/turns"
)

// What is due waits in a lane for each destination. The lanes take turns, one message
// each, so that it does not matter how much is due for one of them; within a lane the
// senders take turns in the same way, so that one mailing does not hold up the rest.
//
// Priorities go before that: the lanes whose highest priority is higher have more turns,
// and within a lane what has a higher one (pkg/turns says how many). Nobody waits for
// ever: a lane lets turns.Bound turns of other priorities pass at most, and what is in it
// as many of its own.

// shares is among how many rows the senders of one destination are spread. Two may share
// one, as a row for each would cost more memory than the messages do.
const shares = 64

// lane is what is due for one destination.
type lane struct {
	hop     string
	shelves []shelf // those with something in it, the highest priority first
	turns   turns.State
	under   int // attempts under way
	ring    int // the level in whose ring it is, and one; 0 = in none
}

// shelf is what is due of one priority.
type shelf struct {
	level int
	rows  []row // those with something in it, the next one first
}

// row is what is due of some senders, in the order in which it became due.
type row struct {
	share   uint32
	entries []*entry // some may have been parked elsewhere, held or dropped since
}

// lanes is all of them.
type lanes struct {
	byHop map[string]*lane
	// rings are by level those that have something, nothing higher, and a place for it,
	// the next one first.
	rings [turns.Levels][]*lane
	turns turns.State
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
	sh := at.shelf(turns.Level(e.priority))
	share := uint32(e.sender) % shares
	i := slices.IndexFunc(sh.rows, func(r row) bool { return r.share == share })
	if i < 0 {
		i = len(sh.rows)
		sh.rows = append(sh.rows, row{share: share})
	}
	sh.rows[i].entries = append(sh.rows[i].entries, e)
	l.enter(at, perHop)
}

// shelf is the lane's for a level. Nearly all mail is of one.
func (at *lane) shelf(level int) *shelf {
	i := slices.IndexFunc(at.shelves, func(sh shelf) bool { return sh.level <= level })
	switch {
	case i < 0:
		i = len(at.shelves)
		at.shelves = append(at.shelves, shelf{level: level})
	case at.shelves[i].level != level:
		at.shelves = slices.Insert(at.shelves, i, shelf{level: level})
	}
	return &at.shelves[i]
}

// enter puts a lane at the end of its ring if it has something and a place.
func (l *lanes) enter(at *lane, perHop int) {
	if len(at.shelves) == 0 || at.under >= perHop {
		return
	}
	top := at.shelves[0].level
	if at.ring == top+1 {
		return
	}
	if at.ring != 0 { // something higher has come
		old := &l.rings[at.ring-1]
		*old = slices.Delete(*old, slices.Index(*old, at), slices.Index(*old, at)+1)
	}
	at.ring = top + 1
	l.rings[top] = append(l.rings[top], at)
}

// waiting is the levels in whose rings something is.
func (l *lanes) waiting() (w turns.Waiting) {
	for level := range l.rings {
		if len(l.rings[level]) > 0 {
			w = w.With(level)
		}
	}
	return w
}

// next takes an entry out of the lane whose turn it is, nil if none has any.
func (l *lanes) next(perHop int) *entry {
	for w := l.waiting(); w != 0; w = l.waiting() {
		level := l.turns.Next(w)
		at := l.rings[level][0]
		l.rings[level][0] = nil
		l.rings[level] = l.rings[level][1:]
		at.ring = 0
		e := at.take()
		if e != nil {
			l.turns.Took(w, level)
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

// take is the next entry of a lane, of the priority that has its turn.
func (at *lane) take() *entry {
	for len(at.shelves) > 0 {
		var w turns.Waiting
		for i := range at.shelves {
			w = w.With(at.shelves[i].level)
		}
		level := at.turns.Next(w)
		i := slices.IndexFunc(at.shelves, func(sh shelf) bool { return sh.level == level })
		e := at.shelves[i].take(at.hop)
		if len(at.shelves[i].rows) == 0 {
			at.shelves = slices.Delete(at.shelves, i, i+1)
		}
		if e != nil {
			at.turns.Took(w, level)
			return e
		}
	}
	return nil
}

// take is the next entry of a priority: of the first row, which then is the last.
func (sh *shelf) take(hop string) *entry {
	for len(sh.rows) > 0 {
		r := sh.rows[0]
		sh.rows = slices.Delete(sh.rows, 0, 1)
		var e *entry
		for e == nil && len(r.entries) > 0 {
			if r.entries[0].parked && r.entries[0].nextHop == hop {
				e = r.entries[0]
			}
			r.entries[0] = nil
			r.entries = r.entries[1:]
		}
		if len(r.entries) > 0 {
			sh.rows = append(sh.rows, r)
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
	if at.under == 0 && len(at.shelves) == 0 && at.ring == 0 {
		delete(l.byHop, at.hop)
	}
}

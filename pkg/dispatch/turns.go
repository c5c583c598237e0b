package dispatch

import (
	"slices"

	"filbert/pkg/turns"
)

// Who waits for a place at a destination, by priority (RFC 6710, section 4.1).

func (l *limits) waitLocked(d *destPlaces, t *turn) {
	d.waiting = append(d.waiting, t)
	d.levels[t.level]++
	l.waiting++
}

func (l *limits) unwaitLocked(d *destPlaces, i int) {
	d.levels[d.waiting[i].level]--
	d.waiting = slices.Delete(d.waiting, i, i+1)
	l.waiting--
}

// priorities is those of who waits.
func (d *destPlaces) priorities() (w turns.Waiting) {
	for level, n := range d.levels {
		if n > 0 {
			w = w.With(level)
		}
	}
	return w
}

// next is the place in the queue of the one whose turn it is; somebody must wait. Of one
// priority it is the one who came first.
func (d *destPlaces) next() int {
	level := d.turns.Next(d.priorities())
	return slices.IndexFunc(d.waiting, func(t *turn) bool { return t.level == level })
}

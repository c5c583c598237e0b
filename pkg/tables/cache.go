package tables

import (
	"time"

	"filbert/pkg/lookup"
)

// Bounds of what is kept of one server. Ours.
const (
	maxCached = 20_000   // answers
	maxOctets = 16 << 20 // of keys and values
	maxOne    = 64 << 10 // a larger answer is not kept
)

// cache keeps answers for a time. It has two generations: when the young one has
// half of what may be kept it becomes the old one, whose answers are dropped. So
// the bound needs no list of who was used when, and what is used stays: it moves
// to the young ones.
type cache struct {
	young, old map[string]cached
	octets     int // of the young ones
}

type cached struct {
	answer lookup.Answer
	until  time.Time
}

func (c *cache) get(key string, now time.Time) (lookup.Answer, bool) {
	if e, ok := c.young[key]; ok {
		return e.answer, now.Before(e.until)
	}
	e, ok := c.old[key]
	if !ok || !now.Before(e.until) {
		return lookup.Answer{}, false
	}
	c.put(key, e.answer, e.until, now)
	return e.answer, true
}

func (c *cache) put(key string, a lookup.Answer, until, now time.Time) {
	n := len(key) + sizeOf(a)
	if n > maxOne || !now.Before(until) {
		return
	}
	if c.young == nil || len(c.young) >= maxCached/2 || c.octets+n > maxOctets/2 {
		c.young, c.old, c.octets = make(map[string]cached), c.young, 0
	}
	c.young[key] = cached{a, until}
	c.octets += n
}

func sizeOf(a lookup.Answer) int {
	n := len(a.Where) + 100 // about what maps and headers take
	for _, v := range a.Values {
		n += len(v) + 16
	}
	return n
}

package qmgr

import "slices"

// hop is the messages of one next hop, so that a success there costs as much as it
// releases. It has the one copy of its name, too: a million messages for one host must not
// hold it a million times.
type hop struct {
	name    string
	entries []*entry // in no order
	turned  seconds  // when a site asked for them last (ETRN)
}

// toHop puts an entry among those of a next hop.
func (q *schedule) toHop(e *entry, name string) {
	h := q.hops[name]
	if h != nil && e.nextHop == name && h.has(e) {
		return
	}
	q.leaveHop(e)
	if h = q.hops[name]; h == nil {
		h = &hop{name: name}
		q.hops[name] = h
	}
	e.nextHop, e.hopAt = h.name, int32(len(h.entries))
	h.entries = append(h.entries, e)
	q.changed(e)
}

// leaveHop takes it out.
func (q *schedule) leaveHop(e *entry) {
	h := q.hops[e.nextHop]
	if h == nil || !h.has(e) {
		return
	}
	last := len(h.entries) - 1
	h.entries[e.hopAt] = h.entries[last]
	h.entries[e.hopAt].hopAt = e.hopAt
	h.entries[last] = nil
	if h.entries = h.entries[:last]; last == 0 {
		delete(q.hops, h.name)
	} else if cap(h.entries) > 64 && last < cap(h.entries)/4 {
		h.entries = slices.Clone(h.entries) // what has drained gives its memory back
	}
}

func (h *hop) has(e *entry) bool {
	return int(e.hopAt) < len(h.entries) && h.entries[e.hopAt] == e
}

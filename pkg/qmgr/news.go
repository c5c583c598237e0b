package qmgr

import (
	"slices"

	"filbert/pkg/proto"
	"filbert/pkg/qindex"
	"filbert/pkg/queueid"
)

// marks is what is known of an entry beside the schedule.
type marks uint8

const (
	dirty     marks = 1 << iota // it is among the news
	addressed                   // the index on disk has its addresses
	many                        // it has more than are kept there
	checked                     // its files were looked at, or dispatch told of it, since the start
	unsure                      // what the index on disk said of it may be old
)

// news is what has changed since the index on disk was last written. The methods of nil do
// nothing. With mu of the Manager.
type news struct {
	changed   []*entry
	dropped   []queueid.ID
	addresses map[queueid.ID][]string
	octets    int  // of the addresses
	whole     bool // everything has changed
	hurry     chan struct{}

	// While somebody searches the index, what is written is not called addressed: he may
	// have read too early to see it.
	searching int
	late      []*entry
}

const (
	// manyNews is how much is written at once rather than when a second is over.
	manyNews = 20_000
	// manyOctets bounds the addresses that are held in memory.
	manyOctets = 4 << 20
)

func newNews() *news {
	return &news{addresses: map[queueid.ID][]string{}, hurry: make(chan struct{}, 1)}
}

// changed notes that an entry is not what the index on disk says.
func (q *schedule) changed(e *entry) {
	n := q.news
	if n == nil || e.marks&dirty != 0 {
		return
	}
	e.marks |= dirty
	n.changed = append(n.changed, e)
	if len(n.changed) >= manyNews {
		n.soon()
	}
}

func (n *news) gone(id queueid.ID) {
	if n == nil {
		return
	}
	n.dropped = append(n.dropped, id)
	n.forget(id)
}

// forget drops the addresses of a message that are not written yet.
func (n *news) forget(id queueid.ID) {
	for _, a := range n.addresses[id] {
		n.octets -= len(a)
	}
	delete(n.addresses, id)
}

// all notes that nothing is as the index on disk says.
func (n *news) all() {
	if n != nil {
		n.whole = true
		n.soon()
	}
}

func (n *news) soon() {
	select {
	case n.hurry <- struct{}{}:
	default:
	}
}

// keepAddresses notes the addresses of a message, none if they are not known. With mu.
func (q *Manager) keepAddresses(e *entry, addresses []string) {
	n := q.sched.news
	if n == nil || len(addresses) == 0 {
		return
	}
	// Until they are written, who looks for one has to read the file.
	e.marks &^= addressed | many
	q.sched.changed(e)
	n.forget(e.id)
	switch {
	case !qindex.Fits(addresses):
		e.marks |= many
		return
	case n.octets > 8*manyOctets:
		e.marks |= many // the disk can't keep up
		return
	case n.octets > manyOctets:
		n.soon()
	}
	n.addresses[e.id] = slices.Clone(addresses)
	for _, a := range addresses {
		n.octets += len(a)
	}
}

// record is what the index on disk keeps of an entry. With mu.
func (q *Manager) record(e *entry, r *qindex.Record) {
	*r = qindex.Record{
		ID: e.id, Held: e.state == held,
		Unsure:    e.state == active || e.state == busy || e.marks&checked == 0,
		Addressed: e.marks&addressed != 0, Many: e.marks&many != 0, Report: e.report, Now: e.now,
		Due: e.due, GiveUp: int64(e.giveUp), Arrived: int64(e.arrived), Size: e.size, Waiting: e.waiting,
		Owner: uint32(e.owner), Sender: uint32(e.sender), Attempts: e.attempts, Warned: e.warned, Priority: e.priority,
		NextHop: append(r.NextHop[:0], e.nextHop...),
	}
	r.Order, r.Ordered = q.waits[e.id]
	if at, ends := q.holds[e.id]; ends {
		r.HoldEnds = at.Unix()
	}
}

// remembered puts a record of the index on disk into the schedule. Heap and standing orders are
// seen to when all are there. With mu.
func (q *Manager) remembered(r *qindex.Record) {
	s := q.sched
	e := s.all.get(r.ID)
	if r.Dropped {
		if e != nil {
			delete(q.waits, e.id)
			delete(q.holds, e.id)
			s.drop(e)
		}
		return
	}
	if e == nil {
		e = &entry{id: r.ID, slot: -1}
		s.all.add(e)
	}
	e.due, e.size, e.arrived, e.giveUp = r.Due, r.Size, secondsOf(r.Arrived), secondsOf(r.GiveUp)
	e.waiting, e.sender, e.attempts, e.warned = r.Waiting, proto.SenderShare(r.Sender), r.Attempts, r.Warned
	e.report, e.now, e.state, e.priority = r.Report, r.Now, waiting, r.Priority
	e.marks = 0
	for _, m := range []struct {
		is bool
		m  marks
	}{{r.Unsure, unsure}, {r.Addressed, addressed}, {r.Many, many}} {
		if m.is {
			e.marks |= m.m
		}
	}
	if r.Held {
		e.state = held
	}
	if h := s.hops[string(r.NextHop)]; h != nil {
		s.toHop(e, h.name)
	} else {
		s.toHop(e, string(r.NextHop))
	}
	s.own(e, proto.Owner(r.Owner))
	q.rememberWaits(e, r)
}

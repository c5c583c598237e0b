package qmgr

import (
	"container/heap"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/retry"
	"filbert/pkg/settings"
)

// state of a message in the schedule.
type state uint8

const (
	waiting state = 1 // in the heap
	active  state = 2 // dispatch has it
	held    state = 3
	busy    state = 4 // an order is being carried out on its files
)

// entry is what is kept of a message: about 150 bytes, and its place in the map.
type entry struct {
	id       queueid.ID
	due      int64 // Unix milliseconds
	arrived  int64 // Unix seconds
	last     int64 // last attempt, Unix seconds; 0 = none
	giveUp   int64 // Unix seconds
	size     int64
	nextHop  string // interned
	attempts uint32
	waiting  uint32 // recipients
	slot     int32  // place in the heap, -1 outside
	warned   uint8  // delay warnings sent
	state    state
	report   bool
	now      bool // the next attempt is by an administrator's order
	parked   bool // due, and waits for a place of its next hop
	busy     bool // put back by our own limits
	owner    proto.Owner
}

// schedule is all messages and the order in which they are due. It is pure:
// the caller brings the time and the dice, and holds a lock.
type schedule struct {
	byID  map[queueid.ID]*entry
	queue dueQueue
	names map[string]string
	rules retry.Rules
	warn  []settings.Duration
	seen  time.Time // the time when somebody last looked

	// One next hop has at most perHop attempts under way, so that a slow one
	// leaves room for the others.
	perHop int
	under  map[string]int
	parked map[string][]*entry                 // those that wait for a place, and some that no longer do
	owned  map[proto.Owner]map[*entry]struct{} // the mail of users of this machine
}

func newSchedule(s *settings.Settings) *schedule {
	q := &schedule{
		byID:   map[queueid.ID]*entry{},
		names:  map[string]string{},
		under:  map[string]int{},
		parked: map[string][]*entry{},
	}
	q.apply(s)
	return q
}

// apply puts new rules in force for the waits that begin from now on.
func (q *schedule) apply(s *settings.Settings) {
	if rules, err := retry.Compile(s.Retry); err == nil { // else dispatch tells of it
		q.rules = rules
	}
	q.warn = s.Reports.DelayWarnings
	q.perHop = max(1, min(s.Limits.PerDestination, dueAtOnce/10))
}

// put adds or renews a message that waits for its next attempt.
func (q *schedule) put(s *proto.Summary, now time.Time, dice float64) *entry {
	e := q.update(s)
	e.due, e.giveUp = q.times(s, now, dice)
	e.now = false
	e.state = waiting
	q.place(e)
	return e
}

// times is when a message is due and when it is given up: what dispatch said, who
// alone knows the hosts and addresses; without its word what the rules say of a
// message of that age.
func (q *schedule) times(s *proto.Summary, now time.Time, dice float64) (due, giveUp int64) {
	switch {
	case s.Busy:
		return now.Add(busyPause).UnixMilli(), s.GiveUp
	case s.Due != 0:
		return s.Due, s.GiveUp
	case s.LastAttempt == 0:
		return now.UnixMilli(), s.GiveUp
	}
	subject := retry.Subject{Domain: s.NextHop, Sender: "?"}
	if s.Bounce {
		subject.Sender = ""
	}
	d := q.rules.Rebuilt(subject, retry.Failure{},
		retry.Message{Arrived: time.Unix(s.Arrived, 0), Attempts: int(s.Attempts)}, time.Unix(s.LastAttempt, 0), now, dice)
	return d.Next.UnixMilli(), d.GiveUp.Unix()
}

// hold takes a message out of the queue and keeps it.
func (q *schedule) hold(s *proto.Summary) *entry {
	e := q.update(s)
	q.unqueue(e)
	e.state = held
	return e
}

func (q *schedule) update(s *proto.Summary) *entry {
	e := q.byID[s.ID]
	if e == nil {
		e = &entry{id: s.ID, slot: -1}
		q.byID[s.ID] = e
	}
	e.arrived, e.last, e.size = s.Arrived, s.LastAttempt, s.Size
	e.attempts, e.waiting = s.Attempts, s.Waiting
	e.report, e.busy, e.giveUp = s.Bounce, s.Busy, s.GiveUp
	e.nextHop = q.intern(s.NextHop)
	q.own(e, s.Owner)
	return e
}

// intern keeps one copy of each name: a million messages for one host must not
// hold its name a million times.
func (q *schedule) intern(name string) string {
	if kept, ok := q.names[name]; ok {
		return kept
	}
	if len(q.names) > 100_000 {
		clear(q.names) // the entries keep their strings; only sharing begins anew
	}
	q.names[name] = name
	return name
}

// retryNow makes a waiting message due at once.
func (q *schedule) retryNow(e *entry, now time.Time) {
	e.due = now.UnixMilli()
	q.place(e)
}

// next takes the first message that is due and has a place, or says when the
// next one is due (zero: none is, or not before a place comes free). When the
// attempt is over, ended must follow.
func (q *schedule) next(now time.Time) (e *entry, at time.Time) {
	for len(q.queue) > 0 {
		first := q.queue[0]
		if at := time.UnixMilli(first.due); at.After(now) {
			return nil, at
		}
		heap.Pop(&q.queue)
		hop := first.nextHop
		if q.under[hop] < q.perHop {
			first.state = active
			q.under[hop]++
			return first, time.Time{}
		}
		first.parked = true
		q.parked[hop] = append(q.parked[hop], first)
	}
	return nil, time.Time{}
}

// ended gives back the place of a next hop, and has the first that waits for it
// queued again.
func (q *schedule) ended(hop string) {
	if q.under[hop]--; q.under[hop] <= 0 {
		delete(q.under, hop)
	}
	waits := q.parked[hop]
	for len(waits) > 0 {
		e := waits[0]
		waits = waits[1:]
		if e.parked { // else it was held, ended or queued meanwhile
			q.place(e)
			break
		}
	}
	if q.parked[hop] = waits; len(waits) == 0 {
		delete(q.parked, hop)
	}
}

// clockSlack is how much a clock may be corrected without being set back.
const clockSlack = time.Minute

// clock notes the time. When it was set back all waits move with it: what is due
// in five minutes must not wait for yesterday to pass again.
func (q *schedule) clock(now time.Time) {
	if back := q.seen.Sub(now); back > clockSlack {
		for _, e := range q.queue {
			e.due -= back.Milliseconds() // of all alike: the order stays
		}
	}
	q.seen = now
}

// action says how a message that is due is tried.
func (q *schedule) action(e *entry, now time.Time) proto.Due {
	// Whether it is the last one dispatch decides, by what becomes of it. Who is
	// about to be told that it failed is not told that it takes long.
	final := e.giveUp != 0 && now.Unix() >= e.giveUp
	return proto.Due{
		ID: e.id, Action: proto.DueAttempt, GiveUpAt: e.giveUp, Now: e.now,
		WarnDelay: !final && !e.report && int(e.warned) < q.warningsDue(e, now),
	}
}

// warningsDue is how many of the configured ages the message has passed.
func (q *schedule) warningsDue(e *entry, now time.Time) int {
	n := 0
	for _, age := range q.warn {
		if now.Sub(time.Unix(e.arrived, 0)) >= age.D() {
			n++
		}
	}
	return n
}

// warnedAt notes that a warning went out: it stands for all that were due then.
func (q *schedule) warnedAt(e *entry, at time.Time) {
	e.warned = uint8(min(q.warningsDue(e, at), 255))
}

// drop forgets a message.
func (q *schedule) drop(e *entry) {
	q.unqueue(e)
	delete(q.byID, e.id)
	q.own(e, 0)
}

func (q *schedule) place(e *entry) {
	e.parked = false
	if e.slot >= 0 {
		heap.Fix(&q.queue, int(e.slot))
		return
	}
	heap.Push(&q.queue, e)
}

func (q *schedule) unqueue(e *entry) {
	e.parked = false
	if e.slot >= 0 {
		heap.Remove(&q.queue, int(e.slot))
	}
}

func milli(ms int64) time.Time { return time.UnixMilli(ms) }

// dueQueue is a heap by due time, then by age.
type dueQueue []*entry

func (h dueQueue) Len() int { return len(h) }

func (h dueQueue) Less(i, j int) bool {
	if h[i].due != h[j].due {
		return h[i].due < h[j].due
	}
	return h[i].id < h[j].id
}

func (h dueQueue) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = int32(i), int32(j)
}

// Push is heap.Interface's.
func (h *dueQueue) Push(x any) {
	e := x.(*entry)
	e.slot = int32(len(*h))
	*h = append(*h, e)
}

// Pop is heap.Interface's.
func (h *dueQueue) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.slot = -1
	return e
}

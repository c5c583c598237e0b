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

// entry is what is kept of a message: 80 bytes, about 12 in the index, 8 in the heap and 10
// among those of its next hop.
// One that was dropped is not used again, as an order may still have it in hand.
type entry struct {
	id       queueid.ID
	due      int64 // Unix milliseconds
	size     int64
	nextHop  string  // interned
	arrived  seconds // or is to be released, where its sender wants that later (RFC 4865)
	giveUp   seconds // 0 = not known
	waiting  uint32  // recipients
	slot     int32   // place in the heap, -1 outside
	hopAt    int32   // place among those of its next hop
	owner    proto.Owner
	sender   proto.SenderShare
	attempts uint16
	warned   uint8 // delay warnings sent
	priority int8
	state    state
	report   bool
	now      bool // the next attempt is by an administrator's order
	parked   bool // due, and waits in a lane for its turn
	marks    marks
}

// seconds is Unix time in half the room, good until 2106.
type seconds uint32

func secondsOf(unix int64) seconds { return seconds(min(max(unix, 0), 1<<32-1)) }

func (s seconds) time() time.Time { return time.Unix(int64(s), 0) }

// schedule is all messages and the order in which they are due. It is pure:
// the caller brings the time and the dice, and holds a lock.
type schedule struct {
	all   index
	queue dueQueue
	hops  map[string]*hop
	rules retry.Rules
	warn  []settings.Duration
	seen  time.Time // the time when somebody last looked

	// One next hop has at most perHop attempts under way, so that a slow one
	// leaves room for the others.
	perHop int
	lanes  lanes                               // what is due
	owned  map[proto.Owner]map[*entry]struct{} // the mail of users of this machine

	news *news // for the index on disk; nil: there is none
}

func newSchedule(s *settings.Settings) *schedule {
	q := &schedule{
		hops:  map[string]*hop{},
		lanes: lanes{byHop: map[string]*lane{}},
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
	var giveUp int64
	e.due, giveUp = q.times(s, now, dice)
	e.giveUp = secondsOf(giveUp)
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
	e := q.all.get(s.ID)
	if e == nil {
		e = &entry{id: s.ID, slot: -1}
		q.all.add(e)
	}
	e.arrived, e.giveUp, e.size = secondsOf(s.Arrived), secondsOf(s.GiveUp), s.Size
	e.attempts, e.waiting = uint16(min(s.Attempts, 1<<16-1)), s.Waiting
	e.report, e.sender, e.priority = s.Bounce, s.Sender, s.Priority
	q.toHop(e, s.NextHop)
	q.own(e, s.Owner)
	e.marks = e.marks&^unsure | checked
	q.changed(e)
	return e
}

// retryNow makes a waiting message due at once.
func (q *schedule) retryNow(e *entry, now time.Time) {
	e.due = now.UnixMilli()
	q.place(e)
}

// dueAtATime is how many messages that became due are put into their lanes in one go.
const dueAtATime = 1000

// next takes the message whose turn it is of those that are due and have a place, or says
// when to ask again (zero: not before a place comes free). When the attempt is over,
// ended must follow.
func (q *schedule) next(now time.Time) (e *entry, at time.Time) {
	for range dueAtATime {
		if len(q.queue) == 0 || milli(q.queue[0].due).After(now) {
			break
		}
		q.lanes.park(heap.Pop(&q.queue).(*entry), q.perHop)
	}
	if e = q.lanes.next(q.perHop); e != nil {
		e.state = active
		q.changed(e)
		return e, time.Time{}
	}
	if len(q.queue) > 0 {
		at = milli(q.queue[0].due)
	}
	return nil, at
}

// ended gives back the place of a next hop.
func (q *schedule) ended(hop string) { q.lanes.ended(hop, q.perHop) }

// early tells whether the moment has not come before which its sender does not want the
// message to be tried: then nothing but an administrator brings it forward. One that was
// tried has come before the clock was set back.
func (e *entry) early(now time.Time) bool { return e.attempts == 0 && e.arrived.time().After(now) }

// clockSlack is how much a clock may be corrected without being set back.
const clockSlack = time.Minute

// clock notes the time. When it was set back all waits move with it: what is due
// in five minutes must not wait for yesterday to pass again.
func (q *schedule) clock(now time.Time) {
	if back := q.seen.Sub(now); back > clockSlack {
		for _, e := range q.queue {
			e.due -= back.Milliseconds() // of all alike: the order stays
		}
		q.news.all()
	}
	q.seen = now
}

// action says how a message that is due is tried.
func (q *schedule) action(e *entry, now time.Time) proto.Due {
	// Whether it is the last one dispatch decides, by what becomes of it. Who is
	// about to be told that it failed is not told that it takes long.
	final := e.giveUp != 0 && now.Unix() >= int64(e.giveUp)
	return proto.Due{
		ID: e.id, Action: proto.DueAttempt, GiveUpAt: int64(e.giveUp), Now: e.now,
		WarnDelay: !final && !e.report && int(e.warned) < q.warningsDue(e, now),
	}
}

// warningsDue is how many of the configured ages the message has passed.
func (q *schedule) warningsDue(e *entry, now time.Time) int {
	n := 0
	for _, age := range q.warn {
		if now.Sub(e.arrived.time()) >= age.D() {
			n++
		}
	}
	return n
}

// warnedAt notes that a warning went out: it stands for all that were due then.
func (q *schedule) warnedAt(e *entry, at time.Time) {
	e.warned = uint8(min(q.warningsDue(e, at), 255))
	q.changed(e)
}

// drop forgets a message.
func (q *schedule) drop(e *entry) {
	q.unqueue(e)
	q.all.remove(e.id)
	q.own(e, 0)
	q.leaveHop(e)
	q.news.gone(e.id)
}

func (q *schedule) place(e *entry) {
	e.parked = false
	q.changed(e)
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

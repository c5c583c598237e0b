package qmgr

import (
	"fmt"
	"testing"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/settings"
)

// load is a schedule with messages that are due since an hour or more.
type load struct {
	s    *schedule
	next queueid.ID
	due  int64
}

func newLoad() *load {
	return &load{s: newSchedule(settings.Default()), due: noon.UnixMilli()}
}

// add puts in n messages, each due a millisecond after the one before.
func (l *load) add(n int, hop string, sender proto.SenderShare) {
	for range n {
		l.next++
		l.due++
		l.s.put(&proto.Summary{ID: l.next, Arrived: noon.Unix(), LastAttempt: noon.Unix(), Attempts: 1,
			NextHop: hop, Sender: sender, Due: l.due}, noon, 0)
	}
}

// take begins up to n attempts.
func (l *load) take(n int) []*entry {
	var out []*entry
	for now := noon.Add(2 * time.Hour); len(out) < n; {
		e, at := l.s.next(now)
		if e != nil {
			out = append(out, e)
		} else if at.IsZero() || at.After(now) {
			break
		}
	}
	return out
}

func TestOneMessageForEachOfManyIsNotHeldUpByFiftyThousandForOne(t *testing.T) {
	l := newLoad()
	l.add(50_000, "big.example", 1)
	const others = 100
	for i := range others {
		l.add(1, fmt.Sprintf("small%d.example", i), 1)
	}
	got := l.take(dueAtOnce)
	if want := l.s.perHop + others; len(got) != want {
		t.Fatalf("%d attempts, want %d: all places of the big one, and each of the others", len(got), want)
	}
}

// Slow destinations have all the places of dispatch, and far more is due for them, and
// has been for longer, than for the one that comes last.
func TestDestinationsThatFillEveryPlaceLetTheNextOneIn(t *testing.T) {
	l := newLoad()
	slow := dueAtOnce / l.s.perHop
	for i := range slow {
		l.add(1000, fmt.Sprintf("slow%d.example", i), 1)
	}
	first := l.take(dueAtOnce)
	if len(first) != dueAtOnce {
		t.Fatalf("%d attempts fill no %d places", len(first), dueAtOnce)
	}
	l.add(1, "small.example", 1)
	// One place at a time comes free.
	for i := range dueAtOnce {
		l.s.ended(first[i].nextHop)
		for _, e := range l.take(1) {
			if e.nextHop == "small.example" {
				if i > slow+50 { // the lanes, and what becomes due a thousand at a time
					t.Errorf("the %dth place that came free", i)
				}
				return
			}
		}
	}
	t.Error("never tried while the others had more")
}

func TestBigMailingLeavesTurnsToOtherSendersOfTheSameDestination(t *testing.T) {
	l := newLoad()
	l.add(50_000, "big.example", 1)
	l.add(3, "big.example", 2)
	l.add(1, "big.example", 3)
	for l.s.queue.Len() > 0 { // until all are in their lanes
		for _, e := range l.take(1) {
			l.s.ended(e.nextHop)
		}
	}
	seen := map[proto.SenderShare]int{}
	for range 10 {
		for _, e := range l.take(1) {
			seen[e.sender]++
			l.s.ended(e.nextHop)
		}
	}
	if seen[2]+seen[3] < 3 { // one of the four may have been before
		t.Errorf("of ten attempts: %v", seen)
	}
}

// Each message is tried once, whatever was done to it while it waited for its turn.
func TestWhatWaitsForItsTurnIsTriedOnce(t *testing.T) {
	l := newLoad()
	l.s.perHop = 1
	l.add(200, "a.example", 1)
	l.add(200, "b.example", 2)
	l.take(2)
	for id := queueid.ID(1); id <= 400; id += 3 {
		if e := l.s.all.get(id); e.state == waiting {
			l.s.retryNow(e, noon)
		}
	}
	tried := map[queueid.ID]int{}
	l.s.ended("a.example")
	l.s.ended("b.example")
	for {
		got := l.take(2)
		for _, e := range got {
			tried[e.id]++
			l.s.ended(e.nextHop)
		}
		if len(got) == 0 {
			break
		}
	}
	if len(tried) != 398 {
		t.Errorf("%d were tried, want 398", len(tried))
	}
	for id, n := range tried {
		if n != 1 {
			t.Errorf("%d tried %d times", uint64(id), n)
		}
	}
	if len(l.s.lanes.byHop) != 0 || l.s.lanes.waiting() != 0 {
		t.Errorf("lanes are left: %v", l.s.lanes.byHop)
	}
}

// The due loop itself, with two places of dispatch.
func TestDueLoopServesEveryDestinationBeforeTheRestOfOne(t *testing.T) {
	r := newRig(t)
	for i := range 40 {
		r.file(queueid.ID(i+1), "a@example.org", "b@big.example", noon.Add(-time.Hour))
	}
	r.file(100, "a@example.org", "b@small.example", noon.Add(-time.Minute))
	r.q.loadAll(t.Context())
	r.now = noon.Add(time.Hour)
	tried, end := make(chan queueid.ID), make(chan struct{})
	r.q.dispatch = callerFunc(func(req, reply ipc.Message) error {
		tried <- req.(*proto.Due).ID
		<-end
		*reply.(*proto.Settled) = proto.Settled{State: proto.SettledGone}
		return nil
	})
	r.q.startDue(t.Context(), make(chan struct{}, 2))
	a, b := <-tried, <-tried
	close(end)
	r.q.wg.Wait()
	if a != 100 && b != 100 {
		t.Errorf("tried %d and %d", uint64(a), uint64(b))
	}
}

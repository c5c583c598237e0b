package qmgr

import (
	"fmt"
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// releasedBehindTheIndex is a qmgr that remembers message 1 as held, which dispatch had
// released in the last moment before its forerunner was killed.
func releasedBehindTheIndex(t *testing.T) *rig {
	t.Helper()
	r := indexed(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	r.order("hold", proto.QueueOrder{IDs: []string{queueid.ID(1).String()}})
	r.write()
	must(r, r.q.spool.Move(1, spool.Hold, spool.Deferred))
	return restarted(t, r)
}

// An order that does nothing, or that dispatch does not answer, tells nothing of where the
// message lies: to take it for looked at would be to leave it untried for ever.
func TestOrderThatLooksAtNothingDoesNotEndTheDoubt(t *testing.T) {
	for _, order := range []string{"hold", "bounce", "release"} {
		t.Run(order, func(t *testing.T) {
			r := releasedBehindTheIndex(t)
			r.say = func(d *proto.Due) proto.Settled { return proto.Settled{State: proto.SettledBusy} }
			r.order(order, proto.QueueOrder{IDs: []string{queueid.ID(1).String()}})
			r.q.loadAll(t.Context())
			if e := r.q.sched.all.get(1); e == nil || e.state != waiting || e.slot < 0 {
				t.Errorf("entry %+v", e)
			}
		})
	}
}

// The walk leaves alone what an order has in hands when it comes by.
func TestWhatTheWalkHadToPassByIsReadAtItsEnd(t *testing.T) {
	r := releasedBehindTheIndex(t)
	e := r.q.sched.all.get(1)
	was, err := r.q.lock(e)
	if err != nil || !r.q.sighted(spool.Deferred, 1) {
		t.Fatalf("%v, or the walk does not pass by", err)
	}
	r.q.unlock(e, was)
	if whole := r.q.dropGone(); !whole || e.state != waiting || e.slot < 0 {
		t.Errorf("whole %v, entry %+v", whole, e)
	}
}

// A second start that is cut off before its walk is over has not seen what happened before it.
func TestStartThatWasCutOffDoesNotHideWhatWasMissed(t *testing.T) {
	r := indexed(t)
	for id := queueid.ID(1); id <= 2; id++ {
		r.file(id, "a@example.org", fmt.Sprintf("b@x%d.example", id), noon)
	}
	r.asOf(noon.Add(-time.Hour), 1, 2)
	r.q.loadAll(t.Context())
	r.write()
	line := spool.LogLine{Time: noon, Verb: spool.Redirected, Address: untrusted.From("new@z.example")}
	must(r, r.q.spool.AppendLog(spool.Deferred, 1, []spool.LogLine{line}))
	r.asOf(noon.Add(time.Minute), 1)
	second := restarted(t, r)
	second.now = noon.Add(time.Hour)
	second.order("retry", proto.QueueOrder{IDs: []string{queueid.ID(2).String()}})
	second.write()
	third := restarted(t, second)
	third.q.loadAll(t.Context())
	if e := third.q.sched.all.get(1); e.nextHop != "z.example" {
		t.Errorf("entry %+v", e)
	}
}

func TestAddressesThatChangeWhileNewsAreWrittenAreNotLost(t *testing.T) {
	r := indexed(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	e := r.q.sched.all.get(1)
	for _, list := range [][]string{{"a@example.org", "new@y.example"}, make([]string, 5000)} {
		r.q.mu.Lock()
		r.q.keepAddresses(e, []string{"a@example.org", "b@x.example"})
		r.q.mu.Unlock()
		news := r.q.takeNews()
		r.q.mu.Lock()
		r.q.keepAddresses(e, list)
		r.q.mu.Unlock()
		must(r, r.q.writeTaken(news, r.now))
		r.write()
		again := restarted(t, r)
		want := addressed
		if len(list) > 2 {
			want = many
		}
		if got := again.q.sched.all.get(1).marks & (addressed | many); got != want || e.marks&(addressed|many) != want {
			t.Errorf("marks %b and %b, want %b", e.marks, got, want)
		}
	}
}

// A reader who takes his time holds nothing in memory but what he may.
func TestSearchThatTakesLongDoesNotGatherAllMail(t *testing.T) {
	r := indexed(t)
	f, err := parseFilter(map[string][]string{"recipient": {"b@x.example"}})
	if err != nil {
		t.Fatal(err)
	}
	_, done := r.q.search(f)
	defer done()
	for id := queueid.ID(1); id <= manyNews+10; id++ {
		r.q.add(spool.Deferred, &proto.Summary{ID: id, NextHop: "x.example", Arrived: noon.Unix(), Addresses: []string{"a@example.org", "b@x.example"}}, nil)
	}
	r.write()
	if n := len(r.q.sched.news.late); n != manyNews {
		t.Errorf("%d entries are kept for the end of a search", n)
	}
}

// What senders want of a message is remembered, too: when it may go, by when it must have
// gone, and how urgent it is.
func TestWishesOfSendersAreRemembered(t *testing.T) {
	r := indexed(t)
	release := noon.Add(48 * time.Hour)
	r.fileForLater(7, release)
	r.file(8, "a@example.org", "b@far.example", noon)
	s := proto.Summary{
		ID: 8, NextHop: "far.example", Arrived: noon.Unix(), Priority: 4, Attempts: 1, LastAttempt: noon.Unix(),
		Due: noon.Add(time.Minute).UnixMilli(), GiveUp: noon.Add(10 * time.Minute).Unix(),
	}
	r.q.mu.Lock()
	r.q.sched.put(&s, noon, 0)
	r.q.mu.Unlock()
	r.write()
	again := restarted(t, r)
	later, urgent := again.q.sched.all.get(7), again.q.sched.all.get(8)
	if later == nil || later.due != release.UnixMilli() || !later.early(noon) {
		t.Errorf("entry %+v", later)
	}
	if urgent == nil || urgent.giveUp.time().Unix() != s.GiveUp || urgent.priority != 4 || urgent.due != s.Due {
		t.Errorf("entry %+v", urgent)
	}
	up := &proto.Up{NextHops: []string{"far.example"}}
	if n := again.q.sched.release(up, noon.UnixMilli()); n != 1 || later.due != release.UnixMilli() {
		t.Errorf("%d are due when the host is back", n)
	}
}

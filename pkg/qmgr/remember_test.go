package qmgr

import (
	"fmt"
	"os"
	"testing"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/proto"
	"filbert/pkg/qindex"
	"filbert/pkg/queueid"
	"filbert/pkg/settings"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// indexed is a rig whose qmgr keeps an index.
func indexed(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	if err := prepareIndex(r.q.fs); err != nil {
		t.Fatal(err)
	}
	r.q.openIndex()
	return r
}

// write has the news written; whatever lies in the spool was then written long before.
func (r *rig) write() {
	r.t.Helper()
	if err := r.q.writeNews(false); err != nil {
		r.t.Fatal(err)
	}
}

// restarted is a qmgr that follows one that was killed. Its walk has not begun.
func restarted(t *testing.T, old *rig) *rig {
	t.Helper()
	r := &rig{t: t, now: old.now, dir: old.dir}
	r.say = r.obey
	q := New()
	q.now = func() time.Time {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.now
	}
	q.log, q.fs, q.spool, q.dispatch = event.Discard(), old.q.fs, spool.New(old.q.fs), r
	q.settings.Store(settings.Default())
	q.sched = newSchedule(settings.Default())
	q.mended.Store(true)
	r.q = q
	q.openIndex()
	return r
}

// asOf makes the files of messages as old as those that the index surely knows.
func (r *rig) asOf(at time.Time, ids ...queueid.ID) {
	r.t.Helper()
	for _, id := range ids {
		name := r.path(spool.Deferred, id) + ".log"
		if err := os.Chtimes(name, at, at); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) path(queue spool.Queue, id queueid.ID) string {
	return r.dir + "/" + queue.String() + "/" + id.Shard() + "/" + id.String()
}

func (r *rig) ids() (ids []queueid.ID) {
	for id := range r.q.each() {
		ids = append(ids, id)
	}
	return ids
}

func TestWhatIsRememberedIsTriedBeforeTheWalk(t *testing.T) {
	r := indexed(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	r.write()
	r.now = noon.Add(time.Hour)
	again := restarted(t, r)
	again.q.startDue(t.Context(), make(chan struct{}, 1))
	again.q.wg.Wait()
	if len(again.dues) != 1 || again.dues[0].ID != 1 {
		t.Errorf("attempts %+v", again.dues)
	}
}

func TestEntryIsRememberedAsItWas(t *testing.T) {
	r := indexed(t)
	for id := queueid.ID(1); id <= 5; id++ {
		r.file(id, "a@example.org", fmt.Sprintf("b@x%d.example", id), noon)
	}
	r.q.loadAll(t.Context())
	r.order("hold", proto.QueueOrder{IDs: []string{queueid.ID(2).String()}, For: "2h"})
	r.order("delete", proto.QueueOrder{IDs: []string{queueid.ID(3).String()}})
	r.order("retry", proto.QueueOrder{IDs: []string{queueid.ID(4).String()}})
	e := r.q.sched.all.get(5)
	r.q.mu.Lock()
	e.owner, e.priority, e.warned, e.report = 7, -3, 2, true
	r.q.sched.changed(e)
	r.q.mu.Unlock()
	r.write()
	again := restarted(t, r)
	if got := fmt.Sprint(again.ids()); got != fmt.Sprint(r.ids()) {
		t.Errorf("remembered %s", got)
	}
	for id := range r.q.each() {
		was, is := *r.q.sched.all.get(id), *again.q.sched.all.get(id)
		for _, e := range []*entry{&was, &is} {
			e.slot, e.hopAt, e.marks, e.parked = 0, 0, 0, false
		}
		if was != is {
			t.Errorf("was %+v\n is %+v", was, is)
		}
	}
	if end := again.q.holds[2]; !end.Equal(noon.Add(2 * time.Hour)) {
		t.Errorf("the hold ends at %v", end)
	}
	if h := again.q.sched.hops["x4.example"]; h == nil || len(h.entries) != 1 {
		t.Error("a next hop does not know who waits for it")
	}
}

// What is known, and was not touched since, is not read again.
func TestWalkReadsOnlyWhatHasChangedSince(t *testing.T) {
	r := indexed(t)
	for id := queueid.ID(1); id <= 2; id++ {
		r.file(id, "a@example.org", "b@x.example", noon)
	}
	r.asOf(noon.Add(-time.Hour), 1, 2)
	r.q.loadAll(t.Context())
	r.write()
	again := restarted(t, r)
	// An attempt that the index does not know of.
	line := spool.LogLine{Time: noon.Add(time.Minute), Verb: spool.Redirected, Address: untrusted.From("new@z.example")}
	if err := again.q.spool.AppendLog(spool.Deferred, 2, []spool.LogLine{line}); err != nil {
		t.Fatal(err)
	}
	for id := queueid.ID(1); id <= 2; id++ {
		again.q.sched.all.get(id).waiting = 9 // who reads it says 1
	}
	again.q.loadAll(t.Context())
	if a, b := again.q.sched.all.get(1), again.q.sched.all.get(2); a.waiting != 9 || b.waiting != 1 || b.nextHop != "z.example" {
		t.Errorf("entries %+v %+v", a, b)
	}
}

// State by state: what may have happened that the index does not know.
func TestIndexThatIsOldLosesAndDisobeysNothing(t *testing.T) {
	const id = queueid.ID(2)
	for _, c := range []struct {
		name string
		do   func(r *rig) // to message 2, behind the index's back
		gone bool
		held bool
	}{
		{"held", func(r *rig) { must(r, r.q.spool.Move(id, spool.Deferred, spool.Hold)) }, false, true},
		{"deleted", func(r *rig) { must(r, r.q.spool.Remove(spool.Deferred, id, noon)) }, true, false},
		{"finished without a flush", func(r *rig) { must(r, r.q.spool.Finish(spool.Deferred, id)) }, true, false},
		{"index deleted", func(r *rig) { must(r, os.RemoveAll(r.indexPath("schedule"))) }, false, false},
		{"index cut", func(r *rig) { must(r, os.Truncate(r.indexPath("schedule"), 60)) }, false, false},
		{"addresses cut", func(r *rig) { must(r, os.Truncate(r.indexPath("addresses"), 60)) }, false, false},
		{"index of another version", func(r *rig) { must(r, os.WriteFile(r.indexPath("schedule"), []byte("FILBQIX\x00"), 0o600)) }, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := indexed(t)
			for n := queueid.ID(1); n <= 3; n++ {
				r.file(n, "a@example.org", fmt.Sprintf("b%d@x.example", n), noon)
			}
			r.asOf(noon.Add(-time.Hour), 1, 2, 3)
			r.q.loadAll(t.Context())
			r.write()
			c.do(r)
			r.file(4, "a@example.org", "new@x.example", noon) // while nobody was there
			again := restarted(t, r)
			again.q.loadAll(t.Context())
			want := "[1 2 3 4]"
			if c.gone {
				want = "[1 3 4]"
			}
			if got := numbers(again.ids()); got != want {
				t.Errorf("%s are known, want %s", got, want)
			}
			if e := again.q.sched.all.get(id); e != nil && (e.state == held) != c.held {
				t.Errorf("entry %+v", e)
			}
			if got := again.listed("?recipient=b3@x.example"); len(got) != 1 {
				t.Errorf("%d found by their recipient", len(got))
			}
			if got := again.listed("?recipient=new@x.example"); len(got) != 1 {
				t.Errorf("%d found that came meanwhile", len(got))
			}
		})
	}
}

func numbers(ids []queueid.ID) string {
	n := make([]uint64, len(ids))
	for i, id := range ids {
		n[i] = uint64(id)
	}
	return fmt.Sprint(n)
}

func must(r *rig, err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) indexPath(name string) string { return r.dir + "/" + qindex.Dir + "/" + name }

// A hold that the index does not know of is obeyed: dispatch does not find the message,
// and the walk finds it on hold.
func TestMessageHeldBehindTheIndexIsNotTried(t *testing.T) {
	r := indexed(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	r.write()
	must(r, r.q.spool.Move(1, spool.Deferred, spool.Hold))
	r.now = noon.Add(time.Hour)
	again := restarted(t, r)
	again.say = func(*proto.Due) proto.Settled { return proto.Settled{State: proto.SettledMissing} }
	again.q.startDue(t.Context(), make(chan struct{}, 1))
	again.q.wg.Wait()
	if len(again.q.walk) != 1 {
		t.Fatal("nobody looks for it")
	}
	again.q.loadAll(t.Context())
	if e := again.q.sched.all.get(1); e == nil || e.state != held {
		t.Errorf("entry %+v", e)
	}
}

func TestReleaseThatTheIndexDoesNotKnowIsTried(t *testing.T) {
	r := indexed(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	r.order("hold", proto.QueueOrder{IDs: []string{queueid.ID(1).String()}})
	r.write()
	must(r, r.q.spool.Move(1, spool.Hold, spool.Deferred))
	again := restarted(t, r)
	again.q.loadAll(t.Context())
	if e := again.q.sched.all.get(1); e == nil || e.state != waiting || e.slot < 0 {
		t.Errorf("entry %+v", e)
	}
}

// A crash may leave a message in both places; it counts as held.
func TestMessageInBothQueuesStaysHeld(t *testing.T) {
	r := indexed(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	r.order("hold", proto.QueueOrder{IDs: []string{queueid.ID(1).String()}})
	r.write()
	name := func(queue string) string {
		return queue + "/" + queueid.ID(1).Shard() + "/" + queueid.ID(1).String()
	}
	must(r, r.q.fs.Link(name("hold"), name("deferred")))
	again := restarted(t, r)
	again.q.loadAll(t.Context())
	if e := again.q.sched.all.get(1); e == nil || e.state != held {
		t.Errorf("entry %+v", e)
	}
}

func TestClockThatWasSetBackKeepsNothingWaiting(t *testing.T) {
	r := indexed(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	r.write()
	r.now = noon.Add(-365 * 24 * time.Hour)
	again := restarted(t, r)
	if wait := milli(again.q.sched.all.get(1).due).Sub(r.now); wait > 10*time.Minute {
		t.Errorf("it waits for %v", wait)
	}
}

func TestAttemptUnderWayWhenItWasKilledIsReadAgain(t *testing.T) {
	r := indexed(t)
	r.file(1, "a@example.org", "b@x.example", noon.Add(-time.Hour))
	r.asOf(noon.Add(-time.Hour), 1)
	r.q.loadAll(t.Context())
	if e, _ := r.q.sched.next(r.now); e == nil {
		t.Fatal("nothing is due")
	}
	r.write()
	again := restarted(t, r)
	again.q.sched.all.get(1).waiting = 9
	again.q.loadAll(t.Context())
	if e := again.q.sched.all.get(1); e.waiting != 1 {
		t.Errorf("entry %+v", e)
	}
}

func TestFilterReadsOnlyCandidates(t *testing.T) {
	r := indexed(t)
	for id := queueid.ID(1); id <= 3; id++ {
		r.file(id, fmt.Sprintf("s%d@example.org", id), fmt.Sprintf("b%d@x%d.example", id, id), noon)
	}
	r.q.loadAll(t.Context())
	r.write()
	r.file(4, "s4@example.org", "b1@x1.example", noon) // its addresses are not written yet
	r.q.loadAll(t.Context())
	for _, c := range []struct{ key, value, want string }{
		{"recipient", "b1@x1.example", "[1 4]"}, {"recipient", "*@x2.example", "[2 4]"}, {"recipient", "/^b[23]@/", "[2 3 4]"},
		{"domain", "x3.example", "[3 4]"}, {"sender", "s2@example.org", "[2 4]"}, {"sender", "nobody@example.org", "[4]"},
	} {
		f, err := parseFilter(map[string][]string{c.key: {c.value}})
		if err != nil {
			t.Fatal(err)
		}
		var ids []queueid.ID
		for id := range r.q.eachOf(f) {
			ids = append(ids, id)
		}
		if numbers(ids) != c.want {
			t.Errorf("%s %s: candidates %s, want %s", c.key, c.value, numbers(ids), c.want)
		}
	}
	if got := r.listed("?recipient=b1@x1.example"); len(got) != 2 {
		t.Errorf("%d listed", len(got))
	}
}

func TestRedirectedRecipientIsFoundUnderItsNewAddress(t *testing.T) {
	r := indexed(t)
	r.file(1, "a@example.org", "old@x.example", noon)
	r.q.loadAll(t.Context())
	r.write()
	r.say = func(d *proto.Due) proto.Settled {
		line := spool.LogLine{Time: r.now, Verb: spool.Redirected, Recipient: 0, Address: untrusted.From(d.To.String())}
		must(r, r.q.spool.AppendLog(spool.Deferred, d.ID, []spool.LogLine{line}))
		return proto.Settled{State: proto.SettledWaiting}
	}
	code, res := r.order("redirect", proto.QueueOrder{IDs: []string{queueid.ID(1).String()}, Recipient: "old@x.example", To: "new@y.example"})
	if code != 200 || res.Done != 1 {
		t.Fatalf("%d %+v", code, res)
	}
	for _, when := range []string{"before it is written", "after"} {
		if n := len(r.listed("?recipient=new@y.example")); n != 1 {
			t.Errorf("%s: %d found", when, n)
		}
		if n := len(r.listed("?recipient=old@x.example")); n != 0 {
			t.Errorf("%s: %d found under the old address", when, n)
		}
		r.write()
	}
	if r.q.sched.all.get(1).marks&addressed == 0 {
		t.Error("its addresses were not written")
	}
}

// Who searches has perhaps read too early to see what is written beside him.
func TestMessageWrittenDuringASearchIsNotPassedOver(t *testing.T) {
	r := indexed(t)
	f, err := parseFilter(map[string][]string{"recipient": {"b@x.example"}})
	if err != nil {
		t.Fatal(err)
	}
	may, done := r.q.search(f)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	r.write()
	e := r.q.sched.all.get(1)
	if may.excludes(e) {
		t.Error("it is passed over")
	}
	done()
	if e.marks&addressed == 0 {
		t.Error("it is not called addressed after the search")
	}
}

func TestMessageForVeryManyIsFoundByItsFile(t *testing.T) {
	r := indexed(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	var list []string
	for i := range 1000 {
		list = append(list, fmt.Sprintf("b%d@x.example", i))
	}
	r.q.mu.Lock()
	e := r.q.sched.all.get(1)
	r.q.keepAddresses(e, list)
	r.q.mu.Unlock()
	r.write()
	if e.marks&(many|addressed) != many || len(r.listed("?recipient=b@x.example")) != 1 {
		t.Errorf("marks %b", e.marks)
	}
}

func TestIndexIsWrittenAnewWhenMostOfItIsDead(t *testing.T) {
	r := indexed(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	for range slack + 10 {
		r.q.mu.Lock()
		r.q.sched.changed(r.q.sched.all.get(1))
		r.q.mu.Unlock()
		if _, err := r.q.writeChanges(r.now); err != nil {
			t.Fatal(err)
		}
	}
	r.write()
	if n := r.q.disk.index.Records(); n != 1 {
		t.Errorf("%d records of one message", n)
	}
	if again := restarted(t, r); numbers(again.ids()) != "[1]" || again.q.sched.all.get(1).marks&addressed == 0 {
		t.Error("it is not remembered")
	}
}

func TestIndexThatCannotBeWrittenIsThrownAway(t *testing.T) {
	r := indexed(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	r.write()
	r.q.stopIndex()
	if _, err := r.q.fs.Stat(qindex.Dir + "/schedule"); err == nil {
		t.Error("it is still there")
	}
	if n := len(r.listed("?recipient=b@x.example")); n != 1 {
		t.Errorf("%d found", n)
	}
}

func TestSuccessCostsWhatItReleases(t *testing.T) {
	s := newSchedule(settings.Default())
	for id := queueid.ID(1); id <= 100; id++ {
		s.put(&proto.Summary{ID: id, NextHop: fmt.Sprintf("x%d.example", id%10), Arrived: noon.Unix(), Due: noon.Add(time.Hour).UnixMilli()}, noon, 0)
	}
	for id := queueid.ID(3); id <= 100; id += 20 {
		s.drop(s.all.get(id))
	}
	if n := s.release(&proto.Up{NextHops: []string{"x3.example", "x99.example"}}, noon.UnixMilli()); n != 5 {
		t.Errorf("%d released", n)
	}
	for _, h := range s.hops {
		for i, e := range h.entries {
			if int(e.hopAt) != i || e.nextHop != h.name {
				t.Fatalf("entry %+v at %d of %s", e, i, h.name)
			}
		}
	}
	for e := range s.all.after(0) {
		s.toHop(e, "y.example")
	}
	if len(s.hops) != 1 || len(s.hops["y.example"].entries) != 95 {
		t.Errorf("%d next hops", len(s.hops))
	}
}

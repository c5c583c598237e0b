package dispatch

import (
	"strings"
	"syscall"
	"testing"

	"filbert/pkg/journal"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
)

// feedAll begins all that waits in the backlog and sees it through.
func (r *rig) feedAll() {
	for r.d.feedOne() {
	}
	r.d.wg.Wait()
}

func TestRecordThatCanNotBeReadIsLookedForAgain(t *testing.T) {
	r := newRig(t)
	r.accept("a@x.example")
	r.d.recover()
	r.failAt("open", ".j")
	r.feedAll()
	if len(r.jobs) != 0 || len(r.d.missed) != 1 {
		t.Fatalf("%d deliveries; asked for another walk: %v", len(r.jobs), len(r.d.missed) == 1)
	}
	r.disk.fail = nil
	r.d.recover()
	r.feedAll()
	if len(r.jobs) != 1 {
		t.Errorf("%d deliveries: the message is lost from sight", len(r.jobs))
	}
}

func TestWalkThatMissesSomethingSaysSo(t *testing.T) {
	for op, suffix := range map[string]string{"segment": ".j", "deferred copy": queueid.ID(1<<40 + 1).String()} {
		r := newRig(t)
		r.accept("a@x.example")
		r.failAt("open", suffix)
		if r.d.recover() {
			t.Errorf("%s: a walk that left a message out says that it was whole", op)
		}
		r.disk.fail = nil
		if !r.d.recover() {
			t.Errorf("%s: and when it was whole it says no", op)
		}
	}
}

// Nobody will ever understand it, and it was acknowledged: people have to look.
func TestEnvelopeThatNobodyUnderstandsIsSetAside(t *testing.T) {
	r := newRig(t)
	ref, err := r.writer.Commit(t.Context(), journal.Record{ID: 77, Envelope: []byte("nonsense"), Content: []byte("x\r\n")})
	if err != nil {
		t.Fatal(err)
	}
	r.d.recover()
	r.feedAll()
	if !r.d.marker.IsDone(ref) {
		t.Error("tried again for ever")
	}
	kept := 0
	for e, err := range r.d.fs.ReadDir("corrupt") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(e.Name, ".journal") {
			kept++
		}
	}
	if kept != 1 {
		t.Errorf("%d pieces in corrupt/", kept)
	}
}

// A full disk at the start keeps dispatch from flushing what an earlier run left;
// it serves all the same.
func TestNothingOfAnEarlierRunIsRemovedBeforeItsMarksAreOnDisk(t *testing.T) {
	r := newRig(t)
	r.disk.fail = func(op, name string) error {
		if op == "open" && strings.Contains(name, ".done") {
			return syscall.ENOSPC
		}
		return nil
	}
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	id := f.env.ID
	r.first(f)
	clear(r.d.unflushed) // an earlier run's: nobody remembers
	r.d.settled.Store(false)
	r.d.settleEarlier(t.Context())
	delete(r.verdict, "a@x.example")
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledBusy || !r.filedInSpool(id) || r.sent("a@x.example") != 2 {
		t.Fatalf("state %d, filed %v, sent %d times", got.State, r.filedInSpool(id), r.sent("a@x.example"))
	}
	r.disk.fail = nil
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone || r.filedInSpool(id) || r.sent("a@x.example") != 2 {
		t.Errorf("with room: state %d, filed %v, sent %d times", got.State, r.filedInSpool(id), r.sent("a@x.example"))
	}
}

func TestWhatWasFiledBeforeACrashIsNotRemovedBeforeItsMarkIsOnDisk(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	id := f.env.ID
	r.d.routeAll(t.Context(), f)
	r.d.deliverAll(t.Context(), f)
	if _, err := r.d.file(f); err != nil {
		t.Fatal(err)
	}
	r.d.recover() // S3: marks it
	if r.d.marker.Flushed(f.ref) {
		t.Fatal("the rig flushes too early to show anything")
	}
	if got := r.again(id, proto.DueDelete); got.State != proto.SettledGone || !r.d.marker.Flushed(f.ref) {
		t.Errorf("state %d; a power cut would bring the deleted message back", got.State)
	}
}

// The backlog may hold a million records: a walk asks nothing about them.
func TestWalkLeavesTheBacklogAlone(t *testing.T) {
	r := newRig(t)
	r.accept("a@x.example")
	r.d.recover()
	r.disk.fail = func(op, name string) error {
		if strings.HasPrefix(name, "deferred/") {
			t.Errorf("%s %s", op, name)
		}
		return nil
	}
	r.d.recover()
	r.disk.fail = nil
	r.feedAll()
	if len(r.jobs) != 1 {
		t.Errorf("delivered %d times", len(r.jobs))
	}
}

// A shard that can't be read must not keep new mail from its first attempt.
func TestUnreadableQueueDoesNotStopTheStart(t *testing.T) {
	r := newRig(t)
	r.accept("a@x.example")
	r.verdict["b@x.example"] = outcome.Defer(outcome.RcptRefused, statusInternal, "later")
	f := r.accept("b@x.example")
	r.first(f)
	r.failAt("list", "deferred/"+f.env.ID.Shard())
	r.d.mend()
	r.disk.fail = nil
	r.jobs = nil
	r.feedAll()
	if len(r.jobs) != 1 {
		t.Errorf("%d deliveries", len(r.jobs))
	}
}

func TestFlightsAreCountedWithWhatTheyTakeBesideContent(t *testing.T) {
	r := newRig(t)
	r.d.held = maxHeld - 1
	f := r.accept("a@x.example")
	if !r.d.begin(f) {
		t.Fatal("no room below the budget")
	}
	r.d.wg.Wait()
	if r.d.held != maxHeld-1 {
		t.Errorf("%d bytes are held, not %d", r.d.held, maxHeld-1)
	}
	r.d.held = maxHeld
	if r.d.begin(r.accept("b@x.example")) {
		t.Error("begun beyond the budget")
	}
	if c := f.cost(); c < flightCost {
		t.Errorf("a flight counts as %d bytes", c)
	}
}

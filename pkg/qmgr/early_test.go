package qmgr

import (
	"strings"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/settings"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// fileForLater puts a message into the queue as dispatch does that is to be released.
func (r *rig) fileForLater(id queueid.ID, release time.Time) {
	r.t.Helper()
	env := &envelope.Envelope{
		ID: id, Source: envelope.FromSMTP, Arrived: noon, Size: 4, Sender: mailaddr.MustParse("a@example.org"),
		Recipients: []envelope.Recipient{{Address: mailaddr.MustParse("b@far.example")}},
	}
	env.ReleaseAt = release
	if err := r.q.spool.File(spool.Deferred, &spool.Message{ID: id, Envelope: env.Marshal(), Content: []byte("x\r\n\r\n")}); err != nil {
		r.t.Fatal(err)
	}
	r.q.loadAll(r.t.Context())
}

// Nothing but the envelope is needed to know when a message may go.
func TestReleaseIsFoundAgainFromTheEnvelope(t *testing.T) {
	r := newRig(t)
	release := noon.Add(48 * time.Hour)
	r.fileForLater(7, release)
	if e := r.q.sched.all.get(7); e == nil || e.due != release.UnixMilli() || !e.early(noon) || e.early(release) {
		t.Fatalf("scheduled as %+v", e)
	}
	if _, body := r.get("/v1/queue"); !strings.Contains(body, "waits until 2026-03-03 12:00:00 UTC, as its sender asked") {
		t.Errorf("listed as %s", body)
	}
}

func TestHostThatIsBackReleasesNothingEarly(t *testing.T) {
	r := newRig(t)
	r.fileForLater(7, noon.Add(time.Hour))
	r.q.sched.release(&proto.Up{NextHops: []string{"far.example"}, IDs: []queueid.ID{7}}, noon.UnixMilli())
	if e := r.q.sched.all.get(7); e.due != noon.Add(time.Hour).UnixMilli() {
		t.Errorf("due at %v", time.UnixMilli(e.due))
	}
}

func TestRetryReleasesEarly(t *testing.T) {
	r := newRig(t)
	r.fileForLater(7, noon.Add(time.Hour))
	r.order("retry", proto.QueueOrder{All: true})
	if e := r.q.sched.all.get(7); e.due != noon.UnixMilli() || !e.now {
		t.Errorf("due at %v, now %v", time.UnixMilli(e.due), e.now)
	}
}

// An administrator who lets a message go that he had put on hold takes nothing away from
// what its sender wanted.
func TestReleasedFromHoldWaitsForItsSendersMoment(t *testing.T) {
	r := newRig(t)
	release := noon.Add(time.Hour + 300*time.Millisecond)
	r.fileForLater(7, release)
	r.order("hold", proto.QueueOrder{All: true})
	r.order("release", proto.QueueOrder{All: true})
	if e := r.q.sched.all.get(7); e.state != waiting || e.due/1000 != release.Unix() || e.now {
		t.Errorf("due at %v", time.UnixMilli(e.due))
	}
	if _, body := r.get("/v1/queue"); !strings.Contains(body, "as its sender asked") {
		t.Errorf("listed as %s", body)
	}
}

func TestWarningsCountFromTheRelease(t *testing.T) {
	r := newRig(t)
	release := noon.Add(48 * time.Hour)
	r.fileForLater(7, release)
	e := r.q.sched.all.get(7)
	if r.q.sched.action(e, release.Add(time.Minute)).WarnDelay {
		t.Error("the sender is warned of a delay that he wanted")
	}
	if !r.q.sched.action(e, release.Add(5*24*time.Hour)).WarnDelay {
		t.Error("the sender is not warned")
	}
}

// A clock that was set back makes the past of other messages the future: they were not
// to be sent later for that.
func TestClockThatIsSetBackHoldsNoMessage(t *testing.T) {
	q := newSchedule(settings.Default())
	before := noon.Add(-2 * time.Hour)
	e := q.put(&proto.Summary{ID: 9, Arrived: noon.Unix(), Attempts: 1, LastAttempt: noon.Unix(), NextHop: "far.example", Due: noon.Add(time.Hour).UnixMilli()}, noon, 0)
	q.clock(noon)
	q.clock(before)
	if e.early(before) || q.bringForward(e, before.UnixMilli()) != 1 {
		t.Errorf("due at %v", milli(e.due))
	}
}

// A crash after the last recipient was cancelled leaves files that have only to go.
func TestHeldMessageThatIsOwedToNobodyIsDue(t *testing.T) {
	r := newRig(t)
	release := noon.Add(48 * time.Hour)
	r.fileForLater(7, release)
	line := spool.LogLine{Time: noon, Verb: spool.Cancelled, Recipient: 0, Address: untrusted.From("b@far.example")}
	if err := r.q.spool.AppendLog(spool.Deferred, 7, []spool.LogLine{line}); err != nil {
		t.Fatal(err)
	}
	m, err := r.q.read(spool.Deferred, 7)
	if err != nil {
		t.Fatal(err)
	}
	if due, _ := m.rebuilt(&r.q.sched.rules, noon.UnixMilli(), 0); due >= release.UnixMilli() {
		t.Errorf("due at %v", milli(due))
	}
}

package dispatch

import (
	"context"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// heldFor accepts a message whose sender wants it to be sent later.
func (r *rig) heldFor(wait time.Duration, recipients ...string) *flight {
	r.t.Helper()
	return r.acceptAs(func(v *envelope.Envelope) { v.ReleaseAt = v.Arrived.Add(wait) }, recipients...)
}

// RFC 4865, section 4: it is held, whatever could be done now, and safely so.
func TestMessageForLaterIsFiledWithoutAnAttempt(t *testing.T) {
	r := newRig(t)
	f := r.heldFor(time.Hour, "a@one.example", "b@two.example")
	done := r.first(f)
	want := f.env.ReleaseAt
	if done.State != proto.SettledWaiting || len(r.jobs) != 0 || !r.filedInSpool(f.env.ID) || !r.d.marker.IsDone(f.ref) {
		t.Fatalf("left %d, %d jobs", done.State, len(r.jobs))
	}
	s := done.Summary
	if s.Due != want.UnixMilli() || s.Arrived != want.Unix() || s.Attempts != 0 || s.LastAttempt != 0 || s.Waiting != 2 || s.NextHop != "one.example" {
		t.Errorf("told %+v", s)
	}
	if b := r.book(f.env.ID); b.Attempts != 0 || len(b.Waiting()) != 2 {
		t.Errorf("%d attempts, %d waiting", b.Attempts, len(b.Waiting()))
	}
}

func TestMessageForLaterIsNotTriedBeforeItsTime(t *testing.T) {
	r := newRig(t)
	f := r.heldFor(time.Hour, "a@one.example")
	r.first(f)
	left := r.d.attemptDeferred(context.Background(), &proto.Due{ID: f.env.ID, Action: proto.DueAttempt})
	if left.State != proto.SettledWaiting || left.Summary.Due != f.env.ReleaseAt.UnixMilli() || len(r.jobs) != 0 {
		t.Errorf("left %+v, %d jobs", left, len(r.jobs))
	}
}

func TestMessageIsDeliveredWhenItsTimeHasCome(t *testing.T) {
	r := newRig(t)
	f := r.heldFor(time.Hour, "a@one.example")
	r.first(f)
	r.d.now = func() time.Time { return f.env.ReleaseAt }
	if left := r.d.attemptDeferred(context.Background(), &proto.Due{ID: f.env.ID, Action: proto.DueAttempt}); left.State != proto.SettledGone || len(r.jobs) != 1 {
		t.Errorf("left %d, %d jobs", left.State, len(r.jobs))
	}
}

func TestAdministratorMayReleaseAMessageEarly(t *testing.T) {
	r := newRig(t)
	f := r.heldFor(time.Hour, "a@one.example")
	r.first(f)
	if left := r.again(f.env.ID, proto.DueAttempt); left.State != proto.SettledGone || len(r.jobs) != 1 {
		t.Errorf("left %d, %d jobs", left.State, len(r.jobs))
	}
}

// Once released it is a message like others, though its sender's moment is still to come.
func TestMessageThatWasTriedEarlyIsTriedAgainByTheRules(t *testing.T) {
	r := newRig(t)
	r.verdict["a@one.example"] = outcome.Defer(outcome.RcptRefused, smtp.Status{Class: 4, Subject: 2}, "later")
	f := r.heldFor(100*24*time.Hour, "a@one.example")
	r.first(f)
	left := r.again(f.env.ID, proto.DueAttempt)
	now := time.Now()
	if due := time.UnixMilli(left.Summary.Due); left.State != proto.SettledWaiting || due.After(now.Add(24*time.Hour)) {
		t.Fatalf("left %+v", left)
	}
	if since := time.Unix(left.Summary.Arrived, 0); now.Sub(since) > time.Minute || since.After(now) {
		t.Errorf("its time counts from %v", since)
	}
	delete(r.verdict, "a@one.example")
	r.d.now = func() time.Time { return now.Add(25 * time.Hour) }
	if left = r.d.attemptDeferred(context.Background(), &proto.Due{ID: f.env.ID, Action: proto.DueAttempt}); left.State != proto.SettledGone {
		t.Errorf("left %+v", left)
	}
}

// The wait that the sender asked for is no part of the time in which we try.
func TestGiveUpTimeCountsFromTheRelease(t *testing.T) {
	r := newRig(t)
	r.verdict["a@one.example"] = outcome.Defer(outcome.RcptRefused, smtp.Status{Class: 4, Subject: 2}, "later")
	f := r.heldFor(20*24*time.Hour, "a@one.example")
	r.first(f)
	r.d.now = func() time.Time { return f.env.ReleaseAt.Add(time.Second) }
	left := r.d.attemptDeferred(context.Background(), &proto.Due{ID: f.env.ID, Action: proto.DueAttempt})
	if left.State != proto.SettledWaiting || time.Unix(left.Summary.GiveUp, 0).Before(f.env.ReleaseAt.Add(24*time.Hour)) {
		t.Errorf("left %+v", left)
	}
	if len(r.reports) != 0 {
		t.Errorf("%d reports", len(r.reports))
	}
}

func TestMessageForLaterMayBeReturned(t *testing.T) {
	r := newRig(t)
	f := r.heldFor(time.Hour, "a@one.example")
	r.first(f)
	left := r.d.attemptDeferred(context.Background(), &proto.Due{ID: f.env.ID, Action: proto.DueBounce, Reason: "no"})
	if left.State != proto.SettledGone || len(r.jobs) != 0 || len(r.reports) != 1 {
		t.Errorf("left %d, %d jobs, %d reports", left.State, len(r.jobs), len(r.reports))
	}
}

// That one recipient is returned makes no attempt for the others, nor is it the beginning
// of their time.
func TestReturnOfOneRecipientLeavesTheOthersHeld(t *testing.T) {
	r := newRig(t)
	f := r.heldFor(20*24*time.Hour, "a@one.example", "b@two.example")
	r.first(f)
	id, release := f.env.ID, f.env.ReleaseAt
	left := r.d.attemptDeferred(context.Background(), &proto.Due{ID: id, Action: proto.DueBounce, Reason: "no", Recipients: []uint32{0}})
	if left.State != proto.SettledWaiting || len(r.reports) != 1 {
		t.Fatalf("left %d, %d reports", left.State, len(r.reports))
	}
	if b := r.book(id); !b.FirstAttempt.IsZero() {
		t.Errorf("first tried at %v", b.FirstAttempt)
	}
	left = r.d.attemptDeferred(context.Background(), &proto.Due{ID: id, Action: proto.DueAttempt})
	if left.State != proto.SettledWaiting || left.Summary.Due != release.UnixMilli() || len(r.jobs) != 0 {
		t.Errorf("left %+v, %d jobs", left, len(r.jobs))
	}
}

// A crash after the last recipient was cancelled leaves files of which nothing is owed.
func TestHeldMessageThatIsOwedToNobodyGoes(t *testing.T) {
	r := newRig(t)
	f := r.heldFor(time.Hour, "a@one.example")
	r.first(f)
	line := spool.LogLine{Time: time.Now(), Verb: spool.Cancelled, Recipient: 0, Address: untrusted.From("a@one.example")}
	if err := r.d.spool.AppendLog(spool.Deferred, f.env.ID, []spool.LogLine{line}); err != nil {
		t.Fatal(err)
	}
	left := r.d.attemptDeferred(context.Background(), &proto.Due{ID: f.env.ID, Action: proto.DueAttempt})
	if left.State != proto.SettledGone || len(r.jobs) != 0 || r.filedInSpool(f.env.ID) {
		t.Errorf("left %+v, %d jobs", left, len(r.jobs))
	}
}

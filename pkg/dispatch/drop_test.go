package dispatch

import (
	"testing"

	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
)

func (r *rig) drop(id queueid.ID, recipients ...uint32) proto.Settled {
	r.t.Helper()
	return r.d.attemptDeferred(r.t.Context(), &proto.Due{ID: id, Action: proto.DueDrop, Reason: "uid 1001", Recipients: recipients})
}

// deferred is a message that waits for all of its recipients.
func (r *rig) deferred(recipients ...string) queueid.ID {
	r.t.Helper()
	for _, a := range recipients {
		r.verdict[a] = later
	}
	f := r.accept(recipients...)
	id := f.env.ID
	r.first(f)
	return id
}

func TestDroppedRecipientIsOwedNothingAndTheOthersAre(t *testing.T) {
	r := newRig(t)
	id := r.deferred("a@x.example", "b@x.example")
	if got := r.drop(id, 0, 0, 7); got.State != proto.SettledWaiting {
		t.Fatalf("state %d", got.State)
	}
	book := r.book(id)
	if w := book.Waiting(); len(w) != 1 || w[0] != 1 || book.Attempts != 1 {
		t.Errorf("waiting %v after %d attempts", w, book.Attempts)
	}
	if o := book.States[0].Last; o.Kind != outcome.Cancelled || !o.Text.Equal("uid 1001") {
		t.Errorf("the log says %+v", o)
	}
	clear(r.verdict)
	r.jobs = nil
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone {
		t.Fatalf("the next attempt: state %d", got.State)
	}
	if len(r.jobs) != 1 || len(r.jobs[0].Recipients) != 1 || r.jobs[0].Recipients[0].Address.String() != "b@x.example" || len(r.reports) != 0 {
		t.Errorf("jobs %+v, %d reports", r.jobs, len(r.reports))
	}
}

func TestMessageGoesWithItsLastRecipientInEitherQueue(t *testing.T) {
	for _, held := range []bool{false, true} {
		r := newRig(t)
		id := r.deferred("a@x.example", "b@x.example")
		if held {
			r.again(id, proto.DueHold)
		}
		r.drop(id, 1)
		if got := r.drop(id, 0); got.State != proto.SettledGone || len(r.reports) != 0 {
			t.Errorf("held %v: state %d, %d reports", held, got.State, len(r.reports))
		}
		for _, q := range []spool.Queue{spool.Deferred, spool.Hold} {
			if e, err := r.d.spool.Open(q, id); err == nil {
				_ = e.Close()
				t.Errorf("held %v: it still lies in %v", held, q)
			}
		}
		if got := r.drop(id, 0); got.State != proto.SettledMissing {
			t.Errorf("held %v: dropped twice: state %d", held, got.State)
		}
	}
}

func TestNothingIsDroppedDuringAnAttempt(t *testing.T) {
	r := newRig(t)
	id := r.deferred("a@x.example")
	clear(r.verdict)
	r.onJob = func() {
		if got := r.drop(id, 0); got.State != proto.SettledBusy {
			t.Errorf("state %d", got.State)
		}
	}
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone || len(r.jobs) == 0 {
		t.Errorf("state %d", got.State)
	}
}

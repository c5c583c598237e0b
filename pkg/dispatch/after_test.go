package dispatch

import (
	"testing"

	"filbert/pkg/proto"
)

func TestEndOfAToldDelayIsToldOnce(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"], r.verdict["b@x.example"] = later, later
	f := r.accept("a@x.example", "b@x.example")
	id := f.env.ID
	r.first(f)
	due := proto.Due{ID: id, Action: proto.DueAttempt, WarnDelay: true}
	if got := r.d.attemptDeferred(t.Context(), &due); !got.Warned || len(r.reports) != 1 {
		t.Fatalf("warned %v, %d reports", got.Warned, len(r.reports))
	}
	for _, who := range []string{"a@x.example", "b@x.example"} {
		r.reports = nil
		delete(r.verdict, who)
		r.again(id, proto.DueAttempt)
		if len(r.reports) != 1 || r.reports[0].What != proto.ReportAfter || len(r.reports[0].Outcomes) != 1 ||
			r.reports[0].Envelope.Recipients[0].Address.String() != who {
			t.Errorf("%s: told %+v", who, r.reports)
		}
	}
}

func TestEndOfADelayThatWasNotToldIsNotTold(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	r.first(f)
	delete(r.verdict, "a@x.example")
	if got := r.again(f.env.ID, proto.DueAttempt); got.State != proto.SettledGone || len(r.reports) != 0 {
		t.Errorf("state %d, %d reports", got.State, len(r.reports))
	}
}

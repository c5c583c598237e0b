package dispatch

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
)

// dueBy accepts a message for a@one.example with a time, which is over in a minute.
func (r *rig) dueBy(mode envelope.ByMode, notify envelope.Notify) *flight {
	r.t.Helper()
	return r.acceptAs(func(v *envelope.Envelope) {
		v.DeliverBy = envelope.DeliverBy{Mode: mode, At: v.Arrived.Add(time.Minute)}
		v.Recipients[0].Notify = notify
	}, "a@one.example")
}

func (r *rig) later() {
	r.verdict["a@one.example"] = outcome.Defer(outcome.RcptRefused, smtp.Status{Class: 4, Subject: 2}, "later")
}

// attempt makes the attempt that is due at a time.
func (r *rig) attempt(f *flight, now time.Time) proto.Settled {
	r.d.now = func() time.Time { return now }
	return r.d.attemptDeferred(context.Background(), &proto.Due{ID: f.env.ID, Action: proto.DueAttempt})
}

// RFC 2852, section 4.1.2.
func TestMessageIsReturnedWhenItsTimeIsOver(t *testing.T) {
	r := newRig(t)
	r.later()
	f := r.dueBy(envelope.ByReturn, 0)
	at := f.env.DeliverBy.At
	done := r.first(f)
	if done.Summary.Due > at.UnixMilli() || done.Summary.GiveUp != at.Unix() {
		t.Fatalf("due at %d, given up at %d, want %d", done.Summary.Due, done.Summary.GiveUp, at.UnixMilli())
	}
	tried := len(r.jobs)
	if left := r.attempt(f, at); left.State != proto.SettledGone || len(r.jobs) != tried {
		t.Fatalf("left %d, %d jobs", left.State, len(r.jobs)-tried)
	}
	if len(r.reports) != 1 || r.reports[0].What != proto.ReportFailure || r.reports[0].Outcomes[0].Status != (smtp.Status{Class: 5, Subject: 4, Detail: 7}) {
		t.Errorf("reports %+v", r.reports)
	}
}

func TestMessageThatComesTooLateIsNotTried(t *testing.T) {
	r := newRig(t)
	f := r.dueBy(envelope.ByReturn, 0)
	r.d.now = func() time.Time { return f.env.DeliverBy.At.Add(time.Second) }
	if done := r.first(f); done.State != proto.SettledGone || len(r.jobs) != 0 || len(r.reports) != 1 {
		t.Errorf("left %d, %d jobs, %d reports", done.State, len(r.jobs), len(r.reports))
	}
}

func TestWhoWasServedInTimeIsNotReturned(t *testing.T) {
	r := newRig(t)
	r.verdict["late@two.example"] = outcome.Defer(outcome.RcptRefused, smtp.Status{Class: 4, Subject: 2}, "later")
	f := r.acceptAs(func(v *envelope.Envelope) {
		v.DeliverBy = envelope.DeliverBy{Mode: envelope.ByReturn, At: v.Arrived.Add(time.Minute)}
	}, "a@one.example", "late@two.example")
	r.first(f)
	r.attempt(f, f.env.DeliverBy.At)
	if len(r.reports) != 1 || len(r.reports[0].Outcomes) != 1 || r.reports[0].Envelope.Recipients[0].Address.String() != "late@two.example" {
		t.Errorf("reports %+v", r.reports)
	}
}

// RFC 2852, section 4.1.1: with N the sender is told, and it goes on.
func TestSenderIsToldOnceWhenTheTimeIsOver(t *testing.T) {
	r := newRig(t)
	r.later()
	f := r.dueBy(envelope.ByNotify, 0)
	at := f.env.DeliverBy.At
	if done := r.first(f); done.Summary.Due > at.UnixMilli() || done.Summary.GiveUp <= at.Unix() || len(r.reports) != 0 {
		t.Fatalf("told %+v, %d reports", done.Summary, len(r.reports))
	}
	left := r.attempt(f, at)
	if left.State != proto.SettledWaiting || !left.Warned || len(r.reports) != 1 || r.reports[0].What != proto.ReportDelay {
		t.Fatalf("left %+v, reports %+v", left, r.reports)
	}
	if left.Summary.Due <= at.UnixMilli() {
		t.Error("it is due again at once")
	}
	r.attempt(f, at.Add(24*time.Hour))
	if len(r.reports) != 1 {
		t.Errorf("%d reports", len(r.reports))
	}
}

// A time that is over already (RFC 2852, section 4: by-time may be negative) is told of
// with the first attempt, and not with the second.
func TestTimeThatWasOverIsToldWithTheFirstAttempt(t *testing.T) {
	r := newRig(t)
	r.later()
	f := r.dueBy(envelope.ByNotify, 0)
	r.d.now = func() time.Time { return f.env.DeliverBy.At.Add(time.Second) }
	r.first(f)
	if len(r.reports) != 1 || r.reports[0].What != proto.ReportDelay || r.reports[0].GiveUpAt == 0 {
		t.Fatalf("reports %+v", r.reports)
	}
	r.attempt(f, f.env.DeliverBy.At.Add(24*time.Hour))
	if len(r.reports) != 1 {
		t.Errorf("%d reports", len(r.reports))
	}
}

func TestWhoWantsNoNewsOfDelaysGetsNone(t *testing.T) {
	for _, n := range []envelope.Notify{envelope.NotifyNever, envelope.NotifyFailure} {
		r := newRig(t)
		r.later()
		f := r.dueBy(envelope.ByNotify, n)
		r.first(f)
		if r.attempt(f, f.env.DeliverBy.At); len(r.reports) != 0 {
			t.Errorf("NOTIFY %d: %d reports", n, len(r.reports))
		}
	}
}

// RFC 2852, section 4.1.4.
func TestRelayingIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		mode   envelope.ByMode
		trace  bool
		notify envelope.Notify
		passed bool
		told   int
	}{
		"N to a server without DELIVERBY": {mode: envelope.ByNotify, told: 1},
		"N to one that has it":            {mode: envelope.ByNotify, passed: true},
		"NT":                              {mode: envelope.ByNotify, trace: true, passed: true, told: 1},
		"RT":                              {mode: envelope.ByReturn, trace: true, passed: true, told: 1},
		"R":                               {mode: envelope.ByReturn, passed: true},
		"NT to nobody's knowledge":        {mode: envelope.ByNotify, trace: true, notify: envelope.NotifyNever},
	} {
		r := newRig(t)
		r.verdict["a@one.example"] = outcome.Outcome{Class: outcome.Delivered, Status: statusDelivered, DSNPassed: true, ByPassed: c.passed}
		f := r.dueBy(c.mode, c.notify)
		f.env.DeliverBy.Trace = c.trace
		r.first(f)
		if len(r.reports) != c.told || c.told > 0 && (r.reports[0].What != proto.ReportSuccess || !r.reports[0].Outcomes[0].Relayed) {
			t.Errorf("%s: reports %+v", name, r.reports)
		}
	}
}

func TestTimeIsPassedOn(t *testing.T) {
	r := newRig(t)
	f := r.dueBy(envelope.ByReturn, 0)
	by := f.env.DeliverBy
	r.first(f)
	if len(r.jobs) != 1 || r.jobs[0].By != by {
		t.Errorf("jobs %+v", r.jobs)
	}
}

// RFC 2852, section 4.1.3: status 4.4.7, whatever stands in the way.
func TestReportAtTheEndOfTheTimeSaysSo(t *testing.T) {
	r := newRig(t)
	r.later()
	f := r.dueBy(envelope.ByNotify, 0)
	r.first(f)
	r.attempt(f, f.env.DeliverBy.At)
	if len(r.reports) != 1 || r.reports[0].Outcomes[0].Status != (smtp.Status{Class: 4, Subject: 4, Detail: 7}) {
		t.Errorf("reports %+v", r.reports)
	}
}

// RFC 2852, section 4.1.4.2, is about what is relayed before the end of the time.
func TestLateRelayingIsNotTold(t *testing.T) {
	r := newRig(t)
	r.verdict["a@one.example"] = outcome.Outcome{Class: outcome.Delivered, Status: statusDelivered, Relayed: true}
	f := r.dueBy(envelope.ByNotify, 0)
	r.d.now = func() time.Time { return f.env.DeliverBy.At.Add(time.Second) }
	if r.first(f); len(r.reports) != 0 {
		t.Errorf("reports %+v", r.reports)
	}
}

// The end of the time may come while the message waits for a place.
func TestMessageThatGetsItsPlaceTooLateIsReturned(t *testing.T) {
	for name, c := range map[string]struct {
		left time.Duration
		give bool
	}{"no place": {20 * time.Millisecond, false}, "a place in the end": {time.Hour, true}} {
		r := newRig(t)
		f := r.acceptAs(func(v *envelope.Envelope) {
			v.DeliverBy = envelope.DeliverBy{Mode: envelope.ByReturn, At: v.Arrived.Add(c.left)}
		}, "a@one.example")
		key := destKey{transport: "smtp", place: "one.example"}
		for taken(t, r.d.limits, key.transport, key.place) {
		}
		ended := make(chan proto.Settled, 1)
		var late atomic.Bool
		r.d.now = func() time.Time {
			if late.Load() {
				return f.env.DeliverBy.At.Add(time.Second)
			}
			return time.Now()
		}
		go func() { ended <- r.d.run(context.Background(), f) }()
		if c.give {
			for len(ended) == 0 && r.d.limits.waits() == 0 {
				runtime.Gosched()
			}
			late.Store(true)
			r.d.limits.give(key)
		}
		if left := <-ended; left.State != proto.SettledGone || len(r.jobs) != 0 || len(r.reports) != 1 {
			t.Errorf("%s: left %d, %d jobs, %d reports", name, left.State, len(r.jobs), len(r.reports))
		} else if o := &r.reports[0].Outcomes[0]; o.Status != statusLate || !strings.Contains(o.Text.ForTerminal(), "no place") {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

// waits is how many wait for a place.
func (l *limits) waits() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

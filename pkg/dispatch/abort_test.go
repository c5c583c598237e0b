package dispatch

import (
	"context"
	"os"
	"testing"

	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
)

// hangingAgent is a smtp-client whose server says nothing until the job is abandoned.
type hangingAgent struct {
	begun     chan struct{}
	abandoned chan struct{}
}

func (a *hangingAgent) Call(_ context.Context, req, reply ipc.Message, _ ...*os.File) error {
	switch m := req.(type) {
	case *proto.Abandon:
		select {
		case <-a.abandoned:
		default:
			close(a.abandoned)
		}
	case *proto.RemoteJob:
		a.begun <- struct{}{}
		<-a.abandoned
		for range m.Recipients {
			o := outcome.Defer(outcome.LostConnection, statusInternal, "connection closed")
			reply.(*proto.RemoteDone).Outcomes = append(reply.(*proto.RemoteDone).Outcomes, o)
		}
	}
	return nil
}

// abortNow aborts as handleAbort does.
func (r *rig) abortNow(req *proto.Abort) {
	r.t.Helper()
	r.d.under.mu.Lock()
	a := r.d.under.flights[req.ID]
	if a == nil {
		r.d.under.mu.Unlock()
		r.t.Fatal("no attempt is under way")
	}
	a.order = req
	close(a.asked)
	r.d.under.mu.Unlock()
	r.d.abandon(a, req.ID)
}

func TestAbortedAttemptIsDeferredOrFailed(t *testing.T) {
	for _, hard := range []bool{false, true} {
		r := newRig(t)
		agent := &hangingAgent{begun: make(chan struct{}, 1), abandoned: make(chan struct{})}
		r.d.remote = agent
		f := r.accept("a@x.example")
		id := f.env.ID
		done := make(chan proto.Settled, 1)
		go func() { done <- r.d.run(context.Background(), f) }()
		<-agent.begun
		r.abortNow(&proto.Abort{ID: id, Hard: hard, Reason: "ann: it hangs"})
		settled := <-done
		if hard {
			if settled.State != proto.SettledGone || len(r.reports) != 1 {
				t.Errorf("hard: %+v, %d reports", settled, len(r.reports))
			}
			continue
		}
		if settled.State != proto.SettledWaiting || r.book(id).States[0].Last.Kind != outcome.Aborted {
			t.Errorf("soft: %+v", settled)
		}
	}
}

func TestWhatWasDeliveredBeforeTheAbortStaysDelivered(t *testing.T) {
	f := &flight{leaves: make([]proto.Leaf, 3), outcomes: []outcome.Outcome{
		{Class: outcome.Delivered}, outcome.Fail(outcome.RcptRefused, statusInternal, "no"), outcome.Defer(outcome.TimedOut, statusInternal, "slow"),
	}}
	f.aborted(&proto.Abort{Hard: true})
	for i, want := range []outcome.Kind{outcome.None, outcome.RcptRefused, outcome.Returned} {
		if f.outcomes[i].Kind != want {
			t.Errorf("%d: %s, not %s", i, f.outcomes[i].Kind, want)
		}
	}
}

package dispatch

import (
	"context"
	"os"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
)

// slowMailbox is a local-deliver whose child writes on when everybody else has given up.
type slowMailbox struct{ begun, goOn chan struct{} }

func (s *slowMailbox) Call(ctx context.Context, _, reply ipc.Message, _ ...*os.File) error {
	close(s.begun)
	<-s.goOn
	if ctx.Err() != nil {
		return ctx.Err()
	}
	reply.(*proto.LocalDone).Outcome = outcome.Outcome{Class: outcome.Delivered}
	return nil
}

func TestMailboxThatIsBeingWrittenIsWaitedForAfterAnAbort(t *testing.T) {
	for kind, want := range map[envelope.TargetKind]proto.SettledState{
		envelope.TargetFile: proto.SettledGone,
		envelope.TargetPipe: proto.SettledWaiting, // may run for hours
	} {
		r := newRig(t)
		agent := &slowMailbox{begun: make(chan struct{}), goOn: make(chan struct{})}
		r.d.local = agent
		r.route = func(rc envelope.Recipient) []proto.Leaf {
			rc.Kind, rc.Target, rc.User = kind, "/x", "ann"
			return []proto.Leaf{{Recipient: rc, Transport: "maildir"}}
		}
		f := r.accept("ann@home.example")
		done := make(chan proto.Settled, 1)
		go func() { done <- r.d.run(context.Background(), f) }()
		<-agent.begun
		r.d.under.mu.Lock()
		a := r.d.under.flights[f.env.ID]
		a.order = &proto.Abort{ID: f.env.ID, Reason: "ann: it hangs"}
		close(a.asked)
		r.d.under.mu.Unlock()
		a.cancel() // the end of abortGrace
		close(agent.goOn)
		if settled := <-done; settled.State != want {
			t.Errorf("%v: %+v", kind, settled)
		}
	}
}

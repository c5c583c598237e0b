package dispatch

import (
	"context"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/proto"
)

func TestAbandonedAttemptIsNotTheOneThatIsTriedOnce(t *testing.T) {
	r := newRig(t)
	agent := &hangingAgent{begun: make(chan struct{}, 1), abandoned: make(chan struct{})}
	r.d.remote = agent
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		return []proto.Leaf{{Recipient: rc, Transport: "smtp", NextHop: "x.example", Once: true}}
	}
	f := r.accept("a@x.example")
	done := make(chan proto.Settled, 1)
	go func() { done <- r.d.run(context.Background(), f) }()
	<-agent.begun
	r.abortNow(&proto.Abort{ID: f.env.ID, Reason: "ann: it hangs"})
	if settled := <-done; settled.State != proto.SettledWaiting || len(r.reports) != 0 {
		t.Errorf("a soft abort has returned it: %+v, %d reports", settled, len(r.reports))
	}
}

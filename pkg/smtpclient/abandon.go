package smtpclient

import (
	"context"
	"errors"
	"sync"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
)

// errAbandoned is why a job ends that an administrator has abandoned: its connection is
// closed in the middle of whatever goes on.
var errAbandoned = errors.New("abandoned")

// jobsUnderWay finds the jobs of a message.
type jobsUnderWay struct {
	mu   sync.Mutex
	next int
	of   map[queueid.ID]map[int]context.CancelCauseFunc
}

// begin enters a job; done must follow.
func (u *jobsUnderWay) begin(ctx context.Context, id queueid.ID) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of == nil {
		u.of = map[queueid.ID]map[int]context.CancelCauseFunc{}
	}
	if u.of[id] == nil {
		u.of[id] = map[int]context.CancelCauseFunc{}
	}
	u.next++
	n := u.next
	u.of[id][n] = cancel
	return ctx, func() {
		cancel(nil)
		u.mu.Lock()
		defer u.mu.Unlock()
		if delete(u.of[id], n); len(u.of[id]) == 0 {
			delete(u.of, id)
		}
	}
}

// abandon ends the jobs of a message and says how many there were.
func (u *jobsUnderWay) abandon(id queueid.ID) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, cancel := range u.of[id] {
		cancel(errAbandoned)
	}
	return len(u.of[id])
}

func (d *Daemon) handleAbandon(c *ipc.Call) {
	var m proto.Abandon
	if c.Decode(&m) != nil {
		return // the connection is closed, and OnError told
	}
	c.Reply(&proto.Abandoned{Count: uint32(d.underWay.abandon(m.ID))})
}

// cutOff closes the connection when the job is abandoned, until stop is called. A job whose
// caller has gone is not cut off: it has its own ways to end.
func (s *session) cutOff(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), errAbandoned) {
			_ = s.link.Close()
		}
	})
}

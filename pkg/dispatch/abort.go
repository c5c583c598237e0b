package dispatch

import (
	"context"
	"sync"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/smtp"
)

const (
	// abortGrace is what an agent gets to end what it was told to abandon, and to say what
	// became of it. Beyond it nobody waits: what it has served after all is served again.
	abortGrace = 10 * time.Second
	abortEvery = 200 * time.Millisecond
	// mailboxGrace is what a delivery to a mailbox gets beyond that. What has begun to
	// write there can't be called back, and would be written once more; local-deliver
	// itself ends it sooner than that.
	mailboxGrace = 6 * time.Minute
)

var statusAborted = smtp.Status{Class: 4, Subject: 7, Detail: 0}

// underWay is the flights whose jobs can be abandoned now.
type underWay struct {
	mu      sync.Mutex
	flights map[queueid.ID]*abortable
}

// abortable is the part of a flight that an abort touches.
type abortable struct {
	first  bool
	began  time.Time
	order  *proto.Abort
	cancel context.CancelFunc
	whole  context.Context // the flight's, which an abort does not end
	asked  chan struct{}   // closed when order is set
	ended  chan struct{}   // closed when nothing is delivered any more
}

// abortably delivers in a way that handleAbort can end.
func (d *Dispatcher) abortably(ctx context.Context, f *flight, deliver func(context.Context, *flight)) {
	whole := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := &abortable{first: f.origin == fromJournal, began: f.began, cancel: cancel, whole: whole, asked: make(chan struct{}), ended: make(chan struct{})}
	id := f.env.ID
	d.under.mu.Lock()
	if d.under.flights == nil {
		d.under.flights = map[queueid.ID]*abortable{}
	}
	d.under.flights[id] = a
	d.under.mu.Unlock()
	f.abortable = a
	deliver(ctx, f)
	close(a.ended)
	d.under.mu.Lock()
	delete(d.under.flights, id)
	order := a.order
	d.under.mu.Unlock()
	if order != nil {
		f.aborted(order)
	}
}

// aborted says of what did not get through that it was abandoned. What got through before it
// could be is delivered.
func (f *flight) aborted(order *proto.Abort) {
	for i := range f.outcomes {
		o := &f.outcomes[i]
		switch {
		case o.Class != 0 && (!o.Temporary() || o.Kind == outcome.Ordered || f.leaves[i].Verdict.Class != 0):
			continue
		case order.Hard:
			*o = outcome.Fail(outcome.Returned, smtp.Status{Class: 5, Subject: 7, Detail: 1},
				"the attempt was abandoned by the administrator: %s", order.Reason)
		default:
			*o = outcome.Defer(outcome.Aborted, statusAborted, "the attempt was abandoned by the administrator: %s", order.Reason)
		}
	}
}

// untilWritten is ctx for what writes a mailbox: it goes on for a while when an abort has
// ended ctx.
func (f *flight) untilWritten(ctx context.Context) (context.Context, context.CancelFunc) {
	if f.abortable == nil {
		return ctx, func() {}
	}
	longer, cancel := context.WithTimeout(f.abortable.whole, jobDeadline)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(mailboxGrace, cancel) })
	return longer, func() {
		stop()
		cancel()
	}
}

// wasAborted tells whether no further job of the flight is to begin.
func (f *flight) wasAborted() bool {
	if f.abortable == nil {
		return false
	}
	select {
	case <-f.abortable.asked:
		return true
	default:
		return false
	}
}

// handleAbort ends the attempt of a message that is under way. It answers at once: the
// flight goes on as soon as the agents have let go.
func (d *Dispatcher) handleAbort(_ context.Context, call *ipc.Call) {
	req := new(proto.Abort)
	if call.Decode(req) != nil {
		return
	}
	d.under.mu.Lock()
	a := d.under.flights[req.ID]
	if a == nil || a.order != nil {
		d.under.mu.Unlock()
		call.Reply(&proto.Aborted{})
		return
	}
	a.order = req
	close(a.asked)
	answer := proto.Aborted{UnderWay: true, First: a.first, Since: a.began.UnixMilli()}
	d.under.mu.Unlock()
	call.Reply(&answer)
	d.wg.Go(func() { d.abandon(a, req.ID) })
}

// abandon has the agents end their work, and ends the wait for them when they don't. A
// command of this machine is left to end, within the same time, and what writes a mailbox
// within a longer one.
func (d *Dispatcher) abandon(a *abortable, id queueid.ID) {
	ctx, cancel := context.WithTimeout(d.ctx, abortGrace)
	defer cancel()
	again := time.NewTicker(abortEvery)
	defer again.Stop()
	for {
		// Again and again: one that was on its way may have arrived since. An agent that
		// is gone, or does not answer, has nothing more to say.
		_ = d.remote.Call(ctx, &proto.Abandon{ID: id}, &proto.Abandoned{})
		select {
		case <-a.ended:
			return
		case <-ctx.Done():
			a.cancel()
			return
		case <-again.C:
		}
	}
}

package qmgr

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

const (
	// dueAtOnce bounds the attempts that dispatch has of us: enough to keep
	// every destination busy, few enough that new mail finds room.
	dueAtOnce = 500
	// lookEvery bounds the sleep, as the clock may be set meanwhile.
	lookEvery = time.Minute
	// busyPause is the wait when dispatch is at its limits.
	busyPause = 2 * time.Second
	// attemptDeadline only ends the wait for a dispatch that hangs.
	attemptDeadline = 5 * time.Hour
)

// handleFiled takes a message that dispatch has filed.
func (q *Manager) handleFiled(_ context.Context, call *ipc.Call) {
	var m proto.Filed
	if err := call.Decode(&m); err != nil {
		return
	}
	q.mu.Lock()
	now := q.now()
	if e := q.sched.all.get(m.Summary.ID); e == nil || e.state == waiting {
		e = q.sched.put(&m.Summary, now, rand.Float64())
		q.heed(e, &m.Summary, now)
		q.keepAddresses(e, m.Summary.Addresses)
		q.log.Emit(event.ScheduledOf(e.id, time.UnixMilli(e.due)))
	}
	q.mu.Unlock()
	call.Reply(&proto.FiledOK{})
	q.beFrugal()
	q.kick()
}

// kick makes the due loop look again.
func (q *Manager) kick() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// serveDue asks dispatch to try what is due until ctx ends.
func (q *Manager) serveDue(ctx context.Context) {
	slots := make(chan struct{}, dueAtOnce)
	timer := q.clock.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-q.wake:
		}
		next := q.startDue(ctx, slots)
		if !next.IsZero() {
			timer.Reset(min(max(0, next.Sub(q.now())), lookEvery))
		}
	}
}

// startDue begins every attempt that is due while there are slots, and says
// when to look again (zero: when somebody kicks).
func (q *Manager) startDue(ctx context.Context, slots chan struct{}) time.Time {
	for {
		select {
		case slots <- struct{}{}:
		default:
			return time.Time{} // a slot that comes free kicks
		}
		q.mu.Lock()
		now := q.now()
		q.sched.clock(now)
		e, at := q.sched.next(now)
		if e == nil {
			q.mu.Unlock()
			<-slots
			return at
		}
		if q.cancels[e.id] != nil {
			q.putOffLocked(e, now)
			q.mu.Unlock()
			<-slots
			continue
		}
		req, hop := q.sched.action(e, now), e.nextHop
		q.mu.Unlock()
		q.wg.Go(func() {
			q.attempt(ctx, e, &req)
			q.mu.Lock()
			q.sched.ended(hop)
			q.mu.Unlock()
			<-slots
			q.kick()
		})
	}
}

// attempt has dispatch try one message and puts it where it then belongs.
func (q *Manager) attempt(ctx context.Context, e *entry, req *proto.Due) {
	ctx, cancel := context.WithTimeout(ctx, attemptDeadline)
	defer cancel()
	var done proto.Settled
	err := q.dispatch.Call(ctx, req, &done)
	var stopping *ipc.RemoteError // what dispatch says while it drains
	if err != nil && !errors.Is(err, ipc.ErrGone) && !errors.As(err, &stopping) && ctx.Err() == nil {
		q.log.Emit(event.TroubleOf(req.ID, "have dispatch try a message", err))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.attemptEndedLocked(e.id)
	now := q.now()
	switch {
	case err != nil, done.State == proto.SettledBusy:
		// Nothing was tried: soon again, with the same rule in force.
		e.state = waiting
		e.due = now.Add(busyPause).UnixMilli()
		q.sched.place(e)
	case done.State == proto.SettledWaiting:
		if done.Warned {
			q.sched.warnedAt(e, now)
		}
		q.heed(q.sched.put(&done.Summary, now, rand.Float64()), &done.Summary, now)
	default: // gone, missing, corrupt
		q.sched.drop(e)
		if done.State == proto.SettledMissing {
			q.lookAgain() // it may lie in the other queue
		}
	}
}

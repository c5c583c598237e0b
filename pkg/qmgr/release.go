package qmgr

import (
	"context"

	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/retry"
)

// handleDispatch takes what dispatch has to tell.
func (q *Manager) handleDispatch(ctx context.Context, call *ipc.Call) {
	if call.Kind == proto.KindUp {
		q.handleUp(ctx, call)
		return
	}
	q.handleFiled(ctx, call)
}

// handleUp makes due what waits for a next hop that has just succeeded. The places
// of the next hop bound how much is tried at once, and dispatch knows best who still
// has to wait.
func (q *Manager) handleUp(_ context.Context, call *ipc.Call) {
	var m proto.Up
	if err := call.Decode(&m); err != nil {
		return
	}
	q.mu.Lock()
	q.released.Add(q.sched.release(&m, q.now().UnixMilli()))
	q.mu.Unlock()
	call.Reply(&proto.UpOK{})
	q.kick()
}

// release makes entries due that wait for longer, and says how many.
func (q *schedule) release(m *proto.Up, now int64) (n int) {
	for _, id := range m.IDs {
		n += q.bringForward(q.all.get(id), now)
	}
	for _, name := range m.NextHops {
		if h := q.hops[name]; h != nil {
			for _, e := range h.entries {
				n += q.bringForward(e, now)
			}
		}
	}
	return n
}

// bringForward is 1 if that made a difference.
func (q *schedule) bringForward(e *entry, now int64) int {
	if e == nil || e.state != waiting || e.parked || e.early(milli(now)) {
		return 0 // one that is parked is due, and waits for its turn
	}
	if e.due <= now {
		return 0
	}
	e.due = now
	q.place(e)
	return 1
}

// rebuilt is when a message is due by what its log tells, as dispatch would say
// today: what it knew of hosts and addresses may have been lost, and is asked again when the
// time comes.
// Lookups of rules are not asked here: what they might say is thought possible, so that no
// message is given up earlier for it (retry.Answers).
func (m *stored) rebuilt(rules *retry.Rules, now int64, dice float64) (due, giveUp int64) {
	if m.env.IsHeld(m.book.FirstAttempt, milli(now)) && len(m.book.Waiting()) > 0 {
		return m.env.ReleaseAt.UnixMilli(), 0
	}
	since := m.env.Since(m.book.FirstAttempt)
	for _, i := range m.book.Waiting() {
		last := &m.book.States[i].Last
		if last.Kind == outcome.Busy || m.book.LastAttempt.IsZero() {
			due = now
			continue
		}
		to := m.env.Recipients[i].Address
		subject := retry.Subject{Address: to.String(), Domain: to.Domain(), Host: last.Remote}
		if !m.env.Sender.IsNull() {
			subject.Sender = m.env.Sender.String()
		}
		d := rules.Rebuilt(subject, retry.FailureOf(last),
			retry.Message{Arrived: since, Attempts: m.book.Attempts}, m.book.LastAttempt, milli(now), dice)
		if at := d.Next.UnixMilli(); due == 0 || at < due {
			due = at
		}
		giveUp = max(giveUp, d.GiveUp.Unix())
	}
	return m.env.DeliverBy.Limit(due, giveUp, m.book.LastWarned, milli(now))
}

package qmgr

import (
	"context"
	"strings"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/ledger"
	"filbert/pkg/queueid"
	"filbert/pkg/untrusted"
)

// A message that is held for a time is released when it is over. The time stands at the
// end of the line of the message's log that says why it is held, so that a restart finds it.

const (
	holdUntil  = " (until "
	holdLayout = "2006-01-02T15:04:05Z)"
	// releasedBy is who releases them.
	releasedBy = "qmgr"
	// maxHoldReason leaves room for the time in what a line of a log may have.
	maxHoldReason = 800
)

// holdReason is what the log of a held message says.
func holdReason(by author) string {
	s := by.who + ": " + by.reason
	if !by.until.IsZero() {
		s = untrusted.From(s).Clip(maxHoldReason).ForHeader() + holdUntil + by.until.UTC().Format(holdLayout)
	}
	return s
}

// endOfHold is when a message that was found on hold is to be released: at once when it
// was released already, and a crash has kept its files where they are.
func (q *Manager) endOfHold(book *ledger.Ledger) time.Time {
	if book.Released {
		return q.now()
	}
	return heldUntil(book.HeldFor)
}

// heldUntil reads the time back; zero = for as long as it takes.
func heldUntil(why untrusted.Text) time.Time {
	text := why.ForHeader()
	i := strings.LastIndex(text, holdUntil)
	if i < 0 {
		return time.Time{}
	}
	t, err := time.Parse(holdLayout, text[i+len(holdUntil):])
	if err != nil {
		return time.Time{}
	}
	return t
}

// holdEnds notes when a message is to be released. With mu.
func (q *Manager) holdEnds(id queueid.ID, at time.Time) {
	if e := q.sched.all.get(id); e != nil {
		q.sched.changed(e)
	}
	if at.IsZero() {
		delete(q.holds, id)
		return
	}
	q.holds[id] = at
	select {
	case q.ordersChanged <- struct{}{}:
	default:
	}
}

// releaseExpiredHolds releases the messages whose time on hold is over, and says when the
// next one's is.
func (q *Manager) releaseExpiredHolds(ctx context.Context) time.Time {
	now := q.now()
	var over []queueid.ID
	var next time.Time
	q.mu.Lock()
	for id, at := range q.holds {
		if !now.Before(at) {
			over = append(over, id)
			delete(q.holds, id)
		} else {
			next = q.soonest(next, at)
		}
	}
	q.mu.Unlock()
	if len(over) == 0 {
		return next
	}
	q.wg.Go(func() {
		by := author{who: releasedBy, reason: "its time on hold is over"}
		for _, id := range over {
			switch err := q.doOne(ctx, orders["release"], id, by); {
			case err == nil:
				q.log.Emit(event.OrderOf(id, orders["release"].did, by.who, by.reason))
			case ctx.Err() == nil && err != errGone && err != errNotHeld:
				q.log.Emit(event.TroubleOf(id, "release a message", err))
				q.mu.Lock()
				q.holdEnds(id, q.now().Add(lookEvery))
				q.mu.Unlock()
			}
		}
	})
	return next
}

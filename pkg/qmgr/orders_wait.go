package qmgr

import (
	"strconv"
	"strings"
	"time"

	"filbert/pkg/ledger"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
)

// What waits for a standing order is not tried until the order ends: dispatch would only
// put it back.

// orderRecheck bounds that wait, so that delay warnings go out, and a message whose order
// nobody knows does not wait for ever.
const orderRecheck = 6 * time.Hour

// heed makes a message wait for the order that keeps it. With mu.
func (q *Manager) heed(e *entry, s *proto.Summary, now time.Time) {
	if !s.Ordered && s.Order == 0 {
		delete(q.waits, e.id)
		return
	}
	q.waits[e.id] = s.Order
	if !s.Ordered {
		return // others of its recipients have a time of their own
	}
	e.due = now.Add(orderRecheck).UnixMilli()
	if end := e.giveUp.time(); end.After(now) { // DELIVERBY does not wait for orders
		e.due = min(e.due, end.UnixMilli())
	}
	if s.Order != 0 {
		o, ok := q.standingOrder(s.Order)
		switch {
		case !ok:
			e.due = now.UnixMilli() // it ended meanwhile
		case !o.Until.IsZero():
			e.due = min(e.due, o.Until.UnixMilli())
		}
	}
	q.sched.place(e)
}

// releaseFor makes due what waits for orders that have ended.
func (q *Manager) releaseFor(ended map[uint64]bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	for id, order := range q.waits {
		if order != 0 && !ended[order] {
			continue
		}
		delete(q.waits, id)
		if e := q.sched.all.get(id); e != nil && e.state == waiting {
			q.sched.retryNow(e, now)
		}
	}
	q.kick()
}

// orderedBy tells of a message that was read which order keeps it, as dispatch would have.
func orderedBy(book *ledger.Ledger, s *proto.Summary) {
	waiting := book.Waiting()
	s.Ordered = len(waiting) > 0
	several := false
	for _, i := range waiting {
		last := &book.States[i].Last
		if last.Kind != outcome.Ordered {
			s.Ordered = false
			continue
		}
		n := orderNumber(last.Text.ForLog())
		several = several || s.Order != 0 && s.Order != n
		s.Order = n
	}
	if several {
		s.Order = 0
	}
}

// orderNumber finds the order in the words of dispatch, "order 7 (...".
func orderNumber(text string) uint64 {
	rest, ok := strings.CutPrefix(strings.Trim(text, `"`), "order ")
	if !ok {
		return 0
	}
	digits, _, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

package qmgr

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"filbert/pkg/ledger"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

var (
	errNoRecipient = errors.New("no recipient of that address waits")
	errSomeWait    = errors.New("some recipients wait on")
	errHasIt       = errors.New("the new address has had this message already; to end the old one, drop it")
)

// aboutRecipient is the part of an author's order that is about a recipient.
type aboutRecipient struct {
	recipient string
	to        mailaddr.Address
	report    bool
}

// recipientOf reads it; orders about whole messages have none.
func recipientOf(name string, req *proto.QueueOrder) (a aboutRecipient, err error) {
	if name != "redirect" && name != "drop" {
		if req.Recipient != "" || req.To != "" || req.Report {
			err = fmt.Errorf("%s is about whole messages", name)
		}
		return a, err
	}
	if a.recipient, a.report = req.Recipient, req.Report; a.recipient == "" {
		return a, errors.New("which recipient?")
	}
	if name == "drop" {
		return a, nil
	}
	if a.to, err = mailaddr.Parse(untrusted.From(req.To)); err != nil {
		return a, fmt.Errorf("the new address: %w", err)
	}
	if a.to.IsNull() || a.to.Domain() == "" {
		return a, errors.New("the new address has no domain")
	}
	return a, nil
}

// orderRedirect gives a recipient another address. It is tried there at once.
func (q *Manager) orderRedirect(ctx context.Context, e *entry, by author) error {
	return q.onRecipient(ctx, e, by, func(numbers []uint32) *proto.Due {
		reason := by.who + ": " + by.reason + " (it was " + by.about.recipient + ")"
		return &proto.Due{ID: e.id, Action: proto.DueRedirect, Recipients: numbers[:1], To: by.about.to, Reason: reason}
	})
}

// orderDrop ends a recipient, in silence or with a report.
func (q *Manager) orderDrop(ctx context.Context, e *entry, by author) error {
	return q.onRecipient(ctx, e, by, func(numbers []uint32) *proto.Due {
		if by.about.report {
			return &proto.Due{ID: e.id, Action: proto.DueBounce, Recipients: numbers, Reason: by.reason}
		}
		return &proto.Due{ID: e.id, Action: proto.DueDrop, Recipients: numbers, Reason: by.who + ": " + by.reason}
	})
}

// onRecipient has dispatch do something about the waiting recipients of an address.
func (q *Manager) onRecipient(ctx context.Context, e *entry, by author, order func([]uint32) *proto.Due) error {
	was, err := q.lock(e)
	if err != nil {
		return err
	}
	if was == held && by.about.report {
		q.unlock(e, was)
		return errHeld
	}
	here := *e
	here.state = was
	m, err := q.read(here.queue(), e.id)
	if err != nil {
		q.unlock(e, was)
		return err
	}
	var numbers []uint32
	for _, n := range m.book.Waiting() {
		rc := &m.env.Recipients[n]
		if strings.EqualFold(ledger.Key(rc), by.about.recipient) || strings.EqualFold(shownAs(rc), by.about.recipient) {
			numbers = append(numbers, uint32(n))
		}
	}
	if len(numbers) == 0 {
		q.unlock(e, was)
		return errNoRecipient
	}
	if !by.about.to.IsNull() && m.book.Served(by.about.to) {
		q.unlock(e, was)
		return errHasIt
	}
	err = q.ask(ctx, e, was, order(numbers))
	if !errors.Is(err, errSomeWait) {
		return err
	}
	// Others of the message wait on, as they should; or this one does.
	if m, err = q.read(here.queue(), e.id); err == nil && slices.Contains(m.book.Waiting(), int(numbers[0])) {
		return errNotNow
	}
	return nil
}

// told is what the log says of an order.
func (by *author) told() string {
	s := by.reason
	if by.about.recipient != "" {
		s = strings.TrimSpace(s + " (" + untrusted.From(by.about.recipient).ForHeader())
		if !by.about.to.IsNull() {
			s += " to " + by.about.to.String()
		}
		s += ")"
	}
	return s
}

// partlyDone puts a message back of which an order was about some recipients.
func (q *Manager) partlyDone(e *entry, was state, did proto.DueAction) {
	here := *e
	here.state = was
	if did == proto.DueRedirect && was == waiting {
		q.mu.Lock()
		e.due = q.now().UnixMilli()
		delete(q.waits, e.id)
		q.mu.Unlock()
	}
	q.dropped(e, here, was)
}

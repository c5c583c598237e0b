package qmgr

import (
	"fmt"
	"regexp"

	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// maxWhy bounds an expression for reasons.
const maxWhy = 1000

// compileMore compiles size and reason.
func (f *filter) compileMore(q *proto.QueueFilter) error {
	for _, p := range []struct {
		text string
		to   *int64
	}{{q.Larger, &f.larger}, {q.Smaller, &f.smaller}} {
		if p.text == "" {
			continue
		}
		var s settings.Size
		if err := s.UnmarshalText([]byte(p.text)); err != nil {
			return err
		}
		*p.to = s.Bytes()
	}
	if q.Why == "" {
		return nil
	}
	if len(q.Why) > maxWhy {
		return fmt.Errorf("why: an expression of at most %d octets is possible", maxWhy)
	}
	re, err := regexp.Compile("(?i)" + q.Why)
	if err != nil {
		return fmt.Errorf("why: %s", untrusted.From(err.Error()).ForTerminal())
	}
	f.why = re
	return nil
}

// reason tells whether why the message waits is as wanted.
func (f *filter) reason(m *stored) bool {
	if f.why.MatchString(m.book.HeldFor.ForTerminal()) && !m.book.HeldFor.IsEmpty() {
		return true
	}
	for _, i := range m.book.Waiting() {
		if f.why.MatchString(m.book.States[i].Last.Text.ForTerminal()) {
			return true
		}
	}
	return false
}

// except is what an order leaves out.
type except struct {
	ids     map[queueid.ID]bool
	filters []*filter // each leaves out what it chooses
}

// compileExcept reads it; nil = nothing.
func compileExcept(req *proto.QueueOrder) (*except, error) {
	x := &req.Except
	if len(req.ExceptIDs) == 0 && *x == (proto.QueueFilter{}) {
		return nil, nil
	}
	out := &except{ids: map[queueid.ID]bool{}}
	if len(req.ExceptIDs) > proto.ControlMaxIDs {
		return nil, fmt.Errorf("%d ids in one order; at most %d", len(req.ExceptIDs), proto.ControlMaxIDs)
	}
	for _, text := range req.ExceptIDs {
		id, err := queueid.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("not a queue id: %s", untrusted.From(text).ForTerminal())
		}
		out.ids[id] = true
	}
	for _, one := range []proto.QueueFilter{
		{Sender: x.Sender}, {Recipient: x.Recipient}, {Domain: x.Domain}, {Older: x.Older}, {Younger: x.Younger},
		{State: x.State}, {Larger: x.Larger}, {Smaller: x.Smaller}, {Why: x.Why},
	} {
		if one == (proto.QueueFilter{}) {
			continue
		}
		f, err := compile(&one)
		if err != nil {
			return nil, err
		}
		out.filters = append(out.filters, f)
	}
	return out, nil
}

// leftOut tells whether an order leaves a message out.
func (q *Manager) leftOut(id queueid.ID, x *except) bool {
	if x == nil {
		return false
	}
	if x.ids[id] {
		return true
	}
	for _, f := range x.filters {
		if q.chosen(id, f) {
			return true
		}
	}
	return false
}

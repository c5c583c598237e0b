package dispatch

import (
	"sync"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/inquiry"
	"filbert/pkg/proto"
	"filbert/pkg/retry"
)

const (
	// tablePatience bounds the waits of one attempt for the lookups of retry rules:
	// it holds the place of a delivery, and without answers nothing is lost but time
	// (see retry.Answers).
	tablePatience = 20 * time.Second
	// maxTableKeys bounds the keys that one attempt may ask for.
	maxTableKeys = 2000
)

// tables are what the lookups of the retry rules said during an attempt. The zero
// value has not asked.
type tables struct {
	mu      sync.Mutex // held while asking, so that jobs side by side ask each key once
	inquiry *inquiry.Inquiry
	away    map[string]struct{} // lookups that could not tell: who waits once need not wait a thousand times
}

// subject is f.subject with what its rules have to look up. It may wait for router,
// so that nobody calls it with a lock.
func (d *Dispatcher) subject(f *flight, i int, host *proto.Host) retry.Subject {
	s := f.subject(i, host)
	if rules := d.rules.Load(); rules.Asks() {
		d.lookUp(f, rules, &s)
	}
	return s
}

func (d *Dispatcher) lookUp(f *flight, rules *retry.Rules, s *retry.Subject) {
	t := &f.tables
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inquiry == nil {
		t.inquiry = inquiry.New(d.ctx, d.router, inquiry.Limits{Patience: tablePatience, Keys: maxTableKeys})
		t.away = map[string]struct{}{}
	}
	s.Answers = retry.Answers{}
	for q, open := rules.Question(s); open; q, open = rules.Question(s) {
		s.Answers[q] = d.answer(f, q)
	}
}

// answer asks one question. A lookup that can't tell is told once for each attempt.
func (d *Dispatcher) answer(f *flight, q retry.Question) retry.Answer {
	t := &f.tables
	if _, away := t.away[q.Lookup]; away {
		return retry.CannotTell
	}
	_, found, err := t.inquiry.Ask(q.Lookup, q.Key)
	switch {
	case err != nil:
		t.away[q.Lookup] = struct{}{}
		d.log.Emit(event.TroubleOf(f.env.ID, "ask lookup "+q.Lookup+" for the retry rules", err))
		return retry.CannotTell
	case found:
		return retry.Has
	}
	return retry.HasNot
}

package mtadb

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"filbert/pkg/history"
	"filbert/pkg/queueid"
)

const (
	// mostLooked bounds the messages that one query reads to find those that it wants.
	mostLooked = 200_000
	// mostEntries bounds the entries of one message that are read: a message to a list
	// of thousands has one for each attempt.
	mostEntries = 2000
)

// query is what to look for. All that is set must hold.
type query struct {
	id queueid.ID
	// lead is looked up where it is set, and what it finds is left to view.
	lead         *history.Term
	terms        []history.Term
	since, until time.Time
	limit        int
	most         int // messages that are looked at; 0 = mostLooked
	// order is how the newest limit messages are sent.
	order order
	// view is what the asker may see of a message, false for nothing; nil: all.
	view func([]history.Event) ([]history.Event, bool)
}

// errTooMuch ends a query that has looked at more messages than it may.
var errTooMuch = errors.New("too many messages would have to be looked at")

// found is one message, or one refusal.
type found struct {
	id     queueid.ID // zero: a refusal
	events []history.Event
}

// find calls emit with what a query asks for, the newest first, until emit says false.
func (s *store) find(ctx context.Context, q *query, emit func(found) bool) error {
	s.mu.Lock()
	parts := append([]part(nil), s.parts...)
	s.mu.Unlock()
	f := finder{store: s, q: q, emit: emit, least: 0, most: ^queueid.ID(0) >> 1}
	if !q.since.IsZero() {
		f.least = queueid.FromTime(q.since)
	}
	if !q.until.IsZero() {
		f.most = queueid.FromTime(q.until)
	}
	if !q.id.IsZero() {
		if at := partOf(parts, q.id); at >= 0 {
			f.look(parts[at], q.id)
		}
		return f.err
	}
	for _, p := range slices.Backward(parts) {
		if p.first > f.most {
			continue
		}
		if !f.part(ctx, p) || p.first <= f.least {
			break
		}
	}
	return f.err
}

type finder struct {
	store       *store
	q           *query
	emit        func(found) bool
	least, most queueid.ID
	sent        int
	looked      int
	err         error
}

// part looks through one part, and tells whether to go on.
func (f *finder) part(ctx context.Context, p part) bool {
	prefix, at := partKey(keyEvents, p.number), 5
	switch {
	case f.q.lead != nil:
		prefix, at = termKey(p.number, termHash(*f.q.lead)), 13
	case len(f.q.terms) > 0:
		// The other terms are compared with what this one finds.
		prefix, at = termKey(p.number, termHash(f.q.terms[0])), 13
	}
	o := scan{
		from:  binary.BigEndian.AppendUint64(slices.Clone(prefix), uint64(f.least)),
		to:    after(binary.BigEndian.AppendUint64(slices.Clone(prefix), uint64(f.most))),
		order: backwards,
	}
	goOn, last := true, queueid.ID(0)
	err := f.store.each(o, func(key, _ []byte) bool {
		if len(key) < at+8 {
			return true
		}
		id := queueid.ID(binary.BigEndian.Uint64(key[at:]))
		if id != last {
			last = id
			goOn = f.look(p, id) && ctx.Err() == nil
		}
		return goOn
	})
	f.err = errors.Join(f.err, err)
	return goOn && f.err == nil
}

// look reads what is kept under one id, sends what the query wants, and tells whether
// to go on.
func (f *finder) look(p part, id queueid.ID) bool {
	most := f.q.most
	if most == 0 {
		most = mostLooked
	}
	if f.looked++; f.looked > most {
		f.err = errTooMuch
		return false
	}
	message, alone, err := f.store.entries(p, id)
	if err != nil {
		f.err = err
		return false
	}
	if len(message) > 0 && !f.send(found{id, message}) {
		return false
	}
	if !f.q.id.IsZero() {
		return true
	}
	for i := range alone {
		if !f.send(found{0, alone[i : i+1]}) {
			return false
		}
	}
	return true
}

func (f *finder) send(m found) bool {
	if f.q.view != nil {
		seen, ok := f.q.view(m.events)
		if !ok {
			return true
		}
		m.events = seen
	}
	// Compared with what may be seen: whether something matches must not tell what
	// may not.
	for _, t := range f.q.terms {
		if !history.Matches(m.events, t) {
			return true
		}
	}
	f.sent++
	return f.emit(m) && (f.q.limit == 0 || f.sent < f.q.limit)
}

// entries reads the events of a message, by time, and the refusals that were given the
// same id.
func (s *store) entries(p part, id queueid.ID) (message, alone []history.Event, err error) {
	n := 0
	var bad error
	err = s.each(prefixed(eventsKey(p.number, id)), func(_, value []byte) bool {
		if len(value) == 0 {
			return true
		}
		of := id
		if value[0] == eventAlone {
			of = 0
		}
		events, err := s.codec.Decode(value[1:], of)
		if err != nil {
			bad = err
			return false
		}
		if of == 0 {
			alone = append(alone, events...)
		} else {
			message = append(message, events...)
		}
		n++
		return n < mostEntries
	})
	slices.SortStableFunc(message, func(a, b history.Event) int { return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()) })
	if bad != nil {
		bad = fmt.Errorf("read the history of %s: %w", id, bad)
	}
	return message, alone, errors.Join(err, bad)
}

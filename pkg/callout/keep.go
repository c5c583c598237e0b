package callout

import (
	"time"

	"filbert/pkg/outcome"
)

// keepable tells whether an answer outlives the process. What could not be found out
// does not: it is as soon forgotten as written.
func (k key) keepable(e *entry) bool {
	c := e.answer.Outcome.Class
	return (c == outcome.Delivered || c == outcome.Failed) && len(k.servers) <= maxServers && len(k.transport) <= maxName &&
		len(e.answer.Outcome.Kind) <= maxKind
}

// TakeChanged takes the answers that are new since the last time, at most so many.
// What was not kept is given back by GiveBack.
func (m *Memory) TakeChanged(most int, now time.Time) (list []*Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.changed {
		if len(list) >= most {
			break
		}
		delete(m.changed, k)
		if e, ok := m.entries[k]; ok && now.Before(e.expires) {
			list = append(list, recordOf(k, &e))
		}
	}
	return list
}

func recordOf(k key, e *entry) *Record {
	return &Record{
		Local: k.local, Domain: k.domain, Transport: k.transport, Servers: k.servers,
		Asked: e.asked, Expires: e.expires, AcceptsAll: e.answer.AcceptsAll, Outcome: e.answer.Outcome,
	}
}

func keyOf(r *Record) key { return key{r.Local, r.Domain, r.Transport, r.Servers} }

// GiveBack has answers taken again that could not be kept.
func (m *Memory) GiveBack(list []*Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range list {
		if _, ok := m.entries[keyOf(r)]; ok {
			m.changed[keyOf(r)] = struct{}{}
		}
	}
}

// Outdated are those of the records that are not in memory any more: they were
// forgotten while they were being kept, and must not come back.
func (m *Memory) Outdated(list []*Record) (gone []*Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range list {
		if _, ok := m.entries[keyOf(r)]; !ok {
			gone = append(gone, r)
		}
	}
	return gone
}

// Forgets counts the calls of Forget, for Recall.
func (m *Memory) Forgets() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.forgets
}

// Recall puts back what an earlier run knew, as far as there is room, and unless more
// is known by now. It does nothing and is false when something was forgotten since
// Forgets was so much: the records may be of before that.
//
// An answer is believed for as long as the present configuration says, and one from
// the future not at all: the clock was set back, and nobody knows how old it is.
func (m *Memory) Recall(list []*Record, forgets uint64, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.forgets != forgets {
		return false
	}
	for _, r := range list {
		k := keyOf(r)
		e := entry{answer: Answer{Outcome: r.Outcome, AcceptsAll: r.AcceptsAll}, asked: r.Asked, expires: r.Expires}
		if until := r.Asked.Add(m.keepLocked(k, r.Outcome.Class)); until.Before(e.expires) {
			e.expires = until
		}
		if _, known := m.entries[k]; known || r.Asked.After(now) || !now.Before(e.expires) || len(m.entries) >= m.most {
			continue
		}
		m.entries[k] = e
	}
	return true
}

// Forget drops the answers whose keys are meant.
func (m *Memory) Forget(is func(key string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgets++
	for k := range m.entries {
		if is(k.String()) {
			m.dropLocked(k)
		}
	}
}

func (m *Memory) dropLocked(k key) {
	delete(m.entries, k)
	delete(m.changed, k)
}

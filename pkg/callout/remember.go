package callout

import (
	"time"

	"filbert/pkg/outcome"
)

func addressKey(q Question) key {
	return key{local: q.Address.Local(), domain: q.Address.Domain(), transport: q.Transport, servers: q.Servers}
}

// domainKey is the key of what is known of all addresses of a domain at a server.
// No address has an empty local part.
func domainKey(q Question) key {
	k := addressKey(q)
	k.local = ""
	return k
}

// recallLocked looks first for the domain: of a server that takes everything a no
// about one address is news, and it is asked for that only once.
func (m *Memory) recallLocked(q Question, now time.Time) (Answer, bool) {
	if e, ok := m.entries[domainKey(q)]; ok && e.answer.AcceptsAll && now.Before(e.expires) {
		return remembered(e), true
	}
	e, ok := m.entries[addressKey(q)]
	if !ok || !now.Before(e.expires) {
		return Answer{}, false
	}
	return remembered(e), true
}

func remembered(e entry) Answer {
	e.answer.Remembered = true
	return e.answer
}

// learnLocked keeps an answer. Whether a server takes everything is known from a
// probe alone, and is found out anew when that is forgotten: servers change. One
// that takes what nobody can have and still refuses the address has told it apart.
func (m *Memory) learnLocked(q Question, a Answer, probe Probe, now time.Time) {
	put := func(k key, a Answer) {
		m.putLocked(k, entry{a, now, now.Add(m.keepLocked(k, a.Outcome.Class))}, now)
	}
	yes := a.Outcome.Class == outcome.Delivered
	all := yes && a.AcceptsAll
	if probe == WithProbe && (yes || a.Outcome.Class == outcome.Failed) {
		put(domainKey(q), Answer{Outcome: a.Outcome, AcceptsAll: all})
	}
	if !all {
		a.AcceptsAll = false
		put(addressKey(q), a)
	}
}

// keepLocked is how long an answer is believed. What is known of a domain says how the
// server behaves, and not whether it has somebody.
func (m *Memory) keepLocked(k key, c outcome.Class) time.Duration {
	switch {
	case k.local == "" || c == outcome.Delivered:
		return m.limits.KeepYes
	case c == outcome.Failed:
		return m.limits.KeepNo
	}
	return keepUnsure
}

// sample is how many entries are looked at to find one that may go.
const sample = 16

// putLocked keeps an entry and makes room for it: of some that chance picks, the
// one that would be forgotten first goes.
func (m *Memory) putLocked(k key, e entry, now time.Time) {
	if _, known := m.entries[k]; !known && len(m.entries) >= m.most {
		var victim key
		var first time.Time
		seen := 0
		for other, o := range m.entries {
			if seen == 0 || o.expires.Before(first) {
				victim, first = other, o.expires
			}
			if seen++; seen == sample || !now.Before(o.expires) {
				break
			}
		}
		m.dropLocked(victim)
	}
	m.entries[k] = e
	if k.keepable(&e) {
		m.changed[k] = struct{}{}
	} else {
		delete(m.changed, k)
	}
}

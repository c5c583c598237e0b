package retry

import (
	"container/heap"
	"time"
)

// WhatIf is a host that fails for a while, and the mail that comes for it.
type WhatIf struct {
	Subject Subject
	Failure Failure
	Start   time.Time
	Down    time.Duration // from the start on; beyond it all is delivered
	Every   time.Duration // between messages; 0: there is one, at the start
	For     time.Duration // how long messages come, and one looks
	Dice    func() float64
}

// Fate is what becomes of one message.
type Fate struct {
	Arrived   time.Time
	Attempts  []time.Time // its own
	PutOff    int         // how often it was due and another had just found out
	Delivered time.Time   // zero: it was not
	Returned  time.Time   // zero: it was not
	Why       string      // it was returned
}

// Told is what a what-if comes to.
type Told struct {
	Fates    []Fate
	Attempts []time.Time // all, in order
	Rule     string      // of the last failure
}

// maxSimulated bounds the messages of a what-if.
const maxSimulated = 100_000

// event is a message that comes, or is due.
type event struct {
	at  time.Time
	who int
}

type events []event

func (e events) Len() int { return len(e) }

func (e events) Less(i, j int) bool {
	if !e[i].at.Equal(e[j].at) {
		return e[i].at.Before(e[j].at)
	}
	return e[i].who < e[j].who
}

func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

// Push is heap.Interface's.
func (e *events) Push(x any) { *e = append(*e, x.(event)) }

// Pop is heap.Interface's.
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

// Simulate runs the rules against a what-if, by a clock of its own, as dispatch and
// qmgr would: the state is the host's, first attempts obey it, a success releases
// what waits.
func (r Rules) Simulate(w WhatIf) Told {
	sim := simulation{rules: r, what: w, end: w.Start.Add(w.For)}
	for at := w.Start; !at.After(sim.end) && len(sim.told.Fates) < maxSimulated; at = at.Add(w.Every) {
		heap.Push(&sim.queue, event{at, len(sim.told.Fates)})
		sim.told.Fates = append(sim.told.Fates, Fate{Arrived: at})
		if w.Every <= 0 {
			break
		}
	}
	for len(sim.queue) > 0 {
		e := heap.Pop(&sim.queue).(event)
		if e.at.After(sim.end) {
			break
		}
		sim.step(e)
	}
	return sim.told
}

type simulation struct {
	rules Rules
	what  WhatIf
	end   time.Time
	queue events
	state State
	told  Told
}

func (s *simulation) step(e event) {
	fate := &s.told.Fates[e.who]
	m := Message{Arrived: fate.Arrived, Attempts: len(fate.Attempts) + 1}
	if leave, until := s.rules.May(s.what.Subject, &s.state, m, e.at); leave == Wait {
		fate.PutOff++
		heap.Push(&s.queue, event{until, e.who})
		return
	}
	fate.Attempts = append(fate.Attempts, e.at)
	s.told.Attempts = append(s.told.Attempts, e.at)
	if !e.at.Before(s.what.Start.Add(s.what.Down)) {
		fate.Delivered = e.at
		s.state = State{}
		s.release(e.at)
		return
	}
	var d Decision
	s.state, d = s.rules.Decide(s.what.Subject, s.state, m, s.what.Failure, e.at, s.what.Dice())
	s.told.Rule = d.Rule
	if d.Over {
		fate.Returned, fate.Why = e.at, d.Why
		return
	}
	heap.Push(&s.queue, event{d.Next, e.who})
}

// release makes due what has come and waits.
func (s *simulation) release(now time.Time) {
	for i := range s.queue {
		if s.queue[i].at.After(now) && !s.told.Fates[s.queue[i].who].Arrived.After(now) {
			s.queue[i].at = now
		}
	}
	heap.Init(&s.queue)
}

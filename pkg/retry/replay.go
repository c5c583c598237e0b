package retry

import (
	"container/heap"
	"slices"
	"time"
)

// Seen is what one attempt found out about a server or an address.
type Seen struct {
	At      time.Time
	Worked  bool
	Failure Failure // else
}

// Back is when, between an attempt that failed and the first that worked, something is
// taken to have come back: nobody saw it.
type Back float64

// The assumptions.
const (
	BackEarly  Back = 0 // just behind the last that failed
	BackMiddle Back = 0.5
	BackLate   Back = 1 // when one worked
)

// Timeline is what is known of a server or an address. Between two attempts it is as
// the earlier found it, but for Back; before the first it works.
type Timeline struct {
	seen []Seen // in order
	back Back
}

// NewTimeline makes one of what attempts found, in any order.
func NewTimeline(seen []Seen, back Back) *Timeline {
	list := slices.Clone(seen)
	slices.SortStableFunc(list, func(a, b Seen) int { return a.At.Compare(b.At) })
	t := &Timeline{back: back}
	for i := range list {
		if s := &list[i]; s.Worked && i > 0 && !list[i-1].Worked {
			before := list[i-1].At
			s.At = before.Add(time.Duration(float64(s.At.Sub(before)) * float64(back)))
			if back == BackEarly {
				s.At = before.Add(time.Nanosecond)
			}
		}
	}
	t.seen = list
	return t
}

// at is what an attempt at a time would find; nil: it works.
func (t *Timeline) at(now time.Time) *Failure {
	i, _ := slices.BinarySearchFunc(t.seen, now, func(s Seen, now time.Time) int {
		if s.At.After(now) {
			return 1
		}
		return -1
	})
	if i == 0 || t.seen[i-1].Worked {
		return nil
	}
	return &t.seen[i-1].Failure
}

// Mail is one recipient of the past.
type Mail struct {
	Subject Subject
	Arrived time.Time
	// Ways are the timelines on which it depends, the server's before that of sender
	// and recipient: places in Past.Timelines.
	Ways []int
}

// Past is what was recorded.
type Past struct {
	Timelines []*Timeline
	Mail      []Mail
	End       time.Time
	Dice      func() float64
	// Enough is asked now and then whether nobody waits for the answer any more; nil: he does.
	Enough func() bool
}

// Replayed is what becomes of one recipient.
type Replayed struct {
	Attempts  int
	Delivered time.Time // zero: it was not
	Returned  time.Time // zero: it was not
	Rule      string    // by which
}

// enoughEach is how many steps are made between two questions.
const enoughEach = 4096

// Replay runs the rules against the past by a clock of its own, as dispatch and qmgr
// would, with one state for each timeline. tell hears of each attempt, in order. It takes a
// microsecond for each recipient that waits at each attempt on what he waits for: minutes for
// days of attempts each minute. It is nil if that was Enough.
func (r Rules) Replay(p *Past, tell func(at time.Time)) []Replayed {
	s := replay{rules: r, past: p, tell: tell, out: make([]Replayed, len(p.Mail)),
		turn: make([]int, len(p.Mail)), states: make([]State, len(p.Timelines)), waits: make([][]int, len(p.Timelines)), on: make([]int, len(p.Mail))}
	for i := range p.Mail {
		s.queue = append(s.queue, due{at: p.Mail[i].Arrived, who: i})
	}
	heap.Init(&s.queue)
	for n := 0; len(s.queue) > 0; n++ {
		if n%enoughEach == 0 && p.Enough != nil && p.Enough() {
			return nil
		}
		e := heap.Pop(&s.queue).(due)
		if e.at.After(p.End) {
			break
		}
		if e.turn == s.turn[e.who] {
			s.step(e.at, e.who)
		}
	}
	return s.out
}

type replay struct {
	rules  Rules
	past   *Past
	tell   func(time.Time)
	out    []Replayed
	turn   []int // of each recipient: what is in the queue for an earlier one is void
	queue  dues
	states []State
	waits  [][]int // recipients, by timeline
	on     []int   // by recipient: the timeline, and one, that has it in its list
}

func (s *replay) step(now time.Time, who int) {
	m, out := &s.past.Mail[who], &s.out[who]
	message := Message{Arrived: m.Arrived, Attempts: out.Attempts + 1}
	for _, way := range m.Ways {
		if leave, until := s.rules.May(m.Subject, &s.states[way], message, now); leave == Wait {
			s.wait(way, who, until)
			return
		}
	}
	out.Attempts++
	s.tell(now)
	for _, way := range m.Ways {
		f := s.past.Timelines[way].at(now)
		if f == nil {
			s.worked(way, now)
			continue
		}
		var d Decision
		s.states[way], d = s.rules.Decide(m.Subject, s.states[way], message, *f, now, s.past.Dice())
		if d.Over {
			out.Returned, out.Rule = now, d.Rule
			s.turn[who]++
			return
		}
		s.wait(way, who, d.Next)
		return
	}
	out.Delivered = now
	s.turn[who]++
}

func (s *replay) wait(way, who int, until time.Time) {
	s.turn[who]++
	heap.Push(&s.queue, due{at: until, who: who, turn: s.turn[who]})
	if s.on[who] != way+1 {
		s.on[who] = way + 1
		s.waits[way] = append(s.waits[way], who)
	}
}

// worked forgets a failure, and makes due what waits for that.
func (s *replay) worked(way int, now time.Time) {
	if s.states[way].IsZero() {
		return
	}
	s.states[way] = State{}
	list := s.waits[way]
	s.waits[way] = nil
	slices.Sort(list)
	for _, who := range slices.Compact(list) {
		if s.on[who] != way+1 {
			continue // it waits for something else by now
		}
		s.on[who] = 0
		if o := &s.out[who]; o.Delivered.IsZero() && o.Returned.IsZero() {
			s.turn[who]++
			heap.Push(&s.queue, due{at: now, who: who, turn: s.turn[who]})
		}
	}
}

// due is a recipient that comes, or whose time has come.
type due struct {
	at        time.Time
	who, turn int
}

type dues []due

func (q dues) Len() int { return len(q) }

func (q dues) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].who < q[j].who
}

func (q dues) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push is heap.Interface's.
func (q *dues) Push(x any) { *q = append(*q, x.(due)) }

// Pop is heap.Interface's.
func (q *dues) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

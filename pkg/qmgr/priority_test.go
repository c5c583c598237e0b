package qmgr

import (
	"fmt"
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/turns"
)

// addAt puts in n messages of a priority.
func (l *load) addAt(priority int8, n int, hop string) {
	for range n {
		l.next++
		l.due++
		l.s.put(&proto.Summary{ID: l.next, Arrived: noon.Unix(), LastAttempt: noon.Unix(), Attempts: 1,
			NextHop: hop, Due: l.due, Priority: priority}, noon, 0)
	}
}

// one begins an attempt and ends it.
func (l *load) one(t *testing.T) *entry {
	t.Helper()
	got := l.take(1)
	if len(got) == 0 {
		t.Fatal("nothing is due")
	}
	l.s.ended(got[0].nextHop)
	return got[0]
}

// RFC 6710, section 4.1: what has a higher priority goes first.
func TestHigherPriorityGoesFirstForOneDestination(t *testing.T) {
	l := newLoad()
	l.addAt(0, 100, "a.example")
	l.addAt(-3, 1, "a.example")
	l.addAt(4, 5, "a.example")
	for i := range 5 {
		if e := l.one(t); e.priority != 4 {
			t.Fatalf("attempt %d is of priority %d", i, e.priority)
		}
	}
}

func TestHigherPriorityGoesFirstOverDestinations(t *testing.T) {
	l := newLoad()
	for i := range 50 {
		l.addAt(0, 10, fmt.Sprintf("usual%d.example", i))
	}
	l.addAt(9, 5, "urgent.example")
	for i := range 5 {
		if e := l.one(t); e.nextHop != "urgent.example" {
			t.Fatalf("attempt %d is for %s", i, e.nextHop)
		}
	}
}

func TestPriorityThatComesLaterOvertakes(t *testing.T) {
	l := newLoad()
	l.addAt(0, 100, "a.example")
	l.addAt(0, 100, "b.example")
	l.one(t)
	l.addAt(5, 1, "b.example")
	// What is due is parked before somebody is chosen, so it is the very next one.
	if e := l.one(t); e.priority != 5 {
		t.Errorf("priority %d goes first", e.priority)
	}
}

// Invariant: nothing starves. Three priorities for one destination, filled up all the
// time: each is served within eight turns for each of the others.
func TestNoPriorityStarvesAtADestination(t *testing.T) {
	l := newLoad()
	had := map[int8]int{}
	for range 8 * 2 * 20 {
		for _, p := range []int8{9, 0, -9} {
			l.addAt(p, 1, "a.example")
		}
		had[l.one(t).priority]++
	}
	if had[0] < 20 || had[-9] < 20 || had[9] < 7*had[0] {
		t.Errorf("attempts by priority: %v", had)
	}
}

func TestNoDestinationStarvesBehindHigherPriorities(t *testing.T) {
	l := newLoad()
	const others = 5
	for i := range others {
		l.addAt(0, 1, fmt.Sprintf("usual%d.example", i))
	}
	left := others
	for n := 0; left > 0; n++ {
		if n > others*(turns.Bound+1) {
			t.Fatalf("%d destinations were let wait for %d turns", left, n)
		}
		l.addAt(9, 1, fmt.Sprintf("urgent%d.example", n%7))
		if l.one(t).priority == 0 {
			left--
		}
	}
}

func TestLanesOfAllPrioritiesAreForgotten(t *testing.T) {
	l := newLoad()
	for p := int8(-9); p <= 9; p++ {
		l.addAt(p, 3, "a.example")
		l.addAt(-p, 2, "b.example")
	}
	for range 19 * 5 {
		l.one(t)
	}
	if _, at := l.s.next(noon.Add(2 * time.Hour)); !at.IsZero() || len(l.s.lanes.byHop) != 0 || l.s.lanes.waiting() != 0 {
		t.Errorf("lanes are left: %v", l.s.lanes.byHop)
	}
}

package tally

import (
	"slices"
	"sync"
	"testing"
	"time"
)

func TestFiguresCount(t *testing.T) {
	var s Set
	s.Figure("b").Add(3)
	s.Figure("b").Add(-1)
	s.Figure("a").Took(2 * time.Second)
	s.Figure("a").Took(time.Second)
	s.Figure("a").Took(-time.Hour) // a clock that was set
	want := []Reading{{"a", 3, 3 * time.Second}, {"b", 3, 0}}
	if got := s.Read(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestNobodyNeedsToWantToKnow(t *testing.T) {
	var s *Set
	f := s.Figure("x")
	f.Add(1)
	f.Took(time.Second)
	if f.Count() != 0 || s.Read() != nil {
		t.Error("something was counted where there is nothing")
	}
}

func TestManyMayCountAtOnce(t *testing.T) {
	var s Set
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			f := s.Figure("x")
			for range 1000 {
				f.Took(time.Nanosecond)
			}
		})
	}
	wg.Wait()
	if got := s.Read(); got[0] != (Reading{"x", 8000, 8000}) {
		t.Error(got)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	f := new(Set).Figure("x")
	if n := testing.AllocsPerRun(100, func() { f.Took(time.Second); f.Add(2) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

package turns

import (
	"testing"

	"pgregory.net/rapid"
)

func waiting(levels ...int) (w Waiting) {
	for _, l := range levels {
		w = w.With(l)
	}
	return w
}

// take has n turns with the same levels waiting all the time.
func take(s *State, w Waiting, n int) map[int]int {
	had := map[int]int{}
	for range n {
		level := s.Next(w)
		s.Took(w, level)
		had[level]++
	}
	return had
}

func TestHighestHasSevenTurnsOfEight(t *testing.T) {
	var s State
	if had := take(&s, waiting(Level(9), Level(0)), 80); had[Level(9)] != 70 || had[Level(0)] != 10 {
		t.Errorf("turns %v", had)
	}
}

func TestOthersShareTheEighthTurn(t *testing.T) {
	var s State
	had := take(&s, waiting(Level(4), Level(0), Level(-3), Level(-9)), 8*30)
	for _, p := range []int8{0, -3, -9} {
		if had[Level(p)] != 10 {
			t.Errorf("priority %d had %d turns of 240", p, had[Level(p)])
		}
	}
}

func TestTurnsWithoutOthersAreNotCounted(t *testing.T) {
	var s State
	take(&s, waiting(Level(2)), 1000)
	if got := s.Next(waiting(Level(2), Level(0))); got != Level(2) {
		t.Errorf("level %d goes first", got)
	}
}

func TestPriorityOutOfRangeIsTheNearest(t *testing.T) {
	for p, want := range map[int8]int{-9: 0, -128: 0, 0: 9, 9: 18, 127: 18} {
		if got := Level(p); got != want {
			t.Errorf("priority %d is level %d, want %d", p, got, want)
		}
	}
}

// RFC 6710, section 4.1: no priority waits for ever, whatever comes and goes above and
// below it.
func TestWhoeverWaitsIsServedWithinTheBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := State{run: uint8(rapid.IntRange(0, inARow).Draw(t, "run")), below: int8(rapid.IntRange(0, Levels).Draw(t, "below"))}
		who := rapid.IntRange(0, Levels-1).Draw(t, "who")
		all := rapid.SliceOfN(rapid.Uint32Range(0, 1<<Levels-1), Bound+1, Bound+1).Draw(t, "others")
		for passed, others := range all {
			w := Waiting(others).With(who)
			level := s.Next(w)
			if w&(1<<level) == 0 {
				t.Fatalf("turn for level %d, where nothing waits", level)
			}
			s.Took(w, level)
			if level == who {
				return
			}
			if passed >= Bound {
				t.Fatalf("level %d let %d turns pass", who, passed+1)
			}
		}
	})
}

// The worst case is no chance: all levels wait all the time.
func TestEveryLevelIsServedWhileAllWait(t *testing.T) {
	var s State
	if had := take(&s, 1<<Levels-1, Bound+1); len(had) != Levels {
		t.Errorf("%d of %d levels had a turn", len(had), Levels)
	}
}

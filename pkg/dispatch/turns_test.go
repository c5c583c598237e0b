package dispatch

import (
	"slices"
	"testing"
	"testing/synctest"
)

// served has jobs of these priorities wait for the one place of a destination, in this
// order, and tells in which order they get it.
func served(t *testing.T, priorities ...int8) []int8 {
	t.Helper()
	var got []int8
	synctest.Test(t, func(t *testing.T) {
		l := limitsOf(10, 1)
		if !taken(t, l, "smtp", "a.example") {
			t.Fatal("no place at all")
		}
		order := make(chan int8, len(priorities))
		for _, p := range priorities {
			go func() {
				if err := l.take(t.Context(), at("smtp", "a.example"), usual, p); err != nil {
					t.Error(err)
					return
				}
				order <- p
			}()
			synctest.Wait()
		}
		for range priorities {
			l.give(at("smtp", "a.example"))
			got = append(got, <-order)
		}
		l.give(at("smtp", "a.example"))
		if len(l.dests) != 0 || l.waiting != 0 {
			t.Errorf("%d destinations and %d waiting are left", len(l.dests), l.waiting)
		}
	})
	return got
}

// RFC 6710, section 4.1.
func TestPlaceGoesToTheHighestPriorityThatWaits(t *testing.T) {
	if got, want := served(t, 0, -2, 5, 0, 9), []int8{9, 5, 0, 0, -2}; !slices.Equal(got, want) {
		t.Errorf("served %v, want %v", got, want)
	}
}

func TestLowPriorityGetsEveryEighthPlace(t *testing.T) {
	low := append([]int8{-4}, slices.Repeat([]int8{4}, 20)...)
	if got := slices.Index(served(t, low...), -4); got != 7 {
		t.Errorf("the low one was served after %d others, want 7", got)
	}
}

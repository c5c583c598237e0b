package master

import (
	"errors"
	"math"
	"testing"
	"time"

	"filbert/pkg/clock"
)

// What is too much for a Duration, too.
func TestClockIsNotMovedTooFar(t *testing.T) {
	for _, by := range []time.Duration{mostAhead, math.MaxInt64} {
		m := &Master{clock: clock.New(time.Hour)}
		if err := m.moveClock(t.Context(), by); !errors.Is(err, errClockTooFar) || m.clock.Ahead() != time.Hour {
			t.Errorf("by %v: %v, ahead by %v", by, err, m.clock.Ahead())
		}
	}
}

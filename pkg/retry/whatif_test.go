package retry

import (
	"testing"
	"time"
)

func noDice() float64 { return 0 }

func TestWhatIfAHostIsDownForTwoDays(t *testing.T) {
	told := Rules{}.Simulate(WhatIf{Subject: ann, Failure: silent, Start: start, Down: 2 * day, Every: time.Hour, For: 7 * day, Dice: noDice})
	first := told.Fates[0]
	if first.Delivered.IsZero() || first.Delivered.Sub(start) < 2*day || first.Delivered.Sub(start) > 2*day+4*time.Hour {
		t.Errorf("the first is delivered after %v", first.Delivered.Sub(start))
	}
	for i, f := range told.Fates {
		if !f.Returned.IsZero() || f.Delivered.IsZero() && f.Arrived.Before(start.Add(6*day)) {
			t.Fatalf("message %d: %+v", i, f)
		}
	}
	// The state is the host's: fifty messages that wait are not fifty attempts each
	// time. Each delivery is one more attempt.
	if n := len(told.Attempts) - len(told.Fates); n > 30 {
		t.Errorf("%d attempts failed", n)
	}
	if second := told.Fates[1]; len(second.Attempts) > 1 && second.Delivered.IsZero() {
		t.Errorf("%+v", second)
	}
}

func TestWhatIfAMachineNeverListens(t *testing.T) {
	told := Rules{}.Simulate(WhatIf{Subject: pc, Failure: refused, Start: start, Down: 100 * day, Every: 12 * time.Hour, For: 3 * day, Dice: noDice})
	for i, f := range told.Fates[:6] {
		if f.Returned.IsZero() || i > 0 && len(f.Attempts) != 1 {
			t.Errorf("message %d: %d attempts, returned %v", i, len(f.Attempts), f.Returned)
		}
	}
	if told.Rule != "never-listens" {
		t.Errorf("by %s", told.Rule)
	}
}

func TestWhatIfEndsWithOneMessage(t *testing.T) {
	told := Rules{}.Simulate(WhatIf{Subject: ann, Failure: silent, Start: start, Down: 100 * day, For: 7 * day, Dice: noDice})
	if len(told.Fates) != 1 || !told.Fates[0].Returned.Equal(start.Add(5*day)) {
		t.Errorf("%d messages, returned %v", len(told.Fates), told.Fates[0].Returned.Sub(start))
	}
}

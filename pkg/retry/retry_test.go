package retry

import (
	"testing"
	"time"

	"filbert/pkg/settings"
	"pgregory.net/rapid"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func rule() settings.Retry { return settings.Default().Retry }

func TestWaitGrowsByFactorToCeiling(t *testing.T) {
	want := []time.Duration{5 * time.Minute, 7*time.Minute + 30*time.Second, 11*time.Minute + 15*time.Second}
	for i, w := range want {
		if got := Wait(rule(), i+1); got != w {
			t.Errorf("wait after attempt %d is %v, want %v", i+1, got, w)
		}
	}
	if got := Wait(rule(), 1000); got != 4*time.Hour {
		t.Errorf("wait after attempt 1000 is %v, want the ceiling", got)
	}
}

func TestLastAttemptFallsOnTheMomentOfGivingUp(t *testing.T) {
	s := State{Arrived: start, LastAttempt: start.Add(5*24*time.Hour - time.Hour), Attempts: 30}
	d := Next(rule(), s, s.LastAttempt, 0)
	if !d.Final || !d.Due.Equal(start.Add(5*24*time.Hour)) {
		t.Errorf("got %+v, want a final attempt at %v", d, start.Add(5*24*time.Hour))
	}
}

func TestMachineThatWasOffTriesOnceMoreAtOnce(t *testing.T) {
	now := start.Add(30 * 24 * time.Hour)
	d := Next(rule(), State{Arrived: start, LastAttempt: start, Attempts: 1}, now, 0)
	if d.Due.After(now) || !d.Final {
		t.Errorf("due %v, final %v; want once more, at once (%v)", d.Due, d.Final, now)
	}
}

// What stood in the way of the last attempt was of our own making (the router
// away, a report that could not be sent): at once again would be for ever again.
func TestLastAttemptThatDidNotEndItIsRepeatedWithAWait(t *testing.T) {
	end := start.Add(5 * 24 * time.Hour)
	for _, last := range []time.Time{end, end.Add(time.Hour)} {
		d := Next(rule(), State{Arrived: start, LastAttempt: last, Attempts: 40}, last.Add(time.Second), 0)
		if wait := d.Due.Sub(last); !d.Final || wait < rule().First.D() || wait > rule().Max.D() {
			t.Errorf("final %v, due %v after the one before", d.Final, wait)
		}
	}
}

func TestNeverFinalBeforeAnAttempt(t *testing.T) {
	now := start.Add(30 * 24 * time.Hour)
	if d := Next(rule(), State{Arrived: start}, now, 0); d.Final || d.Due.After(now) {
		t.Errorf("got %+v, want an attempt now that is not final", d)
	}
}

func TestReportsGiveUpSooner(t *testing.T) {
	d := Next(rule(), State{Arrived: start, LastAttempt: start, Attempts: 1, Report: true}, start, 0)
	if !d.GiveUp.Equal(start.Add(24 * time.Hour)) {
		t.Errorf("a report gives up at %v, want after a day", d.GiveUp)
	}
}

func TestBusyIsNeitherFailureNorFinal(t *testing.T) {
	now := start.Add(10 * 24 * time.Hour)
	d := Next(rule(), State{Arrived: start, LastAttempt: start, Attempts: 3, Busy: true}, now, 0)
	if d.Final || d.Due.Sub(now) != busyWait {
		t.Errorf("got %+v, want a short pause", d)
	}
}

func TestNoClockMakesTheWaitLongerThanTheCeiling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offset := time.Duration(rapid.Int64Range(-1e18, 1e18).Draw(t, "offset"))
		s := State{
			Arrived:     start,
			LastAttempt: start.Add(offset),
			Attempts:    rapid.IntRange(1, 1<<30).Draw(t, "attempts"),
		}
		dice := rapid.Float64Range(0, 0.999).Draw(t, "dice")
		d := Next(rule(), s, start, dice)
		most := rule().Max.D() + rule().Max.D()/10 + time.Second
		if d.Due.Sub(start) > most && !d.Final {
			t.Fatalf("waits %v, more than the ceiling", d.Due.Sub(start))
		}
	})
}

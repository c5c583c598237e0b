package retry

import (
	"testing"
	"time"

	"filbert/pkg/settings"
)

func noTell(time.Time) {}

// downFor is a server that failed for a while, as attempts each hour found.
func downFor(n int, f Failure) []Seen {
	var list []Seen
	for i := range n {
		list = append(list, Seen{At: start.Add(time.Duration(i) * time.Hour), Failure: f})
	}
	return append(list, Seen{At: start.Add(time.Duration(n) * time.Hour), Worked: true})
}

func TestBetweenTwoAttemptsNobodySawWhenItCameBack(t *testing.T) {
	for back, want := range map[Back]time.Duration{BackEarly: 3*time.Hour + 1, BackMiddle: 3*time.Hour + 30*time.Minute, BackLate: 4 * time.Hour} {
		line := NewTimeline(downFor(4, silent), back)
		if f := line.at(start.Add(want - 1)); f == nil || f.Kind != silent.Kind {
			t.Errorf("%v: it worked too early", back)
		}
		if f := line.at(start.Add(want)); f != nil {
			t.Errorf("%v: it failed at %v", back, want)
		}
		if line.at(start.Add(-time.Second)) != nil {
			t.Error("it failed before anybody saw it fail")
		}
	}
}

func TestPastIsReplayedByOtherRules(t *testing.T) {
	past := &Past{Timelines: []*Timeline{NewTimeline(downFor(10, silent), BackMiddle)}, End: start.Add(7 * day), Dice: noDice}
	for i := range 3 {
		past.Mail = append(past.Mail, Mail{Subject: ann, Arrived: start.Add(time.Duration(i) * time.Minute), Ways: []int{0}})
	}
	for name, c := range map[string]struct {
		wait, until        time.Duration
		delivered, replied bool
	}{
		"patient": {5 * time.Minute, day, true, false},
		"hasty":   {5 * time.Minute, 2 * time.Hour, false, true},
	} {
		rule := every(c.wait, c.until)
		attempts := 0
		out := compile(t, retryRule(name, rule)).Replay(past, func(time.Time) { attempts++ })
		sum := 0
		for i := range out {
			sum += out[i].Attempts
			if out[i].Delivered.IsZero() == c.delivered || out[i].Returned.IsZero() == c.replied {
				t.Errorf("%s: %+v", name, out[i])
			}
		}
		if sum != attempts {
			t.Errorf("%s: %d attempts, and %d were told", name, sum, attempts)
		}
		if at := out[0].Delivered; c.delivered && (at.Before(start.Add(9*time.Hour+30*time.Minute)) || at.After(start.Add(9*time.Hour+36*time.Minute))) {
			t.Errorf("delivered after %v", at.Sub(start))
		}
	}
}

func TestReplayedSuccessReleasesWhatWaits(t *testing.T) {
	past := &Past{Timelines: []*Timeline{NewTimeline(downFor(1, silent), BackLate)}, End: start.Add(7 * day), Dice: noDice}
	past.Mail = []Mail{
		{Subject: ann, Arrived: start, Ways: []int{0}},
		{Subject: ann, Arrived: start.Add(time.Minute), Ways: []int{0}},
	}
	out := compile(t, retryRule("r", every(90*time.Minute, day))).Replay(past, noTell)
	if out[0].Attempts != 2 || out[1].Attempts != 1 || !out[1].Delivered.Equal(out[0].Delivered) {
		t.Errorf("%+v", out)
	}
}

func TestReplayEndsWithThePast(t *testing.T) {
	past := &Past{Timelines: []*Timeline{NewTimeline([]Seen{{At: start, Failure: silent}}, BackLate)}, End: start.Add(time.Hour), Dice: noDice,
		Mail: []Mail{{Subject: ann, Arrived: start, Ways: []int{0}}}}
	out := Rules{}.Replay(past, noTell)
	if out[0].Attempts == 0 || out[0].Attempts > 10 || !out[0].Delivered.IsZero() || !out[0].Returned.IsZero() {
		t.Errorf("%+v", out)
	}
}

func retryRule(name string, list []settings.Phase) settings.Retry {
	return settings.Retry{Name: name, Phases: list}
}

// Days of attempts each minute for a queue of mail take minutes, and whoever has had
// enough of that must not have to wait for them.
func TestReplayEndsWhenNobodyWaitsForIt(t *testing.T) {
	down := []Seen{{At: start, Failure: silent}}
	past := &Past{Timelines: []*Timeline{NewTimeline(down, BackMiddle)}, End: start.Add(5 * day), Dice: noDice}
	for range 100 {
		past.Mail = append(past.Mail, Mail{Subject: ann, Arrived: start, Ways: []int{0}})
	}
	asked := 0
	past.Enough = func() bool { asked++; return asked > 2 }
	attempts := 0
	if out := compile(t, retryRule("r", every(time.Minute, 5*day))).Replay(past, func(time.Time) { attempts++ }); out != nil || asked != 3 || attempts > 200 {
		t.Errorf("asked %d times, %d attempts, %d recipients", asked, attempts, len(out))
	}
}

package pace

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"filbert/pkg/settings"
)

func warming(t interface{ Fatal(...any) }, first, full string, days int) *Policy {
	return policy(t, settings.Transport{Shape: settings.Shape{
		Rate: full, WarmUp: &settings.WarmUp{From: "2026-03-01", Days: days, First: first},
	}}, 20)
}

// Whatever wants to go, in no 24 hours, wherever they begin, does more begin than the
// ceiling of their last day says; and the rate holds, too.
func TestWarmUpIsExceededInNoDay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.SampledFrom([]string{"1 per day", "7 per day", "50 per day", "3 per hour"}).Draw(t, "first")
		full := rapid.SampledFrom([]string{"3 per minute", "100 per hour", "100 per day"}).Draw(t, "full")
		p := warming(t, first, full, rapid.IntRange(1, 10).Draw(t, "days"))
		s, now := &State{}, began.Add(-24*time.Hour)
		var begun []time.Time
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*p.bucket(now).gap)).Draw(t, "wait")))
			for range rapid.IntRange(1, 20).Draw(t, "tries") {
				if hold, _ := s.Look(p, now); hold == Free {
					s.Begin(p, now)
					begun = append(begun, now)
				}
			}
		}
		within := func(i int, r Rate) bool { return i < r.N || begun[i].Sub(begun[i-r.N]) >= r.Per }
		for i, at := range begun {
			n, lasts := p.warm.at(at)
			if lasts && !within(i, p.warm.ceiling(n)) || !within(i, p.rate) {
				t.Fatalf("too many in the time that ends at %v (day %d)", at, n)
			}
		}
	})
}

func TestWarmUpGrowsEachDayAndEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.IntRange(1, MaxWarmUp).Draw(t, "days")
		p := warming(t, rapid.SampledFrom([]string{"1 per day", "50 per day", "1000 per hour"}).Draw(t, "first"),
			rapid.SampledFrom([]string{"1000 per hour", "100 per minute", "1000000 per second"}).Draw(t, "full"), days)
		last := 0
		for n := range days {
			r := p.warm.ceiling(n)
			if r.N < last || float64(r.N) > p.rate.Daily() {
				t.Fatalf("day %d: %v, behind %d and below %v", n, r, last, p.rate)
			}
			last = r.N
		}
		if b := p.bucket(p.warm.from.AddDate(0, 0, days)); b.rate != p.rate || b.gap != p.rate.gap() {
			t.Fatalf("behind the last day it is %+v", b)
		}
	})
}

func TestWarmUpBeginsWithItsFirstDay(t *testing.T) {
	p := warming(t, "50 per day", "100 per minute", 30)
	for _, now := range []time.Time{p.warm.from.AddDate(0, -1, 0), p.warm.from, p.warm.from.Add(23 * time.Hour)} {
		if b := p.bucket(now); b.rate != (Rate{50, 24 * time.Hour}) {
			t.Errorf("%v: %v", now, b.rate)
		}
	}
	if b := p.bucket(p.warm.from.AddDate(0, 0, 15)); b.rate.N < 2600 || b.rate.N > 2700 { // the geometric mean of 50 and 144,000
		t.Errorf("half way: %v", b.rate)
	}
}

func TestWarmUpThatSaysNothingIsRefused(t *testing.T) {
	for _, w := range []settings.WarmUp{
		{From: "tomorrow", Days: 3, First: "1 per day"}, {From: "2026-03-01", First: "1 per day"},
		{From: "2026-03-01", Days: 3}, {From: "2026-03-01", Days: MaxWarmUp + 1, First: "1 per day"},
	} {
		if _, err := readWarmUp(&w, Rate{1, time.Second}); !errors.Is(err, ErrWarmUp) {
			t.Errorf("%+v: %v", w, err)
		}
	}
	if _, err := readWarmUp(&settings.WarmUp{From: "2026-03-01", Days: 3, First: "1 per day"}, Rate{}); !errors.Is(err, ErrWarmUp) {
		t.Errorf("without a rate: %v", err)
	}
}

func TestWarmUpIsForItsSourcesHoweverTheyAreWritten(t *testing.T) {
	p := policy(t, settings.Transport{Shape: settings.Shape{Rate: "100 per minute", WarmUp: &settings.WarmUp{
		From: "2026-03-01", Days: 30, First: "50 per day", Sources: []string{"2001:DB8:0::1"},
	}}}, 20)
	for source, want := range map[string]int{"2001:db8::1": 50, "2001:db8::2": 100, "192.0.2.1": 100} {
		if n := p.For(source).bucket(p.warm.from).rate.N; n != want {
			t.Errorf("%s: %d, want %d", source, n, want)
		}
	}
}

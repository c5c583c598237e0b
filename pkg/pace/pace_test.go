package pace

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"filbert/pkg/outcome"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func policy(t interface{ Fatal(...any) }, s settings.Transport, perDestination int) *Policy {
	p, err := Compile(&s, perDestination)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func anyPolicy(t *rapid.T) *Policy {
	return policy(t, settings.Transport{
		ConnectionsPerHost: rapid.IntRange(0, 30).Draw(t, "connections"),
		Shape: settings.Shape{
			StartConcurrency: rapid.IntRange(0, 30).Draw(t, "start"),
			Rate:             rapid.SampledFrom([]string{"", "1 per second", "3 per second", "7 per minute", "60 per minute", "100 per hour", "10 per day"}).Draw(t, "rate"),
			BackOffReplies:   []string{"421"},
			BackOffPause:     settings.Duration(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(t, "pause")),
		},
	}, rapid.IntRange(1, 30).Draw(t, "most"))
}

func TestWidthStaysBetweenOneAndTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, now := anyPolicy(t), &State{}, began
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Second, -time.Hour, time.Minute}).Draw(t, "wait"))
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				s.Failed(p, now, now)
			case 1:
				s.Paused(p, untrusted.From("421 slow down"), now)
			case 2:
				p = anyPolicy(t) // a reload
			default:
				s.Succeeded(p)
			}
			if w := s.Width(p); w < 1 || w > p.most {
				t.Fatalf("%d at once, of at most %d", w, p.most)
			}
		}
	})
}

// Whatever the callers do, and whenever they come, any window holds no more than N.
func TestRateIsExceededInNoWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{N: rapid.IntRange(1, 50).Draw(t, "n"), Per: rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 24 * time.Hour}).Draw(t, "per")}
		p, s, now := &Policy{start: 1, most: 1, rate: r}, &State{}, began
		var begun []time.Time
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*r.gap())).Draw(t, "wait")))
			for range rapid.IntRange(1, 20).Draw(t, "tries") {
				if hold, at := s.Look(p, now); hold == Free {
					s.Begin(p, now)
					begun = append(begun, now)
				} else if !at.After(now) {
					t.Fatalf("held until %v, and it is %v", at, now)
				}
			}
		}
		for i := range begun {
			if i >= r.N && begun[i].Sub(begun[i-r.N]) < r.Per {
				t.Fatalf("%d within %v, of at most %d in %v", r.N+1, begun[i].Sub(begun[i-r.N]), r.N, r.Per)
			}
		}
	})
}

// A rate that lets too little through is as wrong.
func TestRateIsUsed(t *testing.T) {
	for _, text := range []string{"1 per second", "2 per minute", "60 per minute", "1000 per hour", "1000000 per second"} {
		r, err := ParseRate(text)
		if err != nil {
			t.Fatal(err)
		}
		p, s, now, n := &Policy{start: 1, most: 1, rate: r}, &State{}, began, 0
		rounds := min(10*r.N, 10_000)
		for range rounds {
			_, now = s.Look(p, now)
			s.Begin(p, now)
			n++
		}
		should := time.Duration(rounds-1) * r.Per / time.Duration(r.N)
		if took := now.Sub(began); took > should+should/7 {
			t.Errorf("%s: %d took %v, at the full rate %v", text, n, took, should)
		}
	}
}

func TestPausedDestinationTakesNothingUntilTheEnd(t *testing.T) {
	p := policy(t, settings.Transport{Shape: settings.Shape{StartConcurrency: 5, BackOffPause: settings.Duration(time.Minute)}}, 20)
	s := &State{}
	until := s.Paused(p, untrusted.From("slow down"), began)
	if hold, at := s.Look(p, began.Add(59*time.Second)); hold != ByPause || !at.Equal(until) || !until.Equal(began.Add(time.Minute)) {
		t.Errorf("%v until %v", hold, at)
	}
	if hold, _ := s.Look(p, until); hold != Free || s.Width(p) != 1 {
		t.Errorf("afterwards %v, %d at once", hold, s.Width(p))
	}
}

func TestDestinationRecovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, now := anyPolicy(t), &State{}, began
		for range rapid.IntRange(0, 50).Draw(t, "failures") {
			now = now.Add(time.Second)
			s.Failed(p, now, now)
			s.Paused(p, untrusted.From("421"), now)
		}
		for i := 0; s.Width(p) < p.most; i++ {
			if i > 500 {
				t.Fatalf("%d at once after %d successes, of %d", s.Width(p), i, p.most)
			}
			hold, at := s.Look(p, now)
			if hold != Free {
				now = at
			}
			s.Begin(p, now)
			s.Succeeded(p)
		}
		if now.Sub(began) > 500*24*time.Hour {
			t.Fatalf("it took until %v", now)
		}
	})
}

func TestWhatWasBegunTogetherHalvesOnce(t *testing.T) {
	p := policy(t, settings.Transport{Shape: settings.Shape{StartConcurrency: 16}}, 20)
	s := &State{}
	for range 16 {
		s.Failed(p, began, began.Add(time.Second))
	}
	if w := s.Width(p); w != 8 {
		t.Errorf("%d at once", w)
	}
	s.Failed(p, began.Add(2*time.Second), began.Add(3*time.Second))
	if w := s.Width(p); w != 4 {
		t.Errorf("%d at once after another failure", w)
	}
}

func TestWindowOfSuccessesAddsOne(t *testing.T) {
	p := policy(t, settings.Transport{Shape: settings.Shape{StartConcurrency: 3}}, 20)
	s := &State{}
	var got []int
	for range 12 {
		s.Succeeded(p)
		got = append(got, s.Width(p))
	}
	if want := []int{3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Those who wait each get a moment of their own, in the order in which they come, and
// none is sent beyond an hour.
func TestTurnsLieApart(t *testing.T) {
	p := policy(t, settings.Transport{Shape: settings.Shape{Rate: "60 per minute"}}, 20)
	s, now := &State{}, began
	for range 6 {
		s.Begin(p, now)
	}
	last := now
	for i := range 3000 {
		at := s.Turn(p, now)
		if at.Sub(last) < p.rate.gap() {
			t.Fatalf("turn %d at %v, behind one at %v", i, at, last)
		}
		last = at
	}
	for range 2000 {
		if at := s.Turn(p, now); at.Sub(now) > maxAhead+p.rate.Per {
			t.Fatalf("a turn at %v", at)
		}
	}
}

func TestClockSetBackLeavesNobodyWaitingForLong(t *testing.T) {
	p := policy(t, settings.Transport{Shape: settings.Shape{Rate: "1 per hour", BackOffPause: settings.Duration(time.Minute)}}, 20)
	s := &State{}
	s.Begin(p, began)
	s.Paused(p, untrusted.From("421"), began)
	back := began.Add(-1000 * time.Hour)
	if hold, at := s.Look(p, back); hold != ByPause || at.After(back.Add(time.Minute)) {
		t.Errorf("%v until %v", hold, at)
	}
	if hold, at := s.Look(p, back.Add(time.Minute)); hold != ByRate || at.After(back.Add(time.Hour)) {
		t.Errorf("%v until %v", hold, at)
	}
}

func TestRestedStateIsAsGoodAsNone(t *testing.T) {
	p := policy(t, settings.Transport{Shape: settings.Shape{StartConcurrency: 2, Rate: "60 per minute", BackOffPause: settings.Duration(time.Minute)}}, 20)
	s := &State{}
	if !s.Rested(p, began) {
		t.Error("a new one is kept")
	}
	s.Begin(p, began)
	if s.Rested(p, began) {
		t.Error("what counts for the rate is forgotten")
	}
	if !s.Rested(p, began.Add(time.Minute)) {
		t.Error("it is kept when nothing counts any more")
	}
	for range 2 {
		s.Succeeded(p)
	}
	if s.Rested(p, began.Add(time.Minute)) || !s.Rested(p, began.Add(time.Hour)) {
		t.Error("that it takes more is to be known for a while")
	}
	s.Paused(p, untrusted.From("421"), began.Add(time.Hour))
	if s.Rested(p, began.Add(time.Hour)) {
		t.Error("a pause is forgotten")
	}
}

func TestRepliesAreRecognized(t *testing.T) {
	reply := outcome.Outcome{Class: outcome.Deferred, Kind: outcome.Greeting, Code: 421, Status: smtp.Status{Class: 4, Subject: 7, Detail: 28},
		Text: untrusted.From("4.7.28 Our system has seen a Rate Limit exceeded")}
	for pattern, want := range map[string]bool{
		"421": true, "4.7.28": true, "4.7.*": true, "42?": true, "421 4.7.*": true, "/rate limit/": true,
		"450": false, "4.7.1": false, "421 4.2.*": false, "/greylist/": false, "4.7": false,
	} {
		r, err := ParseReply(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Matches(&reply); got != want {
			t.Errorf("%s: %v", pattern, got)
		}
	}
	ours := outcome.Outcome{Class: outcome.Deferred, Kind: outcome.TimedOut, Status: smtp.Status{Class: 4, Subject: 4, Detail: 2}, Text: untrusted.From("rate limit")}
	for _, pattern := range []string{"4*", "/rate limit/"} {
		if r, err := ParseReply(pattern); err != nil || r.Matches(&ours) {
			t.Errorf("%s means what no server has said (%v)", pattern, err)
		}
	}
}

func TestWhatIsNoRateIsRefused(t *testing.T) {
	for _, text := range []string{"100", "per minute", "0 per minute", "-1 per day", "+1 per day", "1.5 per hour", "100 / minute", "100 per week",
		"100 per minutes", "1000001 per second", "99999999999999999999 per day", "100 per minute each"} {
		if r, err := ParseRate(text); !errors.Is(err, ErrRate) {
			t.Errorf("%q: %v, %v", text, r, err)
		}
	}
	if r, err := ParseRate(" 100  Per Minute"); err != nil || r != (Rate{100, time.Minute}) {
		t.Errorf("%v, %v", r, err)
	}
}

func TestWhatIsNoPatternOfARefusalIsRefused(t *testing.T) {
	for _, text := range []string{"", " ", "250", "4.7.x", "/(/", "421 4.7.1 no", "too many", string(make([]byte, maxPattern+1))} {
		if _, err := ParseReply(text); !errors.Is(err, ErrReply) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"100 per minute", "421", "421 4.7.*", "/too many/", "/[/"} {
		f.Add(s)
	}
	o := outcome.Outcome{Class: outcome.Deferred, Code: 421, Text: untrusted.From("too many")}
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := ParseRate(text); err == nil && r.N > 0 && (r.gap() <= 0 || r.slack() >= r.Per) {
			t.Errorf("%q: %v apart, %v at once", text, r.gap(), r.slack())
		}
		if r, err := ParseReply(text); err == nil {
			r.Matches(&o)
		}
	})
}

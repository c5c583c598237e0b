package callout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/untrusted"
)

// world is a clock that is set by hand and a server whose words are set.
type world struct {
	memory *Memory
	at     time.Time
	says   Answer
	err    error
	asked  []string
	probes int
}

func newWorld() *world {
	return &world{
		memory: New(Limits{KeepYes: 24 * time.Hour, KeepNo: 2 * time.Hour, PerDomain: 2}),
		at:     time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func (w *world) now() time.Time { return w.at }

func (w *world) ask(t *testing.T, addr, servers string) (Answer, error) {
	t.Helper()
	q := Question{Address: mailaddr.MustParse(addr), Transport: "smtp", Servers: servers}
	return w.memory.Ask(context.Background(), q, w.now, func(_ context.Context, p Probe) (Answer, error) {
		w.asked = append(w.asked, addr)
		if p == WithProbe {
			w.probes++
		}
		return w.says, w.err
	})
}

var (
	yes    = Answer{Outcome: outcome.Outcome{Class: outcome.Delivered}}
	no     = Answer{Outcome: outcome.Outcome{Class: outcome.Failed, Text: untrusted.From("no such user")}}
	unsure = Answer{Outcome: outcome.Outcome{Class: outcome.Deferred}}
	all    = Answer{Outcome: outcome.Outcome{Class: outcome.Delivered}, AcceptsAll: true}
)

func TestAnswersAreKeptAsLongAsConfigured(t *testing.T) {
	for name, tt := range map[string]struct {
		says Answer
		keep time.Duration
	}{
		"yes":    {yes, 24 * time.Hour},
		"no":     {no, 2 * time.Hour},
		"unsure": {unsure, keepUnsure},
		"all":    {all, 24 * time.Hour},
	} {
		w := newWorld()
		w.says = tt.says
		for i, step := range []struct {
			later time.Duration
			asked int
		}{{0, 1}, {tt.keep - 1, 1}, {1, 2}} {
			w.at = w.at.Add(step.later)
			a, err := w.ask(t, "a@far.example", "mx")
			if err != nil || a.Outcome.Class != tt.says.Outcome.Class || a.AcceptsAll != tt.says.AcceptsAll {
				t.Errorf("%s: %+v, %v", name, a, err)
			}
			if len(w.asked) != step.asked || a.Remembered != (i == 1) {
				t.Errorf("%s, step %d: asked %v, remembered %v", name, i, w.asked, a.Remembered)
			}
		}
	}
}

func TestErrorsAreNotKept(t *testing.T) {
	w := newWorld()
	w.err = errors.New("away")
	for range 2 {
		if _, err := w.ask(t, "a@far.example", "mx"); !errors.Is(err, w.err) {
			t.Errorf("error %v", err)
		}
	}
	if len(w.asked) != 2 || w.memory.Len() != 0 {
		t.Errorf("asked %v, %d entries", w.asked, w.memory.Len())
	}
}

func TestServerThatTakesEverythingIsAskedOnce(t *testing.T) {
	w := newWorld()
	w.says = all
	for _, addr := range []string{"a@far.example", "b@far.example", "c@Far.Example"} {
		if a, err := w.ask(t, addr, "mx"); err != nil || !a.AcceptsAll {
			t.Errorf("%s: %+v, %v", addr, a, err)
		}
	}
	if len(w.asked) != 1 {
		t.Errorf("asked %v", w.asked)
	}
	w.says = no
	if a, _ := w.ask(t, "a@near.example", "mx"); a.AcceptsAll || a.Outcome.Class != outcome.Failed {
		t.Errorf("another domain there: %+v", a)
	}
	if a, _ := w.ask(t, "a@far.example", "other"); a.AcceptsAll || a.Outcome.Class != outcome.Failed {
		t.Errorf("another server of the domain: %+v", a)
	}
}

func TestProbeIsSentOnceInAWhile(t *testing.T) {
	w := newWorld()
	w.says = yes
	for i := range 5 {
		_, _ = w.ask(t, fmt.Sprintf("a%d@far.example", i), "mx")
	}
	if w.probes != 1 || len(w.asked) != 5 {
		t.Errorf("%d probes in %d call-outs", w.probes, len(w.asked))
	}
	w.at = w.at.Add(24 * time.Hour)
	w.says = all
	if a, _ := w.ask(t, "b@far.example", "mx"); w.probes != 2 || !a.AcceptsAll {
		t.Errorf("a server that has changed: %d probes, %+v", w.probes, a)
	}
}

func TestRefusalByAServerThatTakesTheProbeIsARefusalOfOne(t *testing.T) {
	w := newWorld()
	w.says = no
	w.says.AcceptsAll = true
	_, _ = w.ask(t, "blocked@far.example", "mx")
	w.says = yes
	if a, _ := w.ask(t, "a@far.example", "mx"); a.Outcome.Class != outcome.Delivered {
		t.Errorf("another address: %+v", a)
	}
	if a, _ := w.ask(t, "blocked@far.example", "mx"); a.Outcome.Class != outcome.Failed {
		t.Errorf("the address: %+v", a)
	}
}

func TestLocalPartsKeepTheirCase(t *testing.T) {
	w := newWorld()
	w.says = yes
	_, _ = w.ask(t, "a@far.example", "mx")
	_, _ = w.ask(t, "A@far.example", "mx")
	if len(w.asked) != 2 {
		t.Errorf("asked %v", w.asked)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	w := newWorld()
	w.memory.most = 100
	w.says = yes
	for i := range 500 {
		_, _ = w.ask(t, fmt.Sprintf("a@d%d.example", i), "mx")
	}
	if n := w.memory.Len(); n > 100 {
		t.Errorf("%d entries", n)
	}
	w.says.Outcome.Text = untrusted.From(strings.Repeat("x", 1<<20))
	if a, _ := w.ask(t, "long@far.example", "mx"); a.Outcome.Text.Len() > maxText {
		t.Errorf("%d octets of text", a.Outcome.Text.Len())
	}
}

func TestManyWhoAskAtOnceMakeOneCallOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Limits{KeepYes: time.Hour, PerDomain: 1})
		q := Question{Address: mailaddr.MustParse("a@far.example")}
		release, calls := make(chan struct{}), 0
		call := func(context.Context, Probe) (Answer, error) {
			calls++
			<-release
			return yes, nil
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if a, err := m.Ask(context.Background(), q, time.Now, call); err != nil || a.Outcome.Class != outcome.Delivered {
					t.Errorf("%+v, %v", a, err)
				}
			})
		}
		synctest.Wait()
		other := Question{Address: mailaddr.MustParse("b@far.example")}
		if _, err := m.Ask(context.Background(), other, time.Now, call); !errors.Is(err, ErrBusy) {
			t.Errorf("one too many for the domain: %v", err)
		}
		close(release)
		wg.Wait()
		if calls != 1 {
			t.Errorf("%d call-outs", calls)
		}
		if _, err := m.Ask(context.Background(), other, time.Now, call); err != nil {
			t.Errorf("when there is room again: %v", err)
		}
	})
}

func TestCallOutGoesOnWhenNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Limits{KeepYes: time.Hour, PerDomain: 1})
		q := Question{Address: mailaddr.MustParse("a@far.example")}
		ctx, cancel := context.WithCancel(context.Background())
		release := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = m.Ask(ctx, q, time.Now, func(ctx context.Context, _ Probe) (Answer, error) {
				<-release
				return yes, ctx.Err()
			})
		})
		synctest.Wait()
		cancel()
		if _, err := m.Ask(ctx, q, time.Now, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("who waited for another's: %v", err)
		}
		close(release)
		wg.Wait()
		if a, err := m.Ask(context.Background(), q, time.Now, nil); err != nil || !a.Remembered {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

func TestThoseWhoWaitForACallOutAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Limits{KeepYes: time.Hour, PerDomain: 1})
		q := Question{Address: mailaddr.MustParse("a@far.example")}
		release := make(chan struct{})
		call := func(context.Context, Probe) (Answer, error) {
			<-release
			return yes, nil
		}
		var wg sync.WaitGroup
		for range MaxRunning {
			wg.Go(func() { _, _ = m.Ask(context.Background(), q, time.Now, call) })
		}
		synctest.Wait()
		if _, err := m.Ask(context.Background(), q, time.Now, call); !errors.Is(err, ErrBusy) {
			t.Errorf("one too many: %v", err)
		}
		close(release)
		wg.Wait()
		if m.total != 0 || len(m.running) != 0 || len(m.flights) != 0 {
			t.Errorf("left behind: %d, %v, %d", m.total, m.running, len(m.flights))
		}
	})
}

func TestCallOutsInAllAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Limits{KeepYes: time.Hour, PerDomain: 1})
		release := make(chan struct{})
		call := func(context.Context, Probe) (Answer, error) {
			<-release
			return yes, nil
		}
		var wg sync.WaitGroup
		for i := range MaxRunning {
			wg.Go(func() {
				q := Question{Address: mailaddr.MustParse(fmt.Sprintf("a@d%d.example", i))}
				if _, err := m.Ask(context.Background(), q, time.Now, call); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if _, err := m.Ask(context.Background(), Question{Address: mailaddr.MustParse("a@far.example")}, time.Now, call); !errors.Is(err, ErrBusy) {
			t.Errorf("one too many: %v", err)
		}
		close(release)
		wg.Wait()
	})
}

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/pace"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// paced makes limits where each destination begins with two places of four.
func paced(more settings.Transport) *limits {
	s := settings.Default()
	s.Limits.Deliveries, s.Limits.PerDestination = 100, 4
	more.Driver, more.StartConcurrency = "smtp", 2
	s.Transports = map[string]settings.Transport{"smtp": more}
	return newLimits(s)
}

// pace has the transport of a rig send as is told.
func (r *rig) pace(change func(*settings.Transport)) {
	s := *r.d.settings.Load()
	s.Transports = settings.DefaultTransports()
	for name, t := range s.Transports {
		if name == "smtp" {
			change(&t)
		}
		s.Transports[name] = t.Complete()
	}
	r.d.settings.Store(&s)
	r.d.limits.apply(&s)
}

func tooMany() outcome.Outcome {
	return outcome.Outcome{Class: outcome.Deferred, Kind: outcome.Greeting, Code: 421, Status: smtp.Status{Class: 4, Subject: 7}, Text: untrusted.From("4.7.0 too many connections")}
}

func TestDestinationHasMorePlacesAsItTakesMail(t *testing.T) {
	l := paced(settings.Transport{})
	for want := 2; want <= 4; want++ {
		n := 0
		for taken(t, l, "smtp", "d") {
			n++
		}
		if n != want {
			t.Fatalf("%d places, want %d", n, want)
		}
		for range n {
			l.learn(at("smtp", "d"), func(p *pace.Policy, s *pace.State, _ time.Time) { s.Succeeded(p) })
			l.give(at("smtp", "d"))
		}
	}
}

func TestFailureTakesPlacesFromItsDestinationAlone(t *testing.T) {
	l := paced(settings.Transport{})
	if !taken(t, l, "smtp", "d") {
		t.Fatal("no place")
	}
	l.learn(at("smtp", "d"), func(p *pace.Policy, s *pace.State, now time.Time) { s.Failed(p, now, now) })
	l.give(at("smtp", "d"))
	if !taken(t, l, "smtp", "d") || taken(t, l, "smtp", "d") {
		t.Error("behind a failure it is not one at a time")
	}
	if !taken(t, l, "smtp", "other") || !taken(t, l, "smtp", "other") {
		t.Error("another destination has less, too")
	}
}

func TestPauseSendsAwayWhoWaitsButNotWhoPresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := paced(settings.Transport{Shape: settings.Shape{BackOffPause: settings.Duration(time.Minute)}})
		for range 2 {
			if !taken(t, l, "smtp", "d") {
				t.Fatal("no place")
			}
		}
		type end struct {
			who urgency
			err error
		}
		ended := make(chan end, 2)
		for _, who := range []urgency{usual, pressing} {
			go func() { ended <- end{who, l.take(context.Background(), at("smtp", "d"), who, 0)} }()
			synctest.Wait()
		}
		l.learn(at("smtp", "d"), func(p *pace.Policy, s *pace.State, now time.Time) { s.Paused(p, untrusted.From("421 no"), now) })
		l.give(at("smtp", "d"))
		l.give(at("smtp", "d"))
		for range 2 {
			e := <-ended
			var held *heldError
			if isHeld := errors.As(e.err, &held); isHeld != (e.who == usual) {
				t.Errorf("urgency %d: %v", e.who, e.err)
			} else if isHeld && !held.until.Equal(l.now().Add(time.Minute)) {
				t.Errorf("it is to come again at %v", held.until)
			}
		}
		l.give(at("smtp", "d"))
		if l.waiting != 0 || l.total != 0 {
			t.Errorf("%d wait, %d places are taken", l.waiting, l.total)
		}
		time.Sleep(time.Minute) // of the bubble
		if !taken(t, l, "smtp", "d") || taken(t, l, "smtp", "d") {
			t.Error("behind the pause it is not one at a time")
		}
	})
}

func TestRestingDestinationsAreForgottenAndPausedOnesAreNot(t *testing.T) {
	l := paced(settings.Transport{Shape: settings.Shape{BackOffPause: settings.Duration(time.Hour)}})
	for i := range 3 * leastSweep {
		dest := fmt.Sprint("d", i)
		if !taken(t, l, "smtp", dest) {
			t.Fatal("no place")
		}
		l.learn(at("smtp", dest), func(p *pace.Policy, s *pace.State, now time.Time) {
			if i == 0 {
				s.Paused(p, untrusted.From("421"), now)
			}
		})
		l.give(at("smtp", dest))
	}
	if len(l.dests) != 1 || taken(t, l, "smtp", "d0") {
		t.Errorf("%d are kept", len(l.dests))
	}
}

// A reply that asks for less puts its message off until the end of the pause, and
// those that follow; no host has failed, and none of them was tried in vain.
func TestThrottledDestinationIsPausedAndNotFailed(t *testing.T) {
	r := newRig(t)
	r.pace(func(tr *settings.Transport) {
		tr.BackOffReplies, tr.BackOffPause = []string{"421 4.7.*"}, settings.Duration(time.Hour)
	})
	r.verdict["a@far.example"] = tooMany()
	before := time.Now().Truncate(time.Millisecond) // as what is told of a message
	one := r.first(r.accept("a@far.example"))
	if due := time.UnixMilli(one.Summary.Due); one.State != proto.SettledWaiting || due.Before(before.Add(time.Hour)) || due.After(time.Now().Add(time.Hour)) {
		t.Errorf("%v, due at %v", one.State, due)
	}
	two := r.first(r.accept("b@far.example"))
	if two.State != proto.SettledWaiting || two.Summary.Busy || time.UnixMilli(two.Summary.Due).Before(before.Add(time.Hour)) || two.Summary.GiveUp == 0 {
		t.Errorf("the next message: %v, %+v", two.State, two.Summary)
	}
	if len(r.jobs) != 1 || !r.d.failings.none() {
		t.Errorf("%d jobs were tried; no failure known: %v", len(r.jobs), r.d.failings.none())
	}
	book := r.book(two.Summary.ID)
	if text := book.States[0].Last.Text.ForLog(); !strings.Contains(text, "asked for less") || !strings.Contains(text, "too many") {
		t.Errorf("it says %q", text)
	}
	if other := r.first(r.accept("c@other.example")); other.State != proto.SettledGone {
		t.Errorf("mail for another destination: %v", other.State)
	}
}

// What was held comes again and is held again: that is no attempt, and nothing is
// written of it.
func TestHeldMessageHasNoAttempts(t *testing.T) {
	r := newRig(t)
	r.pace(func(tr *settings.Transport) { tr.Rate = "1 per hour" })
	if first := r.first(r.accept("a@far.example")); first.State != proto.SettledGone {
		t.Fatalf("the first of the hour: %v", first.State)
	}
	held := r.first(r.accept("b@far.example"))
	before := len(r.book(held.Summary.ID).States)
	again := r.d.attemptDeferred(context.Background(), &proto.Due{ID: held.Summary.ID, Action: proto.DueAttempt})
	if again.State != proto.SettledWaiting || again.Summary.Attempts != held.Summary.Attempts || again.Summary.Busy ||
		time.Until(time.UnixMilli(again.Summary.Due)) < 50*time.Minute {
		t.Errorf("%v %+v", again.State, again.Summary)
	}
	if after := len(r.book(held.Summary.ID).States); after != before || len(r.jobs) != 1 {
		t.Errorf("%d states, %d before; %d jobs", after, before, len(r.jobs))
	}
	// Not even in haste: a rate is a promise to somebody.
	if now := r.again(held.Summary.ID, proto.DueAttempt); now.State != proto.SettledWaiting || len(r.jobs) != 1 {
		t.Errorf("tried now: %v, %d jobs", now.State, len(r.jobs))
	}
}

func TestPausedDestinationIsTriedNowWhenAskedFor(t *testing.T) {
	r := newRig(t)
	r.pace(func(tr *settings.Transport) { tr.BackOffReplies = []string{"421"} })
	r.verdict["a@far.example"] = tooMany()
	one := r.first(r.accept("a@far.example"))
	delete(r.verdict, "a@far.example")
	if left := r.again(one.Summary.ID, proto.DueAttempt); left.State != proto.SettledGone {
		t.Errorf("%v", left.State)
	}
}

// A destination that always asks for less must not keep mail for ever.
func TestThrottledMailIsGivenUpWhenItIsOld(t *testing.T) {
	r := newRig(t)
	r.pace(func(tr *settings.Transport) { tr.BackOffReplies = []string{"421"} })
	r.verdict["a@far.example"] = tooMany()
	f := r.accept("a@far.example")
	f.env.Arrived = f.env.Arrived.Add(-100 * 24 * time.Hour)
	if left := r.first(f); left.State != proto.SettledGone || len(r.reports) != 1 {
		t.Errorf("%v, %d reports", left.State, len(r.reports))
	}
}

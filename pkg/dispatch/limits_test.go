package dispatch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"filbert/pkg/settings"
)

func limitsOf(total, perDest int) *limits {
	s := settings.Default()
	s.Limits.Deliveries, s.Limits.PerDestination = total, perDest
	s.Transports = map[string]settings.Transport{"smtp": {Driver: "smtp"}, "narrow": {Driver: "smtp", Concurrency: 1}}
	return newLimits(s)
}

// at is a destination of a transport.
func at(transport, place string) destKey { return destKey{transport: transport, place: place} }

// taken tries to take a place without waiting.
func taken(t *testing.T, l *limits, transport, dest string) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	// A place that is free is given even to one who would not wait.
	return l.take(ctx, at(transport, dest), usual, 0) == nil
}

func TestDestinationAtItsLimitHoldsUpNoOther(t *testing.T) {
	l := limitsOf(10, 2)
	for range 2 {
		if !taken(t, l, "smtp", "slow.example") {
			t.Fatal("no place for the first deliveries")
		}
	}
	if taken(t, l, "smtp", "slow.example") {
		t.Error("a third place for a destination limited to two")
	}
	if !taken(t, l, "smtp", "fast.example") {
		t.Error("another destination is held up")
	}
}

func TestTransportLimitBindsAcrossDestinations(t *testing.T) {
	l := limitsOf(10, 5)
	if !taken(t, l, "narrow", "a.example") || taken(t, l, "narrow", "b.example") {
		t.Error("concurrency = 1 did not bind")
	}
	l.give(at("narrow", "a.example"))
	if !taken(t, l, "narrow", "b.example") {
		t.Error("the place did not come back")
	}
}

func TestPlacesGoRoundBetweenDestinations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limitsOf(1, 1)
		if !taken(t, l, "smtp", "x.example") {
			t.Fatal("no place at all")
		}
		got := make(chan string, 6)
		for _, dest := range []string{"big", "big", "big", "small"} {
			go func() {
				if l.take(context.Background(), at("smtp", dest), usual, 0) == nil {
					got <- dest
					l.give(at("smtp", dest))
				}
			}()
			synctest.Wait() // queue them in this order
		}
		l.give(at("smtp", "x.example"))
		synctest.Wait()
		first, second := <-got, <-got
		if first != "big" || second != "small" {
			t.Errorf("served %s, %s first: the small destination waits behind the big one", first, second)
		}
	})
}

func TestTooManyWaitersIsBusyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limitsOf(1, 1)
		if !taken(t, l, "smtp", "d") {
			t.Fatal("no place")
		}
		ctx, cancel := context.WithCancel(context.Background())
		for range maxWaiting {
			go func() { _ = l.take(ctx, at("smtp", "d"), usual, 0) }()
		}
		synctest.Wait()
		if err := l.take(context.Background(), at("smtp", "d"), usual, 0); !errors.Is(err, errBusy) {
			t.Errorf("got %v, want errBusy", err)
		}
		cancel()
		synctest.Wait()
	})
}

// Flights are bounded: a few slow destinations must not take them all.
func TestSlowDestinationsShareTheWaitingRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limitsOf(1, 1)
		if !taken(t, l, "smtp", "x") {
			t.Fatal("no place")
		}
		ctx, cancel := context.WithCancel(context.Background())
		for i, want := range []int{maxWaiting, crowded - maxWaiting, fairWaiting, fairWaiting} {
			dest := string(rune('a' + i))
			for range maxWaiting {
				go func() { _ = l.take(ctx, at("smtp", dest), usual, 0) }()
			}
			synctest.Wait()
			if n := len(l.dests[at("smtp", dest)].waiting); n != want {
				t.Errorf("destination %s: %d wait, want %d", dest, n, want)
			}
		}
		cancel()
		synctest.Wait()
		if l.waiting != 0 {
			t.Errorf("%d wait after all have left", l.waiting)
		}
	})
}

func TestAbandonedWaitGivesItsPlaceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limitsOf(1, 1)
		if !taken(t, l, "smtp", "d") {
			t.Fatal("no place")
		}
		ctx, cancel := context.WithCancel(context.Background())
		gone := make(chan error, 1)
		go func() { gone <- l.take(ctx, at("smtp", "d"), usual, 0) }()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		l.give(at("smtp", "d"))
		if !taken(t, l, "smtp", "d") {
			t.Error("the place is lost")
		}
		l.give(at("smtp", "d"))
		if len(l.dests) != 0 || l.total != 0 {
			t.Errorf("%d destinations and %d places remain", len(l.dests), l.total)
		}
	})
}

func TestRaisedLimitWakesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limitsOf(5, 1)
		if !taken(t, l, "smtp", "d") {
			t.Fatal("no place")
		}
		got := make(chan error, 1)
		go func() { got <- l.take(context.Background(), at("smtp", "d"), usual, 0) }()
		synctest.Wait()
		s := settings.Default()
		s.Limits.Deliveries, s.Limits.PerDestination = 5, 2
		s.Transports = map[string]settings.Transport{"smtp": {Driver: "smtp"}}
		l.apply(s)
		synctest.Wait()
		select {
		case err := <-got:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("still waiting")
		}
	})
}

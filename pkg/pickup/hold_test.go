package pickup

import (
	"testing"
	"time"
)

func TestMessageIsHandedInForLater(t *testing.T) {
	for _, c := range []struct {
		option, value string
		after         time.Duration // of the call
		at            time.Time
		interval      time.Duration
	}{
		{"--hold-for", "8h", 8 * time.Hour, time.Time{}, 8 * time.Hour},
		{"--hold-for", "2 days", 48 * time.Hour, time.Time{}, 48 * time.Hour},
		{"--hold-for", "1.5s", time.Second, time.Time{}, time.Second},
		{"--hold-until", "2040-12-24T18:00:00+01:00", 0, time.Date(2040, 12, 24, 17, 0, 0, 0, time.UTC), 0},
		{"--hold-until", "2040-12-24 18:00", 0, time.Date(2040, 12, 24, 18, 0, 0, 0, time.Local), 0},
		{"--hold-until", "2040-12-24 18:00:30", 0, time.Date(2040, 12, 24, 18, 0, 30, 0, time.Local), 0},
	} {
		r := newRig(t)
		s := r.start(nil)
		r.want(r.call("sendmail", hello, c.option, c.value, "-i", "bob"), exOK)
		if c.after > 0 {
			c.at = r.now.Add(c.after).Truncate(time.Microsecond)
		}
		if v := s.one().Envelope; !v.ReleaseAt.Equal(c.at) || v.HoldFor != c.interval {
			t.Errorf("%s %q: %v, %s", c.option, c.value, v.ReleaseAt, v.HoldFor)
		}
	}
}

// What is typed by hand is better refused than misunderstood, and nothing goes at once that
// was to wait.
func TestHoldThatCannotBeKeptIsRefused(t *testing.T) {
	for _, args := range [][]string{
		{"--hold-for", "8", "bob"}, {"--hold-for", "0s", "bob"}, {"--hold-for", "-1h", "bob"}, {"--hold-for", "50000 weeks", "bob"}, {"--hold-for"},
		{"--hold-until", "tomorrow", "bob"}, {"--hold-until", "2020-12-24 18:00", "bob"}, {"--hold-until", "2999-12-24 18:00", "bob"},
		{"--hold-for", "8h", "--hold-until", "2040-12-24 18:00", "bob"}, {"--hold-for", "8h", "--hold-for", "8h", "bob"},
		{"--hold-for", "8h", "-bs"}, {"-bs", "--hold-for", "8h"}, {"--hold-for", "8h", "-bp"}, {"--hold", "8h", "bob"},
	} {
		r := newRig(t)
		r.start(nil)
		r.want(r.call("sendmail", hello, args...), exUsage)
	}
}

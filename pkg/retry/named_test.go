package retry

import (
	"testing"
	"time"

	"filbert/pkg/untrusted"
)

func TestTimeThatAServerNamesIsUnderstood(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"4.7.1 Greylisted, please try again in 300 seconds":         5 * time.Minute,
		"Greylisting in action, please come back in 00:04:59":       4*time.Minute + 59*time.Second,
		"try again in 4 minutes":                                    4 * time.Minute,
		"Try again in 1 hour and 5 minutes, or in 3 days":           time.Hour + 5*time.Minute,
		"greylisted for 60s":                                        time.Minute,
		"Please retry in 5 mins. See http://x.example/1 s":          5 * time.Minute,
		"come back in 4:30":                                         4*time.Minute + 30*time.Second,
		"try again later":                                           0,
		"no more than 100 messages in 10 minutes":                   0,
		"mailbox full":                                              0,
		"try again in 999999 hours":                                 0,
		"try again in 0 seconds":                                    0,
		"try again in 300 secondhand bookshops, or 10 minutes away": 10 * time.Minute,
	} {
		got, ok := Named(untrusted.From(text))
		if ok != (want != 0) || ok && got != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
}

func FuzzNamed(f *testing.F) {
	for _, s := range []string{"try again in 300 seconds", "retry 1h 2m 3s", "come back in 99:99:99", "", "again 999999 hours"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := Named(untrusted.From(s)); ok && (d <= 0 || d > maxNamed) {
			t.Errorf("%q: %v", s, d)
		}
	})
}

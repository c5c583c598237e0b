package retry

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"filbert/pkg/untrusted"
)

// Bounds of a time that a server may name.
const (
	maxNamedText = 1000 // octets of a reply that are looked at
	maxNamed     = 24 * time.Hour
)

var (
	// cue is what a reply says that names a time to come again, and no other: "ten
	// messages in 10 minutes" is a limit.
	cue = regexp.MustCompile(`again|retry|gr[ea]ylist|come back|please wait`)
	// quantity is a number and its unit.
	quantity = regexp.MustCompile(`\b([0-9]{1,6})[ -]?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b`)
	// clock is minutes and seconds, or hours, minutes and seconds.
	clock = regexp.MustCompile(`\b(?:([0-9]{1,2}):)?([0-9]{1,2}):([0-9]{2})\b`)
)

// Named is the time after which a server's reply asks us to come again: "greylisted,
// try again in 300 seconds", "in 4 minutes", "in 1 hour 5 minutes", "in 00:04:59".
// There is no standard for it, so that only plain forms are understood.
func Named(text untrusted.Text) (time.Duration, bool) {
	s := strings.ToLower(text.Clip(maxNamedText).ForTerminal())
	if !cue.MatchString(s) {
		return 0, false
	}
	total := sum(s)
	if total == 0 {
		total = onClock(s)
	}
	return total, total > 0 && total <= maxNamed
}

// sum adds up the quantities that stand side by side; those further on are about
// something else.
func sum(s string) time.Duration {
	var total time.Duration
	end := -1
	for _, m := range quantity.FindAllStringSubmatchIndex(s, 3) {
		if end >= 0 {
			if between := strings.Trim(s[end:m[0]], " ,"); between != "" && between != "and" {
				break
			}
		}
		end = m[1]
		n, _ := strconv.Atoi(s[m[2]:m[3]]) // at most six digits
		total += time.Duration(n) * unit(s[m[4]])
	}
	return total
}

func unit(first byte) time.Duration {
	switch first {
	case 'm':
		return time.Minute
	case 'h':
		return time.Hour
	}
	return time.Second
}

func onClock(s string) time.Duration {
	m := clock.FindStringSubmatch(s)
	if m == nil {
		return 0
	}
	total := time.Duration(0)
	for _, digits := range m[1:] {
		n, _ := strconv.Atoi(digits) // none, or at most two digits
		total = total*60 + time.Duration(n)
	}
	return total * time.Second
}

package rig

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// Verdict is what the judge found.
type Verdict struct {
	Violations []Violation
	acked      int // messages
	promised   int // recipients of acknowledged messages
	Found      int // copies
	silent     int // messages that arrived without having been acknowledged
	Duplicates int
	excuses    map[string]int // duplicates by the process that was killed
	// ages is how long before the kill those were served who were served again by
	// the same message: what is young was lost in the moment of the kill.
	ages []time.Duration
}

// Violation is one broken promise, with the words to look for in the log.
type Violation struct {
	What  string
	Names []string
}

// recipient is one recipient of one attempt.
type recipient struct{ token, rcpt string }

// Excuse says what explains that a recipient got a message once more, "" if
// nothing does.
type Excuse func(a *Attempt, before, after Copy) (why string, at time.Time)

// Judge holds what arrived against what was promised. It is pure.
func Judge(attempts []*Attempt, copies []Copy, excuse Excuse) *Verdict {
	v := &Verdict{excuses: map[string]int{}, Found: len(copies)}
	known := map[string]*Attempt{}
	for _, a := range attempts {
		known[a.token] = a
	}
	got := map[recipient][]Copy{}
	for _, c := range copies {
		if c.wrong != "" {
			v.broken(fmt.Sprintf("%s: %s (%s)", c.token, c.wrong, c.place), c.token, c.id)
		}
		a := known[c.token]
		if a == nil || !slices.Contains(expand(a.to), c.rcpt) {
			v.broken(fmt.Sprintf("a message %q has reached <%s>, to whom nobody sent it (%s)", c.token, c.rcpt, c.place), c.token, c.id)
			continue
		}
		if c.kind != whereOf(c.rcpt) {
			v.broken(fmt.Sprintf("%s: <%s> got what should have become of somebody else (%s)", c.token, c.rcpt, c.place), c.token, c.id)
		}
		key := recipient{c.token, c.rcpt}
		got[key] = append(got[key], c)
	}
	for _, a := range attempts {
		v.attempt(a, got, excuse)
	}
	return v
}

func (v *Verdict) broken(what string, names ...string) {
	v.Violations = append(v.Violations, Violation{what, names})
}

// attempt judges all copies of one message.
func (v *Verdict) attempt(a *Attempt, got map[recipient][]Copy, excuse Excuse) {
	to := expand(a.to)
	reached := 0
	var missing []string
	for _, r := range to {
		list := got[recipient{a.token, r}]
		if len(list) == 0 {
			missing = append(missing, r)
			continue
		}
		reached++
		v.several(a, list, excuse)
	}
	head := fmt.Sprintf("%s (%s, %d octets, %s: %s)", a.token, a.how, len(a.body), a.fate, strings.TrimSpace(a.answer))
	switch {
	case a.fate == acked:
		v.acked++
		v.promised += len(to)
		if len(missing) > 0 {
			v.broken(fmt.Sprintf("%s: LOST for <%s>", head, strings.Join(missing, ">, <")), a.token, idOf(a.answer))
		}
	case a.fate == never && reached > 0:
		v.broken(fmt.Sprintf("%s: it has reached %d of %d recipients", head, reached, len(to)), a.token)
	case a.fate == unknown && reached > 0:
		v.silent++
		if len(missing) > 0 {
			v.broken(fmt.Sprintf("%s: it was ours, as others got it, and is LOST for <%s>", head, strings.Join(missing, ">, <")), a.token)
		}
	}
}

// several excuses each copy but the first, or not.
func (v *Verdict) several(a *Attempt, list []Copy, excuse Excuse) {
	sort.Slice(list, func(i, j int) bool { return list[i].at.Before(list[j].at) })
	for i, c := range list[1:] {
		v.Duplicates++
		before := list[i]
		if before.unsaid {
			v.excuses["the remote server did not say that it had taken it"]++
			continue
		}
		why, at := excuse(a, before, c)
		if why == "" {
			v.broken(fmt.Sprintf("%s: <%s> got another copy %s after the first, and no kill explains it",
				a.token, c.rcpt, c.at.Sub(before.at).Round(time.Millisecond)), a.token, before.id, c.id)
			continue
		}
		v.excuses[why]++
		if before.id == c.id {
			v.ages = append(v.ages, max(0, at.Sub(before.at)))
		}
	}
}

const (
	// clocks is how far a file's time, which the kernel takes from its last
	// tick, may lie from the time of a kill.
	clocks = 20 * time.Millisecond
	// momentum is how long after a kill those who worked for the dead may still
	// bring a delivery to its end: they had passed the last point at which they
	// ask whether anybody waits for it.
	momentum = 500 * time.Millisecond
)

// ByKills excuses with a kill after which nobody could know any more that the
// first copy had been made.
func ByKills(kills []Killed) Excuse {
	return func(a *Attempt, before, after Copy) (string, time.Time) { return guilty(a, before, after, kills) }
}

func guilty(a *Attempt, before, after Copy, kills []Killed) (why string, at time.Time) {
	names := []string{"master", "dispatch", "local-deliver", "local-child"}
	if after.kind == toRemote {
		names = []string{"master", "dispatch", "smtp-client"}
	}
	since := before.at.Add(-momentum)
	switch {
	case before.id == after.id:
	case after.kind == toReport:
		// Two reports: dispatch or bounce did not hear that the first was made.
		// It may have come last.
		names, since = append(names, "bounce", "cleanup"), a.began
	case a.how == "sendmail":
		// Two messages of the suite: pickup did not hear cleanup's answer, or
		// did not get to remove from the maildrop what was handed in.
		names, since = append(names, "cleanup", "pickup"), a.began
	}
	for _, k := range kills {
		if k.At.After(since.Add(-clocks)) && k.At.Before(after.at.Add(clocks)) && slices.Contains(names, k.Name) {
			return "the end of " + k.Name, k.At
		}
	}
	return "", time.Time{}
}

// idOf is the queue id in "... queued as ID".
func idOf(answer string) string {
	_, id, _ := strings.Cut(answer, "queued as ")
	return strings.TrimSpace(id)
}

// String is the verdict for people.
func (v *Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d messages acknowledged for %d recipients, %d copies found; %d messages arrived whose answer was lost",
		v.acked, v.promised, v.Found, v.silent)
	fmt.Fprintf(&b, "; %d duplicates (%.3f %%)", v.Duplicates, 100*float64(v.Duplicates)/float64(max(1, v.Found)))
	names := make([]string, 0, len(v.excuses))
	for n := range v.excuses {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool { return v.excuses[names[i]] > v.excuses[names[j]] })
	for _, n := range names {
		fmt.Fprintf(&b, "\n      %5d: %s", v.excuses[n], n)
	}
	if n := len(v.ages); n > 0 {
		slices.Sort(v.ages)
		fmt.Fprintf(&b, "\n      served again who was served before the kill for %s (median), %s (nine of ten), %s (longest)",
			v.ages[n/2].Round(time.Millisecond), v.ages[n*9/10].Round(time.Millisecond), v.ages[n-1].Round(time.Millisecond))
	}
	return b.String()
}

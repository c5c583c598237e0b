package pace

import (
	"fmt"
	"time"

	"filbert/pkg/untrusted"
)

// View is a state as people see it.
type View struct {
	Width, Most int // deliveries at once: now, and ever
	Rate        Rate
	Used        int // of the rate, in the time that runs
	Hold        Hold
	Until       time.Time      // the end of what holds it
	Reply       untrusted.Text // the one that paused it, in a pause
	Day, Days   int            // of a warm-up, from 1; Days = 0: there is none
}

// View tells of a state at a moment.
func (s *State) View(p *Policy, now time.Time) View {
	v := View{Width: s.Width(p), Most: p.most, Rate: p.bucket(now).rate}
	if v.Hold, v.Until = s.Look(p, now); v.Hold == Free {
		v.Until = time.Time{}
	}
	if n, lasts := p.warm.at(now); lasts {
		v.Day, v.Days = n+1, p.warm.days
	}
	if v.Hold == ByPause {
		v.Reply = s.reply
	}
	if age := now.Sub(s.counted); v.Rate.N > 0 && age >= 0 && age < v.Rate.Per {
		v.Used = s.count
	}
	return v
}

// tally counts the deliveries that began in the time that runs, for View.
func (s *State) tally(per time.Duration, now time.Time) {
	if age := now.Sub(s.counted); age < 0 || age >= per {
		s.counted, s.count = now, 0
	}
	s.count++
}

// String writes a rate as it is read.
func (r Rate) String() string {
	for name, per := range units {
		if per == r.Per {
			return fmt.Sprintf("%d per %s", r.N, name)
		}
	}
	return ""
}

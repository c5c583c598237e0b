package retry

import (
	"math"
	"time"

	"filbert/pkg/settings"
)

// phases are the waits of a rule. What the wait is depends on the time since the
// first failure alone, not on who tried how often: an administrator's attempt in
// between, or a message more, makes nobody wait longer.
type phases []phase

type phase struct {
	begins, until time.Duration
	first, most   time.Duration // the same: it does not grow
	factor        float64
}

func compilePhases(list []settings.Phase) phases {
	var out phases
	begins := time.Duration(0)
	for _, s := range list {
		p := phase{begins: begins, until: s.Until.D(), first: s.Every.D(), most: s.Every.D(), factor: 1}
		if s.Every == 0 {
			p.first, p.most, p.factor = s.From.D(), s.Max.D(), s.Factor
		}
		out = append(out, p)
		begins = p.until
	}
	return out
}

// at is the phase at a time since the first failure; behind the last, that one.
func (l phases) at(elapsed time.Duration) *phase {
	for i := range l {
		if elapsed < l[i].until {
			return &l[i]
		}
	}
	return &l[len(l)-1]
}

// wait is the time to the next attempt when one fails this long after the first.
func (l phases) wait(elapsed time.Duration) time.Duration {
	elapsed = max(elapsed, 0)
	p := l.at(elapsed)
	if p.factor <= 1 || p.first >= p.most {
		return min(p.first, p.most)
	}
	// With waits of first, first*factor, ... attempt n of the phase comes at
	// first*(factor^n-1)/(factor-1). One a trifle early counts as the one it is
	// meant for.
	in := float64(elapsed-p.begins) / float64(p.first)
	n := math.Floor(math.Log1p(in*(p.factor-1))/math.Log(p.factor) + 1e-6)
	w := float64(p.first) * math.Pow(p.factor, n)
	if math.IsNaN(w) || w >= float64(p.most) {
		return p.most
	}
	return time.Duration(w)
}

// end is when the last phase ends.
func (l phases) end() time.Duration { return l[len(l)-1].until }

// longest is the longest wait of all phases.
func (l phases) longest() time.Duration {
	most := time.Duration(0)
	for i := range l {
		most = max(most, l[i].most)
	}
	return most
}

// maxCounted bounds the attempts of a message that are counted.
const maxCounted = 1000

// after is the time since the first failure at which attempt n fails if each falls
// on its time: for what has no state but a number of attempts.
func (l phases) after(n int) time.Duration {
	elapsed := time.Duration(0)
	for range min(max(n, 1), maxCounted) - 1 {
		if elapsed >= l.end() {
			break
		}
		elapsed += max(l.wait(elapsed), time.Millisecond)
	}
	return elapsed
}

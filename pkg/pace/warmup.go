package pace

import (
	"errors"
	"fmt"
	"math"
	"time"

	"filbert/pkg/settings"
)

// ErrWarmUp is wrapped by the errors of a warm-up that can't be read.
var ErrWarmUp = errors.New("no warm-up")

const (
	day = 24 * time.Hour
	// MaxWarmUp is the longest warm-up, in days: beyond it a mistyped number is likelier.
	MaxWarmUp = 365
)

// warmUp is a ceiling that grows day by day, by the same factor each day, from the first
// day's until it is the rate itself.
type warmUp struct {
	from        time.Time
	days        int
	first, last float64 // a day
}

// readWarmUp makes the ceiling under a rate. Without a rate there is nothing to grow to.
func readWarmUp(w *settings.WarmUp, full Rate) (*warmUp, error) {
	if w == nil {
		return nil, nil
	}
	from, err := time.Parse(time.DateOnly, w.From)
	if err != nil {
		return nil, fmt.Errorf("%w: from %q is no date", ErrWarmUp, w.From)
	}
	if w.Days < 1 || w.Days > MaxWarmUp {
		return nil, fmt.Errorf("%w: %d days", ErrWarmUp, w.Days)
	}
	first, err := ParseRate(w.First)
	if err != nil {
		return nil, err
	}
	if first.N == 0 || full.N == 0 {
		return nil, fmt.Errorf("%w: without a rate", ErrWarmUp)
	}
	return &warmUp{from: from, days: w.Days, first: min(first.Daily(), full.Daily()), last: full.Daily()}, nil
}

// Daily is how many a day the rate lets through.
func (r Rate) Daily() float64 {
	if r.N == 0 {
		return 0
	}
	return float64(r.N) * float64(day/r.Per)
}

// at is the number of a day, from 0, and whether the warm-up lasts. Before its first
// day it is as on that.
func (w *warmUp) at(now time.Time) (n int, lasts bool) {
	if w == nil {
		return 0, false
	}
	n = int(max(0, now.Sub(w.from)) / day)
	return n, n < w.days
}

// ceiling is how many may begin within any 24 hours that end on a day.
func (w *warmUp) ceiling(n int) Rate {
	most := w.first * math.Pow(w.last/w.first, float64(n)/float64(w.days))
	return Rate{N: max(1, int(most)), Per: day}
}

// bucket is a rate at a moment, in the measures of State.
type bucket struct {
	rate       Rate // in force; N = 0: any number
	gap, slack time.Duration
}

// bucket takes of the rate and the warm-up the slower one in each measure, so that both
// hold.
func (p *Policy) bucket(now time.Time) bucket {
	b := bucket{rate: p.rate}
	if p.rate.N == 0 {
		return b
	}
	b.gap, b.slack = p.rate.gap(), p.rate.slack()
	n, lasts := p.warm.at(now)
	if !lasts {
		return b
	}
	b.rate = p.warm.ceiling(n)
	burst := min(b.rate.burst(), p.rate.burst())
	apart := time.Duration(b.rate.N - burst + 1)
	b.gap = max(b.gap, (day+apart-1)/apart)
	b.slack = time.Duration(burst-1) * b.gap
	return b
}

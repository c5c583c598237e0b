package pace

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrRate is wrapped by the errors of ParseRate.
var ErrRate = errors.New("no rate")

// maxRate keeps the spacing of what a rate lets through above the clock's grain.
const maxRate = 1_000_000

// Rate is how many deliveries may begin within a time; the zero value is no limit.
type Rate struct {
	N   int
	Per time.Duration
}

var units = map[string]time.Duration{
	"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour,
}

// ParseRate reads "100 per minute"; "" is no limit.
func ParseRate(text string) (Rate, error) {
	if text == "" {
		return Rate{}, nil
	}
	words := strings.Fields(strings.ToLower(text))
	if len(words) != 3 || words[1] != "per" {
		return Rate{}, fmt.Errorf("%w: %q", ErrRate, text)
	}
	n, err := strconv.Atoi(words[0])
	unit := units[words[2]]
	if err != nil || unit == 0 || n < 1 || n > maxRate || words[0][0] == '+' {
		return Rate{}, fmt.Errorf("%w: %q", ErrRate, text)
	}
	return Rate{N: n, Per: unit}, nil
}

// burst is how many may begin at one moment after a rest: a tenth, so that a few
// messages need not wait where the rate is low.
func (r Rate) burst() int { return max(1, r.N/10) }

// gap is the time between two of those that follow. In any Per there are then at most
// burst + (N-burst+1) - 1 = N.
func (r Rate) gap() time.Duration {
	n := time.Duration(r.N - r.burst() + 1)
	return (r.Per + n - 1) / n
}

// slack is by how much the bucket may be ahead of the clock for one more to begin.
func (r Rate) slack() time.Duration { return time.Duration(r.burst()-1) * r.gap() }

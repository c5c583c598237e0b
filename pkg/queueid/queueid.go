// Package queueid names messages. A queue id is 55 bits: the millisecond in
// which the message was accepted (41 bits, counted from 2020-01-01 UTC, good
// until 2089) and a counter (14 bits). People and the spool see it as 11
// characters of Crockford base 32.
//
// It promises cleanup, which alone makes ids, that those of one Generator
// increase strictly, also when the clock goes back; and everyone that ids sort
// in the order of acceptance, as numbers and as text, and that what Parse
// accepts is safe as a file name. It refuses ids of another length or
// alphabet, and the zero id, which means "none".
//
// After a crash the next Generator must be given the greatest id found in the
// spool, so that a clock that was set back cannot repeat one.
package queueid

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Length is the number of characters of an id's text.
const Length = 11

const (
	counterBits = 14
	timeBits    = 41
	maxID       = ID(1)<<(timeBits+counterBits) - 1
	// epoch is 2020-01-01 00:00:00 UTC in milliseconds of Unix time.
	epoch = 1_577_836_800_000
	// alphabet is Crockford's: no I, L, O, U, in increasing ASCII order, so
	// that text sorts as the numbers do.
	alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

// ErrBadID is wrapped by the errors of Parse.
var ErrBadID = errors.New("not a queue id")

// ID is a queue id. The zero value means "none".
type ID uint64

// String is the 11-character form, in upper case.
func (id ID) String() string {
	var b [Length]byte
	for i := Length - 1; i >= 0; i-- {
		b[i] = alphabet[id&31]
		id >>= 5
	}
	return string(b[:])
}

// Parse reads the 11-character form in either case. It does not read I, L and
// O as digits: an id has one spelling (but for case), so that a name found in
// the spool is the name that was written there.
func Parse(s string) (ID, error) {
	if len(s) != Length {
		return 0, fmt.Errorf("%w: %d characters instead of %d", ErrBadID, len(s), Length)
	}
	var id ID
	for i := range Length {
		v := digit(s[i])
		if v < 0 {
			return 0, fmt.Errorf("%w: character %d", ErrBadID, i+1)
		}
		id = id<<5 | ID(v)
	}
	if id == 0 {
		return 0, fmt.Errorf("%w: zero", ErrBadID)
	}
	return id, nil
}

func digit(c byte) int {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	for i := range len(alphabet) {
		if alphabet[i] == c {
			return i
		}
	}
	return -1
}

// Time is the millisecond in which the id was made, in UTC.
func (id ID) Time() time.Time {
	return time.UnixMilli(epoch + int64(id>>counterBits)).UTC()
}

// FromTime is the least id of the millisecond of t: what to compare ids with to
// find those of a time.
func FromTime(t time.Time) ID {
	return ID(min(max(t.UnixMilli()-epoch, 0), 1<<timeBits-1)) << counterBits
}

// IsZero reports whether the id means "none".
func (id ID) IsZero() bool { return id == 0 }

// Shard is the name of the folder, one of 1,024, that keeps the message's
// files. It is the 7th and 8th character: they count steps of 2 ms, so that
// messages that arrive one after the other fall into different folders. The
// last characters would not do, as the counter is nearly always 0.
func (id ID) Shard() string { return id.String()[6:8] }

// Generator makes ids. It may be used by several goroutines.
type Generator struct {
	mu   sync.Mutex
	last ID
}

// NewGenerator makes ids greater than last, the greatest that is known.
func NewGenerator(last ID) *Generator { return &Generator{last: min(last, maxID)} }

// Next is the next id: that of the time now when it is greater than all
// before, else the one after the last. A counter that is full runs over into
// the next millisecond.
//
// Invariant: each result is greater than the one before (until the 41 bits
// are used up in 2089).
func (g *Generator) Next(now time.Time) ID {
	ms := min(max(now.UnixMilli()-epoch, 0), 1<<timeBits-1)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = min(max(ID(ms)<<counterBits, g.last+1), maxID)
	return g.last
}

package lookup

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Bounds of what a table gives. Ours.
const (
	MaxKey    = 1000     // octets of a key; a longer one is in no table
	MaxValues = 100_000  // of one key
	MaxValue  = 64 << 10 // octets of one
	MaxAnswer = 16 << 20 // octets of all values of one key
)

// Table is a table that can be asked for a key, wherever it is: the one
// interface of all lookups.
//
// A table may be asked by many goroutines.
type Table interface {
	// Find gives the values of a key. An error is always temporary: the table could
	// not be asked, or it said what can't be used; what was looked for may be there.
	Find(ctx context.Context, key string) (Answer, error)
	// Close ends connections and files. No Find may be under way.
	Close()
}

// Answer is what a table has for a key.
type Answer struct {
	Found  bool
	Values []string // in the table's order; a key may be there without any
	// Where is the file and line, or the server, that it came from; for people.
	Where string
}

// ErrUnusable is wrapped by the errors about values that a table must not give:
// too many, too long, with control characters, not UTF-8.
var ErrUnusable = errors.New("the table gave what can't be used")

// Usable checks the values of an answer: what a database gives goes into
// addresses, paths and headers, and is held to the same rules as a line of a
// text file.
func Usable(values []string) error {
	if len(values) > MaxValues {
		return fmt.Errorf("%w: more than %d values", ErrUnusable, MaxValues)
	}
	total := 0
	for _, v := range values {
		if total += len(v); len(v) > MaxValue || total > MaxAnswer {
			return fmt.Errorf("%w: a value is too long", ErrUnusable)
		}
		if !utf8.ValidString(v) {
			return fmt.Errorf("%w: a value is not UTF-8", ErrUnusable)
		}
		for i := range len(v) {
			if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
				return fmt.Errorf("%w: a value has a control character in it", ErrUnusable)
			}
		}
	}
	return nil
}

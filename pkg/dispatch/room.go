package dispatch

import (
	"context"
	"errors"
	"sync"
)

const (
	// freeLeaves is how many leaves a flight has without asking for room: nearly
	// all messages have fewer.
	freeLeaves = 2000
	// maxLeaves bounds those of all flights that have more, about a kilobyte each.
	// One message that is as large as an envelope may be has to fit.
	maxLeaves = 200_000
)

// errNoRoom: the recipients of other messages fill the memory. Nothing was tried.
var errNoRoom = errors.New("too many recipients are being served already")

// room is the memory for the leaves of messages with very many recipients. Fifty
// messages to a large list at once must not take more than there is: dispatch
// would be killed, find them in the journal when it is back, and be killed again.
type room struct {
	mu      sync.Mutex
	used    int
	waiting []*roomSeeker // in turn
}

type roomSeeker struct {
	n    int
	turn chan struct{}
}

// take waits for room for n leaves, in turn. give must follow.
func (r *room) take(ctx context.Context, n int) error {
	if r.tryTake(n) {
		return nil
	}
	r.mu.Lock()
	s := &roomSeeker{n, make(chan struct{})}
	r.waiting = append(r.waiting, s)
	r.serveLocked() // what there was may have come back since
	r.mu.Unlock()
	select {
	case <-s.turn:
		return nil
	case <-ctx.Done():
		return r.leave(s)
	}
}

// tryTake is take for one who must not wait, as he has room already: two of them
// would wait for each other.
func (r *room) tryTake(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) > 0 || r.used+n > maxLeaves {
		return false
	}
	r.used += n
	return true
}

func (r *room) leave(s *roomSeeker) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, w := range r.waiting {
		if w == s {
			r.waiting = append(r.waiting[:i], r.waiting[i+1:]...)
			r.serveLocked()
			return errNoRoom
		}
	}
	return nil // it came at the same moment
}

// give returns room.
func (r *room) give(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= n
	r.serveLocked()
}

func (r *room) serveLocked() {
	for len(r.waiting) > 0 && r.used+r.waiting[0].n <= maxLeaves {
		r.used += r.waiting[0].n
		close(r.waiting[0].turn)
		r.waiting = r.waiting[1:]
	}
}

package localdeliver

import (
	"context"
	"sync"
)

// turns lets one at a time have a mailbox. Mailboxes of different names do not
// wait for each other: one that is locked must not hold up those of others whose
// deliveries the same user makes.
type turns struct {
	mu sync.Mutex
	of map[string]*turn
}

type turn struct {
	place chan struct{} // holds one
	users int           // who has it or waits, under turns.mu
}

// take waits for the turn and gives how to end it.
func (t *turns) take(ctx context.Context, name string) (done func(), err error) {
	t.mu.Lock()
	if t.of == nil {
		t.of = map[string]*turn{}
	}
	one := t.of[name]
	if one == nil {
		one = &turn{place: make(chan struct{}, 1)}
		t.of[name] = one
	}
	one.users++
	t.mu.Unlock()
	select {
	case one.place <- struct{}{}:
		return func() { <-one.place; t.leave(name, one) }, nil
	case <-ctx.Done():
		t.leave(name, one)
		return nil, errLocked
	}
}

func (t *turns) leave(name string, one *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one.users--; one.users == 0 {
		delete(t.of, name)
	}
}

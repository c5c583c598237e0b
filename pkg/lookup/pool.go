package lookup

import (
	"context"
	"errors"
	"sync"
	"time"
)

// idleFor is how long a connection that nobody uses is kept. Ours; most servers
// keep them longer.
const idleFor = time.Minute

// ErrBroken is wrapped by the errors after which a connection can't be used
// again: it ended, or what came over it was not the protocol.
var ErrBroken = errors.New("the connection broke")

// Pool keeps connections to one server, for protocols whose library keeps none.
type Pool[C any] struct {
	dial  func(context.Context) (C, error)
	end   func(C)
	slots chan struct{} // one in it for each connection in use

	mu   sync.Mutex
	idle []resting[C] // the last used at the end
}

type resting[C any] struct {
	conn  C
	until time.Time
}

// NewPool keeps at most so many connections, made by dial and ended by end.
func NewPool[C any](connections int, dial func(context.Context) (C, error), end func(C)) *Pool[C] {
	return &Pool[C]{dial: dial, end: end, slots: make(chan struct{}, connections)}
}

// Do lends a connection to use. One that broke is replaced, and when it was an
// old one, use is called once more with a new one: the server may have ended it
// long ago.
func (p *Pool[C]) Do(ctx context.Context, use func(context.Context, C) error) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return errors.Join(errors.New("wait for a connection"), ctx.Err())
	}
	defer func() { <-p.slots }()
	if c, ok := p.take(time.Now()); ok {
		err := p.lend(ctx, c, use)
		if !errors.Is(err, ErrBroken) || ctx.Err() != nil {
			return err
		}
		p.Close() // the others are hardly better
	}
	c, err := p.dial(ctx)
	if err != nil {
		return err
	}
	return p.lend(ctx, c, use)
}

func (p *Pool[C]) lend(ctx context.Context, c C, use func(context.Context, C) error) error {
	err := use(ctx, c)
	if errors.Is(err, ErrBroken) {
		p.end(c)
		return err
	}
	p.mu.Lock()
	p.idle = append(p.idle, resting[C]{c, time.Now().Add(idleFor)})
	p.mu.Unlock()
	return err
}

// take gives the connection that was used last, if it is young enough.
func (p *Pool[C]) take(now time.Time) (C, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var none C
	n := len(p.idle)
	if n == 0 {
		return none, false
	}
	last := p.idle[n-1]
	p.idle = p.idle[:n-1]
	if now.After(last.until) {
		p.end(last.conn)
		for _, r := range p.idle { // older still
			p.end(r.conn)
		}
		p.idle = nil
		return none, false
	}
	return last.conn, true
}

// Close ends the connections that nobody uses.
func (p *Pool[C]) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.idle {
		p.end(r.conn)
	}
	p.idle = nil
}

package clock

import (
	"sync"
	"sync/atomic"
	"time"
)

// Clock is the machine's clock, moved ahead. Nil is the machine's clock itself.
type Clock struct {
	ahead atomic.Int64 // nanoseconds

	mu     sync.Mutex
	timers map[*Timer]struct{} // those that run
	moved  []func()
}

// New makes a clock that can be moved, and has been by ahead.
func New(ahead time.Duration) *Clock {
	c := &Clock{timers: map[*Timer]struct{}{}}
	c.ahead.Store(int64(max(0, ahead)))
	return c
}

// Now is the time.
func (c *Clock) Now() time.Time {
	now := time.Now()
	if c == nil {
		return now
	}
	if ahead := c.ahead.Load(); ahead != 0 {
		// With its monotonic reading, which moves along.
		return now.Add(time.Duration(ahead))
	}
	return now
}

// Ahead is how far the clock is ahead of the machine's.
func (c *Clock) Ahead() time.Duration {
	if c == nil {
		return 0
	}
	return time.Duration(c.ahead.Load())
}

// Movable tells whether the clock can be moved.
func (c *Clock) Movable() bool { return c != nil }

// MoveTo makes the clock be ahead by so much; it never goes back. What is due then is
// under way when it returns, in goroutines of its own.
//
// Requires: the clock is movable.
func (c *Clock) MoveTo(ahead time.Duration) {
	c.mu.Lock()
	if int64(ahead) <= c.ahead.Load() {
		c.mu.Unlock()
		return
	}
	c.ahead.Store(int64(ahead))
	now := c.Now()
	for t := range c.timers {
		t.armLocked(t.at.Sub(now))
	}
	moved := c.moved
	c.mu.Unlock()
	for _, f := range moved {
		f()
	}
}

// OnMove has f called after each move, for those who do things at intervals.
func (c *Clock) OnMove(f func()) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved = append(c.moved, f)
}

// After is a channel that gets the time after d.
func (c *Clock) After(d time.Duration) <-chan time.Time {
	if c == nil {
		return time.After(d)
	}
	return c.NewTimer(d).C
}

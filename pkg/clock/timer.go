package clock

import "time"

// Timer is like [time.Timer], by a Clock: after Stop or Reset no earlier time comes
// through C.
type Timer struct {
	// C gets the time; nil with AfterFunc.
	C <-chan time.Time

	plain *time.Timer // of a clock that does not move; else nil

	clock *Clock
	c     chan time.Time
	f     func()
	// Guarded by clock.mu.
	at    time.Time
	turn  uint // counts what inner was made for: a late one is told from the present one
	inner *time.Timer
}

// NewTimer makes a timer that fires after d.
func (c *Clock) NewTimer(d time.Duration) *Timer {
	if c == nil {
		plain := time.NewTimer(d)
		return &Timer{C: plain.C, plain: plain}
	}
	ch := make(chan time.Time, 1)
	t := &Timer{C: ch, c: ch, clock: c}
	t.Reset(d)
	return t
}

// AfterFunc makes a timer that calls f, in a goroutine of its own, after d.
func (c *Clock) AfterFunc(d time.Duration, f func()) *Timer {
	if c == nil {
		return &Timer{plain: time.AfterFunc(d, f)}
	}
	t := &Timer{clock: c, f: f}
	t.Reset(d)
	return t
}

// Reset has the timer fire after d from now, whatever it did before. It tells whether
// it ran.
func (t *Timer) Reset(d time.Duration) bool {
	if t.plain != nil {
		return t.plain.Reset(d)
	}
	c := t.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	ran := t.stopLocked()
	t.at = c.Now().Add(d)
	c.timers[t] = struct{}{}
	t.armLocked(d)
	return ran
}

// Stop keeps the timer from firing. It tells whether it ran.
func (t *Timer) Stop() bool {
	if t.plain != nil {
		return t.plain.Stop()
	}
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.stopLocked()
}

func (t *Timer) stopLocked() bool {
	_, ran := t.clock.timers[t]
	delete(t.clock.timers, t)
	t.turn++
	if t.inner != nil {
		t.inner.Stop()
	}
	select {
	case <-t.c:
	default:
	}
	return ran
}

// armLocked waits for d by the machine's clock.
func (t *Timer) armLocked(d time.Duration) {
	if t.inner != nil {
		t.inner.Stop()
	}
	t.turn++
	turn := t.turn
	t.inner = time.AfterFunc(max(0, d), func() { t.fire(turn) })
}

func (t *Timer) fire(turn uint) {
	c := t.clock
	c.mu.Lock()
	if _, runs := c.timers[t]; !runs || t.turn != turn {
		c.mu.Unlock()
		return
	}
	delete(c.timers, t)
	if t.f == nil {
		t.c <- c.Now() // there is room: stopLocked has emptied it, and it fires once
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	t.f()
}

package localdeliver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// idleLimit is how long a child without jobs is kept for the next one.
	idleLimit = time.Second
	// ageLimit is how long a child gets new jobs: a change in the password
	// file reaches even a user whose child is never idle.
	ageLimit = time.Minute
	// jobsPerChild bounds what one child does at a time, so that one hanging file
	// system can't hold all deliveries. It is no lower because one child serves
	// all mailboxes of a system that keeps them under one uid, and what is under way
	// together shares the flushes of the disk.
	jobsPerChild = 64
)

// errBusy means that the limits left no room in time.
var errBusy = errors.New("no delivery process is free")

// errStuck means that processes of a user hang, in a file server that is away
// say, and could not even be killed. More of them would take the places of all
// other users.
var errStuck = errors.New("earlier processes of this user hang and have not ended yet")

// work is what kind of place a job takes in a child.
type work int

const (
	workMailbox work = iota
	workCommand      // limits.per_user bounds these
)

// pool keeps the children, one for each key.
type pool struct {
	start func(plan) (*child, error)

	mu       sync.Mutex
	total    int                 // most children
	commands int                 // most commands of one child
	live     map[childKey]*child // who gets new jobs
	stuck    map[string]hanging  // by user: those that were killed and have not ended
	count    int                 // all that run, also those not in live any more
	changed  chan struct{}       // closed and replaced when a place may be free
	closed   bool
	running  sync.WaitGroup
}

// hanging says how many children of a user hang, and since when there are as many.
type hanging struct {
	children int
	since    time.Time
}

func newPool(start func(plan) (*child, error)) *pool {
	return &pool{start: start, total: 1, commands: 1, live: map[childKey]*child{}, stuck: map[string]hanging{}, changed: make(chan struct{})}
}

// limit sets how many children there may be, and commands in each.
func (p *pool) limit(total, commands int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total, p.commands = max(total, 1), max(commands, 1)
	p.wakeLocked()
}

// acquire gives the child for p with a place in it for w, starting one where
// needed. Who got a child calls release.
func (p *pool) acquire(ctx context.Context, pl plan, w work) (*child, error) {
	for {
		p.mu.Lock()
		c, err := p.tryLocked(pl, w)
		wait := p.changed
		p.mu.Unlock()
		if c != nil || err != nil {
			return c, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, p.why(pl)
		}
	}
}

// why is the reason that there was no place in time.
func (p *pool) why(pl plan) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stuck[pl.key.user].children >= p.commands {
		return errStuck
	}
	return errBusy
}

// tryLocked gives a child, an error, or neither: wait.
func (p *pool) tryLocked(pl plan, w work) (*child, error) {
	if p.closed {
		return nil, errBusy
	}
	c := p.live[pl.key]
	if c != nil && c.ended() {
		delete(p.live, pl.key)
		c = nil
	}
	if c == nil {
		if h := p.stuck[pl.key.user]; h.children >= p.commands {
			if time.Since(h.since) < killWait {
				return nil, nil // one that does end makes room within moments
			}
			// Who waits holds up his caller's other questions.
			return nil, errStuck
		}
		if p.count >= p.total {
			p.retireIdleLocked()
			return nil, nil
		}
		var err error
		// Under the lock: fork and exec of a small program, about 2 ms, and a
		// burst for one user must not start ten.
		if c, err = p.start(pl); err != nil {
			return nil, fmt.Errorf("start a delivery process: %w", err)
		}
		p.addLocked(pl.key, c)
	}
	if c.jobs >= jobsPerChild || w == workCommand && c.commands >= p.commands {
		return nil, nil
	}
	c.jobs++
	if w == workCommand {
		c.commands++
	}
	c.idle.Stop()
	return c, nil
}

func (p *pool) addLocked(key childKey, c *child) {
	p.live[key] = c
	p.count++
	c.key = key
	c.born = time.Now()
	c.idle = time.AfterFunc(idleLimit, func() { p.expire(c) })
	p.running.Go(func() {
		c.wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		c.idle.Stop()
		c.gone = true
		p.dropLocked(c)
		p.unstickLocked(c)
		p.count--
		p.wakeLocked()
	})
}

// dropLocked makes sure that c gets no new job.
func (p *pool) dropLocked(c *child) {
	if p.live[c.key] == c {
		delete(p.live, c.key)
	}
}

// unstickLocked forgets that c hangs: it has ended.
func (p *pool) unstickLocked(c *child) {
	if !c.stuck {
		return
	}
	c.stuck = false
	h := p.stuck[c.key.user]
	if h.children--; h.children == 0 {
		delete(p.stuck, c.key.user)
		return
	}
	p.stuck[c.key.user] = h
}

func (p *pool) wakeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// release gives a place back.
func (p *pool) release(c *child, w work) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.jobs--
	if w == workCommand {
		c.commands--
	}
	if time.Since(c.born) > ageLimit || p.closed {
		p.dropLocked(c)
	}
	if c.jobs == 0 {
		if p.live[c.key] == c {
			c.idle.Reset(idleLimit)
		} else {
			c.retire()
		}
	}
	p.wakeLocked()
}

// abandon gives c no more jobs and ends it at once.
func (p *pool) abandon(c *child) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked(c)
	if !c.stuck && !c.gone {
		c.stuck = true
		p.stuck[c.key.user] = hanging{p.stuck[c.key.user].children + 1, time.Now()}
	}
	c.kill()
}

// callOff gives c no more jobs and lets it put nothing more into mailboxes. A
// command that it runs goes on, and with it all else in c.
func (p *pool) callOff(c *child) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked(c)
	if c.commands == 0 {
		c.retire()
	}
}

// expire ends a child that has been idle. The check is made again under the
// lock: a job may have come while the timer fired.
func (p *pool) expire(c *child) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.jobs == 0 {
		p.dropLocked(c)
		c.retire()
	}
}

// retireIdleLocked makes room for another user's child by ending one that only
// waits for a next job. Its end wakes who waits.
func (p *pool) retireIdleLocked() {
	for _, c := range p.live {
		if c.jobs == 0 {
			p.dropLocked(c)
			c.retire()
			return
		}
	}
}

// close lets the jobs under way finish within ctx and ends all children.
func (p *pool) close(ctx context.Context) {
	p.mu.Lock()
	p.closed = true
	for _, c := range p.live {
		if c.jobs == 0 {
			p.dropLocked(c)
			c.retire()
		}
	}
	p.wakeLocked()
	p.mu.Unlock()
	done := make(chan struct{})
	go func() { p.running.Wait(); close(done) }()
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	p.mu.Lock()
	for _, c := range p.live {
		c.kill()
	}
	p.mu.Unlock()
	// A child that waits for a dead file server cannot be killed; it must not
	// keep the suite from stopping.
	select {
	case <-done:
	case <-time.After(killWait):
	}
}

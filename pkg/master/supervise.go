package master

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/proto"
)

// supervisor keeps one service running.
//
// Invariant: there is at most one child that is neither draining nor ended,
// current; run starts it, except that replace swaps it for another.
type supervisor struct {
	m   *Master
	def definition

	ended chan struct{} // closed when run has returned

	mu        sync.Mutex
	changed   chan struct{} // closed, and made anew, at every change below
	current   *child        // started, perhaps not ready; nil: none
	next      *child        // being brought up to replace current
	old       map[*child]struct{}
	wanted    bool
	replacing bool
	stopping  bool
	restarts  int
	lastExit  string
	nextStart time.Time // in back-off
}

func newSupervisor(m *Master, def definition) *supervisor {
	return &supervisor{
		m:       m,
		def:     def,
		ended:   make(chan struct{}),
		changed: make(chan struct{}),
		old:     map[*child]struct{}{},
		wanted:  def.start == atStart,
	}
}

// change alters the state and wakes who waits for it.
func (s *supervisor) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait blocks until f, called with mu, is true.
func (s *supervisor) wait(ctx context.Context, f func() bool) error {
	for {
		s.mu.Lock()
		ok, ch := f(), s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// run starts the service when it is wanted, and again whenever it ends, until
// it is to stop.
func (s *supervisor) run() {
	defer close(s.ended)
	var pace pace
	for {
		_ = s.wait(context.Background(), func() bool { return s.wanted || s.stopping })
		if s.isStopping() {
			return
		}
		began := time.Now()
		if err := s.startOnce(); err != nil {
			s.m.log.Emit(event.TroubleOf(0, "starting "+string(s.def.name), err))
		}
		s.untilGone()
		if s.isStopping() {
			return
		}
		s.pause(s.m.opts.pause(&pace, time.Since(began)))
	}
}

func (s *supervisor) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// startOnce starts a process and waits until it serves.
func (s *supervisor) startOnce() error {
	c, err := s.m.spawn(s.def.name)
	if err != nil {
		return err
	}
	stopped := false
	s.change(func() {
		s.current = c
		s.nextStart = time.Time{}
		stopped = s.stopping
	})
	if stopped {
		c.kill() // whoever stops the service may have seen none to stop
	}
	start, files := s.m.startFrame(s.def)
	err = s.m.bringUp(c, start, files)
	s.change(func() {}) // it is ready, or gone
	return err
}

// untilGone waits until the current child has ended and no replacement takes
// its place.
func (s *supervisor) untilGone() {
	for {
		_ = s.wait(context.Background(), func() bool { return !s.replacing })
		s.mu.Lock()
		c := s.current
		s.mu.Unlock()
		if c == nil {
			return
		}
		<-c.exited
		gone := false
		s.change(func() {
			if s.current == c && !s.replacing {
				s.current, gone = nil, true
				s.lastExit = c.status
			}
		})
		if gone {
			return
		}
	}
}

// pause waits before the next start.
func (s *supervisor) pause(d time.Duration) {
	s.change(func() {
		s.restarts++
		s.nextStart = s.m.clock.Now().Add(d)
	})
	if d == 0 {
		return
	}
	s.m.log.Emit(event.Child{Did: "restarting", Name: string(s.def.name), Backoff: d})
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	_ = s.wait(ctx, func() bool { return s.stopping })
}

var errStopping = errors.New("the suite is stopping")

// ready returns the serving child, starting it if need be.
func (s *supervisor) ready(ctx context.Context) (*child, error) {
	s.mu.Lock()
	wake := !s.wanted
	s.mu.Unlock()
	if wake {
		s.change(func() { s.wanted = true })
	}
	var c *child
	var stopping bool
	err := s.wait(ctx, func() bool {
		stopping = s.stopping
		if s.current != nil && s.current.isReady() {
			c = s.current
		}
		return stopping || c != nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s does not start: %w", s.def.name, err)
	case stopping:
		return nil, errStopping
	}
	return c, nil
}

// replace starts a successor beside the current child and, once it serves,
// drains the predecessor. On an error the predecessor goes on.
func (s *supervisor) replace(bound time.Duration) error {
	skip := false
	s.change(func() {
		if skip = s.stopping || s.current == nil || !s.current.isReady(); !skip {
			s.replacing = true
		}
	})
	if skip {
		return nil // what is not up starts with the new configuration anyway
	}
	defer s.change(func() { s.replacing, s.next = false, nil })
	c, err := s.m.spawn(s.def.name)
	if err != nil {
		return err
	}
	s.change(func() { s.next = c })
	start, files := s.m.startFrame(s.def)
	if err := s.m.bringUp(c, start, files); err != nil {
		return err
	}
	var before *child
	s.change(func() {
		if s.stopping {
			return
		}
		before = s.current
		s.current = c
		s.old[before] = struct{}{}
	})
	if before == nil {
		c.kill()
		<-c.exited
		return errStopping
	}
	s.m.log.Emit(event.Child{Did: "replaced", Name: string(s.def.name), PID: before.pid()})
	before.drain(bound, true)
	go func() {
		before.await(bound, nil)
		s.change(func() { delete(s.old, before) })
	}()
	return nil
}

// stop drains all children of the service and waits for their end.
func (s *supervisor) stop(bound time.Duration, hurry <-chan struct{}) {
	var children []*child
	s.change(func() {
		s.stopping = true
		if s.next != nil {
			s.next.kill()
		}
		if s.current != nil {
			children = append(children, s.current)
		}
		for c := range s.old {
			children = append(children, c)
		}
	})
	var wg sync.WaitGroup
	for _, c := range children {
		c.drain(bound, false)
		wg.Add(1)
		go func() {
			defer wg.Done()
			c.await(bound, hurry)
		}()
	}
	wg.Wait()
	<-s.ended
}

// each calls f for the living children, the current one first.
func (s *supervisor) each(f func(*child)) {
	s.mu.Lock()
	var list []*child
	if s.current != nil {
		list = append(list, s.current)
	}
	for c := range s.old {
		list = append(list, c)
	}
	s.mu.Unlock()
	for _, c := range list {
		f(c)
	}
}

// reconfigure hands the current child a new configuration, and tells whether it
// has to be replaced for it.
func (s *supervisor) reconfigure(ctx context.Context, m *proto.Reconfigure) (outgrown bool, err error) {
	s.mu.Lock()
	c := s.current
	s.mu.Unlock()
	if c == nil {
		return false, nil
	}
	var answer proto.Reconfigured
	if err := c.conn.Call(ctx, m, &answer); err != nil {
		return false, fmt.Errorf("reconfigure %s: %w", s.def.name, err)
	}
	return answer.Outgrown, nil
}

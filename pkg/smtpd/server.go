package smtpd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"filbert/pkg/clock"
	"filbert/pkg/event"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

const (
	// contentMemory bounds the messages that are in memory on their way in.
	contentMemory = 256 << 20
	// acceptPause is how long accepting rests when there are no descriptors:
	// trying again at once would only burn the processor.
	acceptPause = 100 * time.Millisecond
	// drainGrace is how long a stopping process lets clients be idle.
	drainGrace = 2 * time.Second
)

// server is what all dialogues of the process share.
type server struct {
	ctx     context.Context // done when everything must end
	cleanup cleaner
	router  caller // nil in tests that verify nobody
	qmgr    caller // nil in tests without ETRN
	log     *event.Log
	board   *service.Scoreboard
	figures figures
	now     func() time.Time // for deadlines
	clock   *clock.Clock     // for orders
	grace   time.Duration    // drainGrace, but for tests

	room     atomic.Pointer[room]
	draining atomic.Uint32
	memory   budget
	refusals *refusals
	orders   orders
	doors    []*door // all are there before the first accepts

	accepting sync.WaitGroup
	running   sync.WaitGroup
}

// door is one listener.
type door struct {
	listener net.Listener
	ledger   *ledger
	site     atomic.Pointer[site] // replaced at reload, for those who come
}

func newServer(ctx context.Context, cleanup cleaner, log *event.Log, board *service.Scoreboard) *server {
	s := &server{ctx: ctx, cleanup: cleanup, log: log, board: board, now: time.Now, grace: drainGrace}
	s.memory.most = contentMemory
	s.refusals = newRefusals(log, time.Now)
	s.room.Store(&room{up: true, accepting: true, free: math.MaxInt64})
	return s
}

func (s *server) roomNow() room {
	r := *s.room.Load()
	r.suspended = s.suspended()
	return r
}

func (s *server) drainingNow() draining { return draining(s.draining.Load()) }

func (s *server) trouble(doing string, err error) { s.log.Emit(event.TroubleOf(0, doing, err)) }

// add makes a door of a listener.
func (s *server) add(l net.Listener, e *site) *door {
	d := &door{listener: l, ledger: newLedger(e.port.MaxConnections, e.port.MaxPerClient)}
	d.site.Store(e)
	s.doors = append(s.doors, d)
	return d
}

// start begins to accept everywhere. The channel gets the errors that end it.
func (s *server) start() <-chan error {
	failed := make(chan error, len(s.doors))
	for _, d := range s.doors {
		s.accepting.Go(func() {
			if err := s.accept(d); err != nil {
				failed <- fmt.Errorf("accept on %s: %w", d.site.Load().port.Name, err)
			}
		})
	}
	return failed
}

// accept takes connections until the listener is closed.
func (s *server) accept(d *door) error {
	for {
		conn, err := d.listener.Accept()
		if err == nil {
			s.greet(d, conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return nil // by drain
		}
		if !passing(err) {
			return err
		}
		if !s.rest(acceptPause) {
			return nil
		}
	}
}

// passing tells errors of accept that will go away from those that will not.
func passing(err error) bool {
	for _, e := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EPROTO, syscall.EINTR,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// rest pauses. It is false when everything must end.
func (s *server) rest(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// greet begins a dialogue, or turns the client away.
func (s *server) greet(door *door, conn net.Conn) {
	d := newDialogue(s, door.ledger, door.site.Load(), conn)
	switch door.ledger.admit(d, s.now()) {
	case tooManyInAll:
		s.turnAway(d, "Too many connections")
	case tooManyFromClient:
		s.turnAway(d, "Too many connections from your address")
	case tooMuchLoad:
		s.turnAway(d, "This machine is busy; please try again later")
	case admitted:
		s.running.Add(1)
		go func() {
			defer s.running.Done()
			d.run()
		}()
	}
}

// turnAway replies and closes at once. It holds up nobody: the send buffer of
// a new connection has room for a line.
func (s *server) turnAway(d *dialogue, why string) {
	r := smtp.NewReply(421, smtp.Status{Class: 4, Subject: 7}, why)
	conn := d.leash.conn
	_ = conn.SetWriteDeadline(s.now().Add(lastWords))
	_, _ = conn.Write(r.Bytes())
	conn.Close()
	s.refusals.show(event.Refused{
		Client: d.client,
		Port:   d.session.site.port.Name,
		Stage:  "connect",
		Code:   r.Code,
		Why:    untrusted.From(why),
	})
}

// drain ends all dialogues, in the way that costs clients least. While a
// successor serves and the suite goes on they continue as before, for a while.
// Then who has a message under way finishes it, who has just come may send one,
// who only holds a connection is told to come again. It returns when all have
// ended, which ctx hastens.
func (s *server) drain(stopping <-chan struct{}) {
	for _, d := range s.doors {
		d.listener.Close()
	}
	s.accepting.Wait() // from here on nobody comes
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	if s.await(ended, stopping, s.asBefore()) {
		return
	}
	s.draining.Store(uint32(drainServed))
	if s.await(ended, nil, s.grace) {
		return
	}
	s.draining.Store(uint32(drainWaiting))
	s.each(func(d *dialogue) { d.leash.pullIdle(causeDrain) })
	if s.await(ended, nil, 0) {
		return
	}
	s.draining.Store(uint32(drainAll))
	s.each(func(d *dialogue) { d.leash.pull(causeDrain) })
	<-ended
}

// await waits for the first of: the end of all dialogues, when it is true, the
// end of the server's time, a signal, and a time-out unless that is 0.
func (s *server) await(ended, signal <-chan struct{}, timeout time.Duration) bool {
	var late <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-ended:
		return true
	case <-late:
	case <-signal:
	case <-s.ctx.Done():
	}
	return false
}

// asBefore is how long dialogues go on as before in a process that has been
// replaced: half of the time that it has, so that the other half is left for
// ending them gently.
func (s *server) asBefore() time.Duration {
	least := time.Minute
	for _, d := range s.doors {
		least = min(least, d.site.Load().limits.DrainTimeout.D()/2)
	}
	return max(least, time.Nanosecond)
}

func (s *server) each(f func(*dialogue)) {
	for _, d := range s.doors {
		d.ledger.each(f)
	}
}

// capacity is cleanup's notice.
func (s *server) capacity(c *proto.Capacity) {
	s.setRoom(func(r *room) { r.up, r.accepting, r.free = true, c.Accepting, c.Free })
}

// cleanupUp and cleanupDown follow the connection to cleanup. What a lost one
// said of its room does not hold for the next.
func (s *server) cleanupUp() { s.setRoom(func(r *room) { r.up = true }) }

func (s *server) cleanupDown() {
	s.setRoom(func(r *room) { *r = room{up: false, accepting: true, free: math.MaxInt64} })
}

// setRoom changes what is known of cleanup.
func (s *server) setRoom(change func(*room)) {
	for {
		before := s.room.Load()
		after := *before
		change(&after)
		if s.room.CompareAndSwap(before, &after) {
			return
		}
	}
}

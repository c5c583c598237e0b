package main

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"
)

// load says what to send where.
type load struct {
	addr     string
	n        int // messages
	sessions int // in parallel
	persist  bool
	size     int // bytes of a message, with its header
	from     string
	run      string
	rcpt     func(seq int) []string
	retries  int
	every    time.Duration // between the beginnings of two messages; 0 = as fast as it goes
}

// sending is what came of it.
type sending struct {
	start, lastAck time.Time
	sent, failed   int
	retried        int64
	err            string    // the first one
	latency        []float64 // ms from connect (or MAIL) to the 250 after the dot
}

// sender is one of the sessions.
type sender struct {
	*load
	next    *atomic.Int64
	retried *atomic.Int64
	began   time.Time
	c       *client
	buf     bytes.Buffer
	own     sending
}

// send sends all messages of a load, and returns when the last is taken or
// given up.
func send(l load) sending {
	if l.from == "" {
		l.from = "sender@src.test"
	}
	if l.retries == 0 {
		l.retries = 20
	}
	var next, retried atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	total := sending{start: time.Now()}
	for range l.sessions {
		wg.Go(func() {
			s := &sender{load: &l, next: &next, retried: &retried, began: total.start}
			s.work()
			mu.Lock()
			defer mu.Unlock()
			total.add(&s.own)
		})
	}
	wg.Wait()
	total.retried = retried.Load()
	return total
}

func (t *sending) add(o *sending) {
	t.sent += o.sent
	t.failed += o.failed
	if o.lastAck.After(t.lastAck) {
		t.lastAck = o.lastAck
	}
	t.latency = append(t.latency, o.latency...)
	if t.err == "" {
		t.err = o.err
	}
}

func (s *sender) work() {
	for {
		seq := int(s.next.Add(1)) - 1
		if seq >= s.n {
			break
		}
		time.Sleep(time.Until(s.began.Add(time.Duration(seq) * s.every)))
		if s.one(seq) {
			s.own.sent++
		} else {
			s.own.failed++
		}
	}
	if s.c != nil {
		s.c.quit()
	}
}

// one sends a message, with retries.
func (s *sender) one(seq int) bool {
	for range s.retries {
		start := time.Now()
		err := s.try(seq)
		if err == nil {
			s.own.lastAck = time.Now()
			s.own.latency = append(s.own.latency, float64(s.own.lastAck.Sub(start).Microseconds())/1000)
			return true
		}
		if s.own.err == "" {
			s.own.err = err.Error()
		}
		if s.retried.Add(1) > int64(s.n+1000) {
			s.next.Store(int64(s.n)) // nothing works: give up
			return false
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

func (s *sender) try(seq int) error {
	var err error
	if s.c == nil {
		if s.c, err = dial(s.addr, "", 300*time.Second); err != nil {
			return err
		}
	}
	if err = s.c.message(s.load, seq, &s.buf); err != nil {
		s.c.conn.Close()
		s.c = nil
		return err
	}
	if !s.persist {
		s.c.quit()
		s.c = nil
	}
	return nil
}

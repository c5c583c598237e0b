package tables

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"filbert/pkg/lookup"
	"filbert/pkg/tally"
)

// Times of the shield. Ours.
const (
	// rest is how long nobody asks a server that failed.
	rest = time.Second
	// slow is what a failure may take and still be an answer to this question
	// alone (a key that the server can't stomach): a server that is down for
	// everyone makes people wait.
	slow = 250 * time.Millisecond
)

// shieldSettings are those of one server.
type shieldSettings struct {
	timeout  time.Duration // of one question
	cacheFor time.Duration // 0 = each question is asked, except for what is being asked at the time
	now      func() time.Time

	known, asked, spared *tally.Figure
}

// shield stands between those who ask and a server.
type shield struct {
	table lookup.Table
	set   shieldSettings
	under sync.WaitGroup // questions

	mu     sync.Mutex
	cache  cache
	flying map[string]*question
	failed error // of the last question, while it keeps others from asking
	until  time.Time
	era    int // questions of an earlier one are not kept
	closed bool
}

// question is one that a server was asked and has not answered.
type question struct {
	done   chan struct{} // closed when the rest is filled in
	answer lookup.Answer
	err    error
}

func newShield(t lookup.Table, set shieldSettings) *shield {
	return &shield{table: t, set: set, flying: make(map[string]*question)}
}

// find gives what is known, or asks.
func (s *shield) find(ctx context.Context, key string) (lookup.Answer, error) {
	s.mu.Lock()
	now := s.set.now()
	if a, ok := s.cache.get(key, now); ok {
		s.mu.Unlock()
		s.set.known.Add(1)
		return a, nil
	}
	q, asked := s.flying[key]
	switch {
	case s.closed:
		s.mu.Unlock()
		return lookup.Answer{}, net.ErrClosed
	case asked:
	case s.failed != nil && now.Before(s.until):
		err := s.failed
		s.mu.Unlock()
		s.set.spared.Add(1)
		return lookup.Answer{}, fmt.Errorf("not asked, because it failed a moment ago: %w", err)
	default:
		q = &question{done: make(chan struct{})}
		s.flying[key] = q
		s.under.Add(1)
		// It belongs to nobody: when the one who asked first goes away, others wait
		// for the answer.
		go s.ask(context.WithoutCancel(ctx), key, q, s.era)
	}
	s.mu.Unlock()
	select {
	case <-q.done:
		return q.answer, q.err
	case <-ctx.Done():
		return lookup.Answer{}, ctx.Err()
	}
}

// ask asks the server.
func (s *shield) ask(ctx context.Context, key string, q *question, era int) {
	defer s.under.Done()
	ctx, cancel := context.WithTimeout(ctx, s.set.timeout)
	defer cancel()
	began := s.set.now()
	q.answer, q.err = checked(s.table.Find(ctx, key))
	s.set.asked.Took(s.set.now().Sub(began))
	if q.err != nil {
		q.answer = lookup.Answer{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.set.now()
	delete(s.flying, key)
	switch {
	case q.err == nil:
		s.failed = nil
		if era == s.era {
			s.cache.put(key, q.answer, now.Add(s.set.cacheFor), now)
		}
	case isServers(q.err) || now.Sub(began) >= slow:
		s.failed, s.until = q.err, now.Add(rest)
	}
	close(q.done)
}

// isServers reports whether an error is about the server and not about the
// question: the next question would fail in the same way.
func isServers(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, lookup.ErrBroken)
}

// forget drops what was answered.
func (s *shield) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache = cache{}
	s.failed = nil
	s.era++
}

// close waits for the questions under way, each of which has its time-out.
func (s *shield) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.under.Wait()
}

package smtpclient

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// freshness says what kind of session a job wants.
type freshness uint8

const (
	anySession freshness = iota
	newSession           // the last kept one was dead: do not try the next
)

var errNoPlace = errors.New("no connection to this server became free in time")

// A pool shares the sessions among the jobs: a session that a job is done with
// goes to the one that has waited longest for that server, or is kept for a
// while.
//
// Invariant: for each key, sessions in use, idle and being opened are at most
// ConnectionsPerHost, and nobody waits while one is idle.
type pool struct {
	mu     sync.Mutex
	sites  map[key]*site
	kept   int // idle ones of all sites
	closed bool
}

// site is what the pool knows of one key.
type site struct {
	open    int        // in use, idle, or being opened
	idle    []*session // the one used last at the end
	waiting []chan *session
}

func newPool() *pool { return &pool{sites: make(map[key]*site)} }

// take gives a session for k, or nil: then the caller holds a place, opens one
// himself, and gives or drops it. It waits while all places are taken, until
// the time end.
func (p *pool) take(ctx context.Context, k key, limit int, want freshness, end time.Time) (*session, error) {
	for {
		p.mu.Lock()
		st := p.site(k)
		if want == newSession && st.open < limit {
			st.open++
			p.mu.Unlock()
			return nil, nil
		}
		s := p.popIdle(st)
		switch {
		case s == nil && st.open < limit:
			st.open++
			p.mu.Unlock()
			return nil, nil
		case s == nil:
			ch := make(chan *session, 1)
			st.waiting = append(st.waiting, ch)
			p.mu.Unlock()
			return p.wait(ctx, k, ch, end)
		}
		p.mu.Unlock()
		if want == anySession && s.usable(time.Now()) {
			return s, nil
		}
		s.quit()
		p.drop(k)
	}
}

// wait is the part of take that waits for its turn.
func (p *pool) wait(ctx context.Context, k key, ch chan *session, end time.Time) (*session, error) {
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case s := <-ch:
		if s == nil || s.usable(time.Now()) {
			return s, nil
		}
		s.quit() // its place is ours
		return nil, nil
	case <-ctx.Done():
	case <-timer.C:
	}
	p.mu.Lock()
	st := p.site(k)
	if i := slices.Index(st.waiting, ch); i >= 0 {
		st.waiting = slices.Delete(st.waiting, i, i+1)
		p.forget(k, st)
		p.mu.Unlock()
		return nil, errNoPlace
	}
	p.mu.Unlock()
	// It was our turn a moment ago: pass it on.
	if s := <-ch; s != nil {
		p.give(s)
	} else {
		p.drop(k)
	}
	return nil, errNoPlace
}

// give takes a session back.
func (p *pool) give(s *session) {
	now := time.Now()
	age := now.Sub(s.opened)
	conf := &s.target.route.conf
	rest := min(conf.ConnectionIdle.D(), conf.ConnectionMaxAge.D()-age)
	if s.dead || s.uses >= s.maxUses() || rest <= 0 || s.clean() != nil {
		s.quit()
		p.drop(s.key)
		return
	}
	p.mu.Lock()
	st := p.site(s.key)
	if len(st.waiting) > 0 {
		ch := st.waiting[0]
		st.waiting = slices.Delete(st.waiting, 0, 1)
		p.mu.Unlock()
		ch <- s
		return
	}
	if p.closed || p.kept >= maxKept {
		p.mu.Unlock()
		s.quit()
		p.drop(s.key)
		return
	}
	s.row.Set("idle", "", "")
	st.idle = append(st.idle, s)
	p.kept++
	if s.timer == nil {
		s.timer = time.AfterFunc(rest, func() { p.expire(s) })
	} else {
		s.timer.Reset(rest)
	}
	p.mu.Unlock()
}

// drop gives a place back without a session.
func (p *pool) drop(k key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.site(k)
	if len(st.waiting) > 0 {
		st.waiting[0] <- nil
		st.waiting = slices.Delete(st.waiting, 0, 1)
		return
	}
	st.open--
	p.forget(k, st)
}

// expire ends a session whose idle time is over.
func (p *pool) expire(s *session) {
	p.mu.Lock()
	st := p.site(s.key)
	i := slices.Index(st.idle, s)
	if i < 0 { // somebody was faster
		p.forget(s.key, st)
		p.mu.Unlock()
		return
	}
	st.idle = slices.Delete(st.idle, i, i+1)
	p.kept--
	p.mu.Unlock()
	s.quit()
	p.drop(s.key)
}

// hasIdle tells whether a session for k is kept.
func (p *pool) hasIdle(k key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.sites[k]
	return st != nil && len(st.idle) > 0
}

// close ends what is idle, and keeps nothing from now on.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.flush()
}

// flush ends what is idle.
func (p *pool) flush() {
	p.mu.Lock()
	var all []*session
	for _, st := range p.sites {
		for s := p.popIdle(st); s != nil; s = p.popIdle(st) {
			all = append(all, s)
		}
	}
	p.mu.Unlock()
	for _, s := range all {
		s.quit()
		p.drop(s.key)
	}
}

// site is the site of k. The caller holds mu.
func (p *pool) site(k key) *site {
	st := p.sites[k]
	if st == nil {
		st = &site{}
		p.sites[k] = st
	}
	return st
}

// forget removes a site with nothing in it. The caller holds mu.
func (p *pool) forget(k key, st *site) {
	if st.open == 0 && len(st.waiting) == 0 {
		delete(p.sites, k)
	}
}

// popIdle takes the session that was used last, as the others may then grow
// old enough to end. The caller holds mu.
func (p *pool) popIdle(st *site) *session {
	n := len(st.idle)
	if n == 0 {
		return nil
	}
	s := st.idle[n-1]
	st.idle[n-1] = nil
	st.idle = st.idle[:n-1]
	p.kept--
	s.timer.Stop()
	return s
}

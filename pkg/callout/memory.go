package callout

import (
	"context"
	"errors"
	"sync"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
)

// Bounds of our own.
const (
	// MaxEntries is how many answers are remembered, some 500 octets each.
	MaxEntries = 50_000
	// MaxRunning bounds the call-outs under way and those who wait for them in all:
	// router answers a few hundred questions at a time, and those that need no
	// call-out must not wait for a flood of those that do.
	MaxRunning = 200
	// keepUnsure is how long a server that could not tell is left alone about an
	// address: it is down, or it greylists, and then to hurry is no use.
	keepUnsure = time.Minute
	// maxText is how much is kept of a server's words.
	maxText = 300
)

// ErrBusy means that there are as many call-outs as may be.
var ErrBusy = errors.New("too many call-outs are under way")

// Limits are what the configuration says.
type Limits struct {
	KeepYes, KeepNo time.Duration
	PerDomain       int // call-outs under way for one domain
}

// Question is an address, and where one asks about it.
type Question struct {
	Address   mailaddr.Address
	Transport string
	Servers   string // the hosts, in an order that does not change
}

// Answer is what a server said.
type Answer struct {
	Outcome outcome.Outcome
	// AcceptsAll: it takes mail for addresses that nobody can have, so that a yes
	// proves nothing.
	AcceptsAll bool
	// Remembered: the server was not asked now.
	Remembered bool
}

// Call asks a server. With probe it is asked first about an address that nobody
// can have; without, that was found out before. An error, and an outcome that is
// Deferred, say that nothing was found out.
type Call func(ctx context.Context, probe Probe) (Answer, error)

// Probe says whether to find out if the server takes everything.
type Probe uint8

// The probes.
const (
	NoProbe   Probe = iota // it is known to tell addresses apart
	WithProbe              // it is not known
)

// Memory is what is remembered. It may be used by several goroutines.
type Memory struct {
	mu      sync.Mutex
	limits  Limits
	most    int
	entries map[key]entry
	changed map[key]struct{} // of entries: not yet taken by TakeChanged
	forgets uint64
	flights map[Question]*flight
	running map[string]int // by domain
	total   int            // who calls out, and who waits
}

// key is an address at a server, or with an empty local part all addresses of a
// domain there.
type key struct {
	local, domain, transport, servers string
}

type entry struct {
	answer  Answer
	asked   time.Time
	expires time.Time
}

// flight is a call-out under way, and who else waits for it.
type flight struct {
	done   chan struct{}
	answer Answer
	err    error
}

// New makes an empty memory.
func New(l Limits) *Memory {
	return &Memory{
		limits: l, most: MaxEntries,
		entries: make(map[key]entry), changed: make(map[key]struct{}), flights: make(map[Question]*flight), running: make(map[string]int),
	}
}

// SetLimits puts new limits in force. What is remembered already keeps its time.
func (m *Memory) SetLimits(l Limits) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limits = l
}

// Len is how many answers are remembered.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}

// Ask answers a question from memory, or from a call-out that is under way, or by
// a new one. A call-out that it begins goes on when ctx ends, so that the next who
// asks gets the answer: call has to end by itself. Errors are ErrBusy, those of
// call, and that of ctx for who waited for the call-out of another.
func (m *Memory) Ask(ctx context.Context, q Question, now func() time.Time, call Call) (Answer, error) {
	m.mu.Lock()
	if a, ok := m.recallLocked(q, now()); ok {
		m.mu.Unlock()
		return a, nil
	}
	f := m.flights[q]
	if f == nil {
		probe, err := m.beginLocked(q, now())
		if err != nil {
			m.mu.Unlock()
			return Answer{}, err
		}
		f = &flight{done: make(chan struct{})}
		m.flights[q] = f
		m.mu.Unlock()
		m.fly(ctx, q, f, now, probe, call)
		return f.answer, f.err
	}
	if m.total >= MaxRunning {
		m.mu.Unlock()
		return Answer{}, ErrBusy
	}
	m.total++
	m.mu.Unlock()
	defer m.stopWaiting()
	select {
	case <-f.done:
		return f.answer, f.err
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
}

func (m *Memory) stopWaiting() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total--
}

// fly makes the call-out. Who began it stays with it, even if nobody waits for him
// any more: no goroutine is left behind.
func (m *Memory) fly(ctx context.Context, q Question, f *flight, now func() time.Time, probe Probe, call Call) {
	f.err = errors.New("the call-out broke off")
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if f.err == nil {
			m.learnLocked(q, f.answer, probe, now())
		}
		m.endLocked(q)
		close(f.done)
	}()
	f.answer, f.err = call(context.WithoutCancel(ctx), probe)
	f.answer.Outcome.Text = f.answer.Outcome.Text.Clip(maxText)
}

func (m *Memory) beginLocked(q Question, now time.Time) (Probe, error) {
	domain := q.Address.Domain()
	if m.total >= MaxRunning || m.running[domain] >= max(1, m.limits.PerDomain) {
		return NoProbe, ErrBusy
	}
	m.total++
	m.running[domain]++
	if e, ok := m.entries[domainKey(q)]; ok && now.Before(e.expires) {
		return NoProbe, nil
	}
	return WithProbe, nil
}

func (m *Memory) endLocked(q Question) {
	domain := q.Address.Domain()
	m.total--
	if m.running[domain]--; m.running[domain] <= 0 {
		delete(m.running, domain)
	}
	delete(m.flights, q)
}

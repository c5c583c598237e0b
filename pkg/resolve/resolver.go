package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"filbert/pkg/tally"
)

// Bounds of the work under way and of what is kept. Ours.
const (
	maxUnderWay = 256              // lookups at once, over all callers
	rounds      = 2                // times that each server is asked
	suspectFor  = 30 * time.Second // a server that did not answer is asked last
	leastTTL    = time.Second      // RFC 9520, section 3.2, for failures; calm for TTL 0
	maxQuery    = 30 * time.Second // where no caller set a time-out
)

// Options of a Resolver. Zero values are replaced by those in brackets.
type Options struct {
	Servers     []netip.AddrPort
	Timeout     time.Duration    // of one query to one server [5s]
	Deadline    time.Duration    // of a whole lookup [30s]
	CacheSize   int              // most answers kept [10000]
	MaxTTL      time.Duration    // longest that an answer is kept [1h]
	NegativeTTL time.Duration    // longest that an absence is kept [5m]
	Now         func() time.Time // [time.Now]
	// Known and Asked count the answers from the cache, and the lookups.
	Known, Asked *tally.Figure
}

func (o *Options) fill() {
	setDefault(&o.Timeout, 5*time.Second)
	setDefault(&o.Deadline, 30*time.Second)
	setDefault(&o.CacheSize, 10_000)
	setDefault(&o.MaxTTL, time.Hour)
	setDefault(&o.NegativeTTL, 5*time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Resolver answers questions. All methods may be called by many goroutines.
type Resolver struct {
	opts   Options
	cache  *cache
	slots  chan struct{}
	life   context.Context
	end    context.CancelFunc
	flying sync.WaitGroup

	mu      sync.Mutex
	flights map[question]*flight
	suspect map[netip.AddrPort]time.Time // until when
	closed  bool
}

// flight is a lookup under way; done is closed when e is set.
type flight struct {
	done chan struct{}
	e    *entry
}

// New makes a resolver; it opens nothing before it is asked.
func New(o Options) (*Resolver, error) {
	o.fill()
	if len(o.Servers) == 0 {
		return nil, errors.New("resolve: no name server: set dns.servers, or nameserver in /etc/resolv.conf")
	}
	for _, s := range o.Servers {
		if !s.IsValid() || s.Port() == 0 {
			return nil, fmt.Errorf("resolve: name server %v: an address and a port are wanted", s)
		}
	}
	life, end := context.WithCancel(context.Background())
	return &Resolver{
		opts: o, cache: newCache(o.CacheSize), slots: make(chan struct{}, maxUnderWay),
		life: life, end: end,
		flights: make(map[question]*flight), suspect: make(map[netip.AddrPort]time.Time),
	}, nil
}

// Close ends the lookups under way and waits for them.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.end()
	r.flying.Wait()
}

// Forget empties the cache.
func (r *Resolver) Forget() { r.cache.clear() }

// lookup gives the entry for q, from the cache, from a lookup that somebody
// else began, or from one of its own. Its error is of the caller's ctx alone.
func (r *Resolver) lookup(ctx context.Context, q question) (*entry, error) {
	if e, ok := r.cache.get(q, r.opts.Now()); ok {
		r.opts.Known.Add(1)
		return e, nil
	}
	f, err := r.join(q)
	if err != nil {
		return nil, err
	}
	select {
	case <-f.done:
		return f.e, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var errClosed = errors.New("resolve: closed")

func (r *Resolver) join(q question) (*flight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.flights[q]; ok {
		return f, nil
	}
	if r.closed {
		return nil, errClosed
	}
	f := &flight{done: make(chan struct{})}
	r.flights[q] = f
	r.flying.Add(1)
	go r.fly(q, f)
	return f, nil
}

// fly looks q up with a deadline of its own: a caller who leaves does not end
// it for the others.
func (r *Resolver) fly(q question, f *flight) {
	defer r.flying.Done()
	ctx, cancel := context.WithTimeout(r.life, r.opts.Deadline)
	defer cancel()
	began := time.Now()
	a := r.chain(ctx, q)
	r.opts.Asked.Took(time.Since(began))
	f.e = &entry{q: q, answer: a, expires: r.opts.Now().Add(r.keep(a))}
	if r.life.Err() == nil {
		r.cache.put(f.e)
	}
	r.mu.Lock()
	delete(r.flights, q)
	r.mu.Unlock()
	close(f.done)
}

// keep is how long an answer is kept.
func (r *Resolver) keep(a answer) time.Duration {
	switch {
	case a.err == nil:
		return max(leastTTL, min(a.ttl, r.opts.MaxTTL))
	case !a.err.Temporary():
		return max(leastTTL, min(a.ttl, r.opts.NegativeTTL))
	}
	return leastTTL
}

// chain asks, and asks again for the target of an alias that the server did
// not follow.
func (r *Resolver) chain(ctx context.Context, q question) answer {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return answer{err: q.fail(TimedOut, "")}
	}
	ttl, next := wildTTL*time.Second, q
	for range maxChain {
		a := r.ask(ctx, next)
		a.ttl = min(a.ttl, ttl)
		if a.chase == "" {
			if a.err != nil {
				a.err = q.fail(a.err.kind, a.err.Detail)
			}
			return a
		}
		next.name, ttl = a.chase, a.ttl
	}
	return answer{err: q.fail(BadAnswer, "chain of aliases too long or endless")}
}

// ask goes through the servers until one knows. A second round is for lost
// datagrams only: a server that said it does not know will not know now.
func (r *Resolver) ask(ctx context.Context, q question) answer {
	last := answer{err: q.fail(Unreachable, "")}
	for range rounds {
		again := false
		for _, server := range r.order() {
			if ctx.Err() != nil {
				return answer{err: q.fail(TimedOut, "")}
			}
			a := r.askServer(ctx, server, q)
			if a.err == nil || !a.err.Temporary() {
				return a
			}
			silent := a.err.kind == TimedOut || a.err.kind == Unreachable
			r.judgeServer(server, silent)
			again = again || silent
			last = a
		}
		if !again {
			break
		}
	}
	return last
}

func (r *Resolver) askServer(ctx context.Context, server netip.AddrPort, q question) answer {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	m, err := query(ctx, server, q)
	if err != nil {
		detail := ""
		if k := kindOf(err); k == BadAnswer {
			detail = "from " + server.String()
		}
		return answer{err: q.fail(kindOf(err), detail)}
	}
	return read(m, q)
}

// order is the servers as configured, those that did not answer lately last.
func (r *Resolver) order() []netip.AddrPort {
	if len(r.opts.Servers) == 1 {
		return r.opts.Servers
	}
	now := r.opts.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	var good, bad []netip.AddrPort
	for _, s := range r.opts.Servers {
		if now.Before(r.suspect[s]) {
			bad = append(bad, s)
		} else {
			good = append(good, s)
		}
	}
	return append(good, bad...)
}

func (r *Resolver) judgeServer(s netip.AddrPort, silent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if silent {
		r.suspect[s] = r.opts.Now().Add(suspectFor)
	} else {
		delete(r.suspect, s)
	}
}

// The types that are asked for.
const (
	typeA    = dns.TypeA
	typeAAAA = dns.TypeAAAA
	typeMX   = dns.TypeMX
	typeTXT  = dns.TypeTXT
	typePTR  = dns.TypePTR
)

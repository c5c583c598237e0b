package smtpd

import (
	"net/netip"
	"sync"
	"time"
)

// ledger is the open connections of one listener.
//
// Locks: ledger.mu before leash.mu.
type ledger struct {
	mu        sync.Mutex
	max       int
	strangers int // connections in all beyond which those who may not relay are turned away
	perClient int
	open      map[*dialogue]struct{}
	clients   map[netip.Prefix]int
}

func newLedger(limit, perClient int) *ledger {
	return &ledger{max: limit, strangers: limit, perClient: perClient, open: map[*dialogue]struct{}{}, clients: map[netip.Prefix]int{}}
}

// verdict is what becomes of a new connection.
type verdict uint8

// The verdicts.
const (
	admitted verdict = iota
	tooManyInAll
	tooManyFromClient
	tooMuchLoad
)

// clientOf is what counts as one client: an IPv4 address, or the /64 that one
// customer has in IPv6.
func clientOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero Prefix for an address that is none
	return p
}

// admit enters a connection. When the listener is full, the client who has
// kept us waiting longest is let go in its place, if that was long enough;
// clients that wait for us are never let go.
func (l *ledger) admit(d *dialogue, now time.Time) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	client := clientOf(d.session.peer)
	if l.clients[client] >= l.perClient {
		return tooManyFromClient
	}
	if len(l.open) >= l.strangers && l.strangers < l.max && d.session.relay != mayRelay {
		return tooMuchLoad
	}
	if len(l.open) >= l.max {
		victim := l.slowestLocked(now)
		if victim == nil {
			return tooManyInAll
		}
		l.removeLocked(victim)
		victim.leash.pull(causeShed)
	}
	l.open[d] = struct{}{}
	l.clients[client]++
	return admitted
}

// slowestLocked is who owes most of those with a command or a message under
// way, or else of those who are idle between messages.
func (l *ledger) slowestLocked(now time.Time) *dialogue {
	var busy, idle *dialogue
	mostBusy, mostIdle := shedBusyAfter, shedIdleAfter
	for d := range l.open {
		switch debt, what := d.leash.owed(now); {
		case what == notWaiting:
		case what == waitIdle:
			if debt > mostIdle {
				idle, mostIdle = d, debt
			}
		case debt > mostBusy:
			busy, mostBusy = d, debt
		}
	}
	if busy != nil {
		return busy
	}
	return idle
}

// leave takes a connection out, if it still is in.
func (l *ledger) leave(d *dialogue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removeLocked(d)
}

func (l *ledger) removeLocked(d *dialogue) {
	if _, in := l.open[d]; !in {
		return
	}
	delete(l.open, d)
	client := clientOf(d.session.peer)
	if l.clients[client]--; l.clients[client] <= 0 {
		delete(l.clients, client)
	}
}

// each calls f for every open connection.
func (l *ledger) each(f func(*dialogue)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for d := range l.open {
		f(d)
	}
}

// resize puts new limits in force, for those who come.
func (l *ledger) resize(limit, strangers, perClient int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.max, l.strangers, l.perClient = limit, strangers, perClient
}

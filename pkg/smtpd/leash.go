package smtpd

import (
	"net"
	"sync"
	"time"
)

// waiting says what a dialogue awaits from its client.
type waiting uint8

// What may be awaited.
const (
	notWaiting waiting = iota
	waitBusy           // the rest of a command, of a message, or that replies are read
	waitFresh          // a command, from who has had no message taken yet
	waitIdle           // a command, from who has
)

// cause is why a dialogue is ended from outside.
type cause uint8

// The causes.
const (
	noCause cause = iota
	causeShed
	causeDrain
)

// How much a client may owe before it is shed for another. What an honest one
// owes is a few round trips, less a second for each min_rate octets that it sent.
const (
	shedBusyAfter = 2 * time.Second
	shedIdleAfter = 5 * time.Second
)

// leash is how others hold a dialogue: the ledger looks how long its client
// has kept us waiting and lets it go, a stopping server ends it.
//
// A client's debt is the time that we have waited for it less what it paid
// with octets. It is never negative: who has sent a lot has not bought the
// right to keep us waiting.
type leash struct {
	conn net.Conn

	mu    sync.Mutex
	cause cause
	what  waiting
	since time.Time
	debt  time.Duration
}

// past is a deadline that has gone by.
var past = time.Unix(1, 0)

// wait begins a wait that ends at a deadline, or at once if the dialogue has
// been ended from outside.
func (l *leash) wait(now, until time.Time, what waiting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.what, l.since = what, now
	if l.cause != noCause {
		until = past
	}
	_ = l.conn.SetReadDeadline(until) // fails only on a closed connection, as the read will
}

// writing is wait for replies to leave.
func (l *leash) writing(now, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.what, l.since = waitBusy, now
	if l.cause != noCause {
		until = now.Add(lastWords)
	}
	_ = l.conn.SetWriteDeadline(until)
}

// woke ends a wait that brought some octets.
func (l *leash) woke(now time.Time, octets int, byteTime time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.debt = max(0, l.debt+now.Sub(l.since)-time.Duration(octets)*byteTime)
	l.what = notWaiting
}

// forgive clears the debt: a message has been taken.
func (l *leash) forgive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.debt = 0
}

// owed is the debt now, and what is awaited.
func (l *leash) owed(now time.Time) (time.Duration, waiting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.what == notWaiting {
		return 0, notWaiting
	}
	return l.debt + now.Sub(l.since), l.what
}

// pull ends the dialogue: every wait for its client ends now.
func (l *leash) pull(why cause) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pullLocked(why)
}

// pullIdle ends the dialogue if it waits for a command outside a transaction.
func (l *leash) pullIdle(why cause) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.what == waitFresh || l.what == waitIdle {
		l.pullLocked(why)
	}
}

func (l *leash) pullLocked(why cause) {
	if l.cause != noCause {
		return
	}
	l.cause = why
	_ = l.conn.SetDeadline(past)
}

func (l *leash) pulled() cause {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

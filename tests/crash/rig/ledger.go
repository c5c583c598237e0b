package rig

import (
	"sync"
	"time"
)

// fate is what the client knows of a message that it tried to hand in.
type fate int

const (
	// never: it was not handed in whole, or was refused for good.
	never fate = iota
	// unknown: it was handed in and no good answer came. The client would try
	// again, so that once more is not too much.
	unknown
	// acked: 250 was seen, or exit status 0.
	acked
)

func (f fate) String() string {
	return [...]string{"never accepted", "without an answer", "acknowledged"}[f]
}

// Attempt is one message on its way in. A client that tries again does it with
// another attempt.
type Attempt struct {
	token  string
	how    string // which kind of client
	to     []string
	body   string // LF lines
	began  time.Time
	ended  time.Time
	fate   fate
	answer string // the last reply, or what went wrong
}

// Ledger is what all clients noted.
type Ledger struct {
	// OnAck is told of each message as soon as it was acknowledged.
	OnAck func(token string)

	mu   sync.Mutex
	list []*Attempt
	n    int // acknowledged
}

func (l *Ledger) note(a *Attempt) {
	a.ended = time.Now()
	if a.fate == acked && l.OnAck != nil {
		l.OnAck(a.token)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, a)
	if a.fate == acked {
		l.n++
	}
}

// Acknowledged is how many messages were.
func (l *Ledger) Acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// Attempts are those so far.
func (l *Ledger) Attempts() []*Attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Attempt(nil), l.list...)
}

// AsOf is what the clients would know if all had ended at a moment when only
// these had been acknowledged.
func (l *Ledger) AsOf(acknowledged map[string]bool) []*Attempt {
	var out []*Attempt
	for _, a := range l.Attempts() {
		then := *a
		if then.fate == acked && !acknowledged[a.token] {
			then.fate = unknown
		}
		out = append(out, &then)
	}
	return out
}

// Killed is one process that was killed.
type Killed struct {
	Name string
	At   time.Time
}

package smtpd

import (
	"sync"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/untrusted"
)

// Refusals are logged at refusalRate lines a second, refusalBurst of them at
// once: strangers decide how many there are, and must not fill a disk.
const (
	refusalRate  = 20
	refusalBurst = 200
)

// refusals writes refused events, and one line for those that were too many.
type refusals struct {
	log *event.Log
	now func() time.Time

	mu     sync.Mutex
	tokens float64
	at     time.Time
	hidden int
}

func newRefusals(log *event.Log, now func() time.Time) *refusals {
	return &refusals{log: log, now: now, tokens: refusalBurst, at: now()}
}

// show writes a refusal, or counts it.
func (r *refusals) show(ev event.Refused) {
	hidden, ok := r.allow(ev)
	if hidden > 0 {
		r.log.Emit(many(hidden))
	}
	if ok {
		r.log.Emit(ev)
	}
}

func (r *refusals) allow(ev event.Refused) (hidden int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.tokens = min(refusalBurst, r.tokens+now.Sub(r.at).Seconds()*refusalRate)
	r.at = now
	if r.tokens < 1 {
		r.hidden += max(1, ev.Count)
		return 0, false
	}
	r.tokens--
	hidden, r.hidden = r.hidden, 0
	return hidden, true
}

// flush writes what was only counted.
func (r *refusals) flush() {
	r.mu.Lock()
	hidden := r.hidden
	r.hidden = 0
	r.mu.Unlock()
	if hidden > 0 {
		r.log.Emit(many(hidden))
	}
}

func many(n int) event.Refused {
	return event.Refused{Stage: "many", Why: untrusted.From("more refusals than are logged one by one"), Count: n}
}

package qmgr

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/ledger"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
)

// loadAll reads deferred/ and hold/ behind what is already served. A message
// that dispatch tells meanwhile is known already and left alone.
func (q *Manager) loadAll(ctx context.Context) {
	began := q.now()
	n := 0
	for _, queue := range []spool.Queue{spool.Hold, spool.Deferred} {
		for id, err := range q.spool.Scan(queue) {
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				q.log.Emit(event.TroubleOf(0, "walk "+queue.String(), err))
				continue
			}
			q.loadOne(queue, id)
			n++
		}
	}
	q.loaded.Store(true)
	if n > 0 {
		q.log.Emit(event.State{Now: "loaded", Why: plural(n, "message") + " in " + q.now().Sub(began).Round(time.Millisecond).String()})
	}
}

// loadOne schedules a message that was found.
func (q *Manager) loadOne(queue spool.Queue, id queueid.ID) {
	q.mu.Lock()
	_, known := q.sched.byID[id]
	q.mu.Unlock()
	if known {
		return
	}
	m, err := q.read(queue, id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return // finished since
	case errors.Is(err, spool.ErrDamaged):
		q.setAside(queue, id, err)
		return
	case err != nil:
		q.log.Emit(event.TroubleOf(id, "read a message", err))
		return
	case len(m.book.Waiting()) == 0:
		// S6: the log says that nothing is owed. dispatch finds the same and
		// removes it, as only it knows when that is safe.
		m.book.Attempts = max(m.book.Attempts, 1)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, known := q.sched.byID[id]; known {
		return
	}
	s := m.summary()
	var e *entry
	if queue == spool.Hold {
		e = q.sched.hold(&s)
	} else {
		e = q.sched.put(&s, q.now(), rand.Float64())
		q.kick()
	}
	e.warned = uint8(min(m.book.Warned, 255))
}

func (q *Manager) setAside(queue spool.Queue, id queueid.ID, why error) {
	if err := q.spool.Quarantine(queue, id); err != nil {
		q.log.Emit(event.TroubleOf(id, "set a damaged message aside", err))
		return
	}
	q.log.Emit(event.CorruptOf(id, "message in "+queue.String(), spool.CorruptName(queue, id), why))
}

// stored is a message as its files tell it.
type stored struct {
	queue spool.Queue
	env   *envelope.Envelope
	book  *ledger.Ledger
}

// read reads a message's envelope and log.
func (q *Manager) read(queue spool.Queue, id queueid.ID) (*stored, error) {
	e, err := q.spool.Open(queue, id)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	env, err := envelope.Unmarshal(e.Envelope)
	if err != nil {
		return nil, errors.Join(spool.ErrDamaged, err)
	}
	return &stored{queue, env, ledger.Read(env, q.spool.Log(queue, id))}, nil
}

// summary is what dispatch would have told.
func (m *stored) summary() proto.Summary {
	s := proto.Summary{
		ID: m.env.ID, Arrived: m.env.Arrived.Unix(), Attempts: uint32(m.book.Attempts),
		Size: m.env.Size, Bounce: m.env.Sender.IsNull(),
	}
	if !m.book.LastAttempt.IsZero() {
		s.LastAttempt = m.book.LastAttempt.Unix()
	}
	s.Busy = len(m.book.Waiting()) > 0
	for _, i := range m.book.Waiting() {
		s.Waiting++
		if s.NextHop == "" {
			s.NextHop = m.env.Recipients[i].Address.Domain()
		}
		s.Busy = s.Busy && m.book.States[i].Last.Kind == outcome.Busy
	}
	return s
}

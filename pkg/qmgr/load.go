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

// walkAgainAfter is the wait before a walk is made again that could not read
// everything: the disk or the descriptors may have recovered.
const walkAgainAfter = time.Minute

// load walks the queues at the start, and again whenever somebody may have filed
// a message and not lived to tell of it.
func (q *Manager) load(ctx context.Context) {
	for {
		var again <-chan time.Time
		if !q.loadAll(ctx) {
			again = time.After(walkAgainAfter)
		}
		select {
		case <-ctx.Done():
			return
		case <-q.walk:
		case <-again:
		}
	}
}

// lookAgain asks for another walk.
func (q *Manager) lookAgain() {
	select {
	case q.walk <- struct{}{}:
	default:
	}
}

// loadAll reads deferred/ and hold/ behind what is already served. What is known already is
// left alone, and what the index on disk remembers is read if it has changed since. It
// reports whether it could read everything.
func (q *Manager) loadAll(ctx context.Context) (whole bool) {
	began := q.now()
	n := 0
	whole = true
	for _, queue := range []spool.Queue{spool.Hold, spool.Deferred} {
		for id, err := range q.spool.Scan(queue) {
			if ctx.Err() != nil {
				return true
			}
			if err != nil {
				q.log.Emit(event.TroubleOf(0, "walk "+queue.String(), err))
				whole = false
				continue
			}
			if q.sighted(queue, id) {
				continue
			}
			if err := q.loadOne(queue, id); err != nil {
				q.log.Emit(event.TroubleOf(id, "read a message", err))
				whole = false
				continue
			}
			n++
			q.beFrugal()
		}
	}
	if whole {
		whole = q.dropGone()
	}
	if whole {
		q.walked.Store(true)
	}
	if first := !q.loaded.Swap(true); n > 0 || first && q.remembers {
		q.log.Emit(event.State{Now: "loaded", Why: plural(n, "message") + " in " + q.now().Sub(began).Round(time.Millisecond).String()})
	}
	return whole
}

func (q *Manager) known(id queueid.ID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sched.all.get(id) != nil
}

// loadOne schedules a message that was found.
func (q *Manager) loadOne(queue spool.Queue, id queueid.ID) error {
	m, err := q.read(queue, id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // finished since
	case errors.Is(err, spool.ErrDamaged) && queue == spool.Deferred:
		// It may be one that dispatch is writing at this moment: to move it away
		// would be to lose it. So dispatch is asked to try it, and sets it
		// aside if it is damaged.
		q.add(queue, &proto.Summary{ID: id, Arrived: id.Time().Unix()}, nil)
		return nil
	case errors.Is(err, spool.ErrDamaged):
		return q.setAside(queue, id, err)
	case err != nil:
		return err
	}
	// S6 too, where the log says that nothing is owed: dispatch finds the same
	// and removes it, as only it knows when that is safe.
	s := m.summary()
	q.mu.Lock()
	rules := q.sched.rules
	q.mu.Unlock()
	s.Due, s.GiveUp = m.rebuilt(&rules, q.now().UnixMilli(), rand.Float64())
	q.add(queue, &s, m.book)
	return nil
}

// add puts a message that was found into the schedule, unless somebody told of
// it meanwhile; book may be nil.
func (q *Manager) add(queue spool.Queue, s *proto.Summary, book *ledger.Ledger) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.sched.all.get(s.ID)
	if e != nil && !q.again(e) {
		return
	}
	if queue == spool.Hold {
		e = q.sched.hold(s)
		if book != nil {
			q.holdEnds(s.ID, q.endOfHold(book))
		}
	} else {
		e = q.sched.put(s, q.now(), rand.Float64())
		q.heed(e, s, q.now())
		q.kick()
	}
	q.keepAddresses(e, s.Addresses)
	if book != nil && book.Warned > 0 {
		q.sched.warnedAt(e, book.LastWarned)
	}
}

// setAside moves a held message that can't be read to corrupt/. Before the spool
// is in order nothing is moved: the next walk meets it again.
func (q *Manager) setAside(queue spool.Queue, id queueid.ID, why error) error {
	if !q.mended.Load() {
		return why
	}
	if err := q.spool.Quarantine(queue, id); err != nil {
		return errors.Join(why, err)
	}
	q.log.Emit(event.CorruptOf(id, "message in "+queue.String(), spool.CorruptName(queue, id), why))
	return nil
}

// stored is a message as its files tell it.
type stored struct {
	queue spool.Queue
	env   *envelope.Envelope
	book  *ledger.Ledger

	addresses []string // for the index on disk; of who reads for himself
}

// read reads a message's envelope and log.
func (q *Manager) read(queue spool.Queue, id queueid.ID) (*stored, error) {
	return q.readIf(queue, id, nil)
}

// readIf is read for who may not want the message: nil and no error if the filter
// does not choose it by its envelope. A log costs twice as much as an envelope.
func (q *Manager) readIf(queue spool.Queue, id queueid.ID, f *filter) (*stored, error) {
	e, err := q.spool.Open(queue, id)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	env, err := envelope.Unmarshal(e.Envelope)
	if err != nil {
		return nil, errors.Join(spool.ErrDamaged, err)
	}
	if f != nil && (!f.from(env) || !f.to(env) && !q.spool.MayHave(queue, id, spool.Redirected)) {
		return nil, nil
	}
	m := &stored{queue: queue, env: env}
	if f == nil {
		m.addresses = proto.AddressesOf(env)
	}
	m.book = ledger.Read(env, q.spool.Log(queue, id))
	m.redirected()
	return m, nil
}

// redirected adds the addresses that recipients were given by an administrator.
func (m *stored) redirected() {
	if len(m.addresses) == 0 {
		return
	}
	for i := range m.env.Recipients {
		if a := m.env.Recipients[i].Address.String(); a != m.addresses[i+1] {
			m.addresses = append(m.addresses, a)
		}
	}
}

// summary is what dispatch would have told.
func (m *stored) summary() proto.Summary {
	s := proto.Summary{
		ID: m.env.ID, Arrived: m.env.Since(m.book.FirstAttempt).Unix(), Attempts: uint32(m.book.Attempts),
		Size: m.env.Size, Bounce: m.env.Sender.IsNull(), Owner: proto.OwnerOf(m.env),
		Sender: proto.ShareOf(m.env), Priority: m.env.Priority, Addresses: m.addresses,
	}
	if !m.book.LastAttempt.IsZero() {
		s.LastAttempt = m.book.LastAttempt.Unix()
	}
	orderedBy(m.book, &s)
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

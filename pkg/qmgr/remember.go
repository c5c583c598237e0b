package qmgr

import (
	"container/heap"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime/debug"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/event"
	"filbert/pkg/qindex"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
)

// What an earlier run knew of the queue lies in an index on disk (pkg/qindex). It is
// believed at once, so that what is due is served, and checked behind that.

const (
	// surelyWritten is how long before the index was last written a message's log must have
	// been, for its record to be newer. News are written each second; a busy disk may need more.
	surelyWritten = time.Minute
	// readingGC lets the heap grow while the index is read, which leaves no garbage: to
	// collect it would be to look at a million entries a dozen times.
	readingGC = 1000
)

// openIndex reads the index that an earlier run has left. Without one, and where it can't be
// kept, the walk finds out what there is.
func (q *Manager) openIndex() {
	if _, err := q.fs.Stat(qindex.Dir); err != nil {
		q.log.Emit(event.TroubleOf(0, "keep an index of the queue", err))
		return
	}
	began := q.now()
	defer q.beFrugal()
	defer debug.SetGCPercent(debug.SetGCPercent(readingGC))
	q.mu.Lock()
	defer q.mu.Unlock()
	x, rep, err := qindex.Open(q.fs, q.remembered)
	if err != nil {
		q.log.Emit(event.TroubleOf(0, "read the index of the queue", err))
		q.forgetAllLocked()
		return
	}
	if rep.Torn != nil {
		q.log.Emit(event.TroubleOf(0, "read the index of the queue; what it lacks is read from the queue itself", rep.Torn))
	}
	q.disk.index, q.disk.tidied = x, x.Octets()/2
	q.sched.news = newNews()
	q.believeLocked(rep)
	if n := q.sched.all.n; n > 0 {
		q.remembers = true
		q.log.Emit(event.State{Now: "remembered", Why: plural(n, "message") + " in " + q.now().Sub(began).Round(time.Millisecond).String()})
	}
}

// forgetAllLocked empties a schedule that was half read: the walk reads it anew.
func (q *Manager) forgetAllLocked() {
	q.sched = newSchedule(q.settings.Load())
	clear(q.waits)
	clear(q.holds)
}

// believeLocked makes a schedule of what was remembered.
func (q *Manager) believeLocked(rep qindex.Report) {
	s, now := q.sched, q.now()
	q.disk.moment, q.disk.sure = rep.Moment, rep.Moment.Add(-surelyWritten)
	if rep.Latest.After(now.Add(clockSlack)) {
		// The clock was set back since: the waits move with it, as those of a running
		// daemon would, and the times of files tell nothing.
		s.seen = rep.Latest
		q.disk.sure = time.Time{}
	}
	if q.clock.Movable() {
		q.disk.sure = time.Time{} // files have the machine's time
	}
	for e := range s.all.after(0) {
		if !rep.Paired {
			e.marks &^= addressed
		}
		if e.state == waiting {
			q.ordersEndedLocked(e, now)
			e.slot = int32(len(s.queue))
			s.queue = append(s.queue, e)
		}
	}
	heap.Init(&s.queue)
	s.clock(now)
	if !rep.Paired && s.all.n > 0 {
		s.news.all() // its records say of addresses that they are there
	}
}

// ordersEndedLocked makes due what waited for a standing order that is no more.
func (q *Manager) ordersEndedLocked(e *entry, now time.Time) {
	if order, waits := q.waits[e.id]; waits && order != 0 {
		if _, inForce := q.standingOrder(order); !inForce {
			delete(q.waits, e.id)
			e.due = now.UnixMilli()
		}
	}
}

// rememberWaits notes what a record says of orders. With mu.
func (q *Manager) rememberWaits(e *entry, r *qindex.Record) {
	delete(q.waits, e.id)
	delete(q.holds, e.id)
	if r.Ordered {
		q.waits[e.id] = r.Order
	}
	if r.Held && r.HoldEnds != 0 {
		q.holds[e.id] = time.Unix(min(r.HoldEnds, math.MaxInt32*2), 0)
	}
}

// sighted is what a walk does about a message that it meets: true if there is nothing to do.
func (q *Manager) sighted(queue spool.Queue, id queueid.ID) bool {
	q.mu.Lock()
	e := q.sched.all.get(id)
	if e == nil {
		q.mu.Unlock()
		return false
	}
	known := e.marks&checked != 0 || e.state == active || e.state == busy
	here, doubt := e.queue() == queue, e.marks&unsure != 0 || e.marks&(addressed|many) == 0
	q.mu.Unlock()
	switch {
	case known:
		return true
	case !here:
		// It was moved since. In both places it is one that a crash caught on the way: it
		// counts as held, which the walk of hold/ has seen to.
		return queue == spool.Deferred && q.spool.Has(spool.Hold, id)
	case doubt:
		return false
	}
	changed, err := q.spool.LogChanged(queue, id)
	if err != nil || changed.After(q.disk.sure) {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.sched.all.get(id); e != nil {
		e.marks |= checked
	}
	return true
}

// dropGone forgets what was remembered and has left the queue since. It follows a walk that
// met everything else but what somebody had in hands when it came by: that is read here. It
// reports whether it could read all of it.
func (q *Manager) dropGone() (whole bool) {
	whole = true
	var doubtful []queueid.ID
	for id := range q.each() {
		q.mu.Lock()
		if e := q.sched.all.get(id); e != nil && e.marks&checked == 0 && e.state != active && e.state != busy {
			doubtful = append(doubtful, id)
		}
		q.mu.Unlock()
	}
	for _, id := range doubtful {
		if queue, there := q.whereIs(id); there {
			if err := q.loadOne(queue, id); err != nil {
				q.log.Emit(event.TroubleOf(id, "read a message", err))
				whole = false
			}
			continue
		}
		q.mu.Lock()
		if e := q.sched.all.get(id); e != nil && e.marks&checked == 0 && e.state != active && e.state != busy {
			delete(q.waits, id)
			delete(q.holds, id)
			q.sched.drop(e)
		}
		q.mu.Unlock()
	}
	return whole
}

// whereIs looks for a message in both queues.
func (q *Manager) whereIs(id queueid.ID) (queue spool.Queue, there bool) {
	// Hold twice: a message that is released meanwhile is in one of the places at any
	// time, but not in the one that is being looked at.
	for _, queue := range []spool.Queue{spool.Hold, spool.Deferred, spool.Hold} {
		if q.spool.Has(queue, id) {
			return queue, true
		}
	}
	return 0, false
}

// again makes an entry that was remembered ready for what its files tell; false: it needs
// nothing of them. With mu.
func (q *Manager) again(e *entry) bool {
	if e.marks&checked != 0 || e.state == active || e.state == busy {
		return false
	}
	delete(q.waits, e.id)
	delete(q.holds, e.id)
	e.warned = 0
	return true
}

// prepareIndex makes the directory, where the instance has none yet.
func prepareIndex(fsys durable.FS) error {
	if _, err := fsys.Stat(qindex.Dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := durable.MkdirAll(fsys, qindex.Dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the index: %w", err)
	}
	return nil
}

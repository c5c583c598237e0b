package qmgr

import (
	"context"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/qindex"
	"filbert/pkg/queueid"
)

// disk is the index on disk. Its writer is one goroutine.
type disk struct {
	index  *qindex.Index // nil: none is kept
	sure   time.Time     // what was written before it, the index that was found knows
	moment time.Time     // up to which it knew everything
	tidied int64         // size of the addresses when they were last written anew
	// disordered is how many records were appended since the schedule was written anew.
	disordered int
}

const (
	// writeNewsEach is how long news wait, so that many are one write.
	writeNewsEach = time.Second
	// atATime is how many entries are encoded while everybody else waits.
	atATime = 1000
	// slack is how many dead records are no reason to write the index anew.
	slack = 10_000
)

// keepIndexBeside keeps the index until what it returns is called, when nothing changes
// any more.
func (q *Manager) keepIndexBeside(ctx context.Context) (end func()) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		q.keepIndex(ctx)
	}()
	return func() {
		stop()
		<-kept
	}
}

// keepIndex writes the news until ctx ends, and then once more.
func (q *Manager) keepIndex(ctx context.Context) {
	if q.disk.index == nil {
		return
	}
	tick := time.NewTicker(writeNewsEach)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-q.sched.news.hurry:
		}
		last := ctx.Err() != nil
		if err := q.writeNews(last); err != nil {
			q.log.Emit(event.TroubleOf(0, "write the index of the queue; the next start reads the queue itself", err))
			q.stopIndex()
			return
		}
		if last {
			q.disk.index.Close()
			return
		}
	}
}

// stopIndex does without from here on: what it says must not be believed later.
func (q *Manager) stopIndex() {
	x := q.disk.index
	q.mu.Lock()
	q.disk.index = nil
	q.sched.news = nil
	for e := range q.sched.all.after(0) {
		e.marks &^= dirty | addressed
	}
	q.mu.Unlock()
	if err := x.Discard(); err != nil {
		q.log.Emit(event.TroubleOf(0, "remove the index of the queue", err))
	}
}

// writeNews brings the index up to date. The last one of a run leaves it in order, so
// that the next start is fast.
func (q *Manager) writeNews(last bool) error {
	x, moment := q.disk.index, q.now()
	if !q.walked.Load() {
		// What happened while nobody was here is known when the walk is over. A run that
		// ends before that must not have the next one believe that it was.
		moment = q.disk.moment
	}
	n := q.sched.news
	q.mu.Lock()
	whole, live := n.whole, q.sched.all.n
	q.mu.Unlock()
	written, err := q.writeChanges(moment)
	if err != nil {
		return err
	}
	if q.loaded.Load() {
		if x.Octets() > 2*q.disk.tidied+manyOctets {
			if err := x.Tidy(q.known); err != nil {
				return err
			}
			q.disk.tidied = x.Octets()
			if err := x.Flush(moment); err != nil {
				return err
			}
		}
		q.disk.disordered += written
		if dead := x.Records() - live; whole || dead > live+slack || last && q.disk.disordered > live/10 {
			if err := q.writeAll(); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeChanges appends what has changed.
func (q *Manager) writeChanges(moment time.Time) (written int, err error) {
	t := q.takeNews()
	if written = len(t.changed) + len(t.dropped); written == 0 {
		return 0, nil
	}
	return written, q.writeTaken(t, moment)
}

// taken is news that are being written.
type taken struct {
	changed   []*entry
	dropped   []queueid.ID
	addresses map[queueid.ID][]string
}

func (q *Manager) takeNews() taken {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.sched.news
	t := taken{changed: n.changed, dropped: n.dropped, addresses: n.addresses}
	n.changed, n.dropped, n.addresses, n.octets = nil, nil, map[queueid.ID][]string{}, 0
	return t
}

func (q *Manager) writeTaken(t taken, moment time.Time) error {
	x, n := q.disk.index, q.sched.news
	// Those that have left first: one of them may have come back, and is among the others.
	for _, id := range t.dropped {
		x.Put(&qindex.Record{ID: id, Dropped: true})
	}
	var listed []*entry
	for changed := t.changed; len(changed) > 0; {
		part := changed[:min(len(changed), atATime)]
		changed = changed[len(part):]
		listed = append(listed, q.putEntries(part, t.addresses)...)
	}
	if err := x.Flush(moment); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if n.searching > 0 {
		// What is too much has its file read by the next search, too.
		n.late = append(n.late, listed[:max(0, min(len(listed), manyNews-len(n.late)))]...)
		return nil
	}
	n.nowAddressed(listed)
	return nil
}

// putEntries encodes entries, and tells which of them come with their addresses.
func (q *Manager) putEntries(part []*entry, addresses map[queueid.ID][]string) (listed []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	x, n := q.disk.index, q.sched.news
	var r qindex.Record
	for _, e := range part {
		e.marks &^= dirty
		if q.sched.all.get(e.id) != e {
			continue
		}
		list := addresses[e.id]
		_, newer := n.addresses[e.id]
		if newer || e.marks&many != 0 {
			list = nil // they have become others since the news were taken
		}
		if newer || e.state == busy {
			q.sched.changed(e) // they come with the next; where it will be is not known yet
		}
		q.record(e, &r)
		if list != nil {
			x.PutAddresses(e.id, list)
			listed = append(listed, e)
			r.Addressed = true
		}
		x.Put(&r)
	}
	return listed
}

// nowAddressed notes that the addresses of entries can be searched for. With mu.
func (n *news) nowAddressed(list []*entry) {
	for _, e := range list {
		if _, newer := n.addresses[e.id]; !newer && e.marks&many == 0 {
			e.marks |= addressed
		}
	}
}

// writeAll writes the schedule anew, in the order of ids.
func (q *Manager) writeAll() error {
	moment := q.now()
	w, err := q.disk.index.Rewrite()
	if err != nil {
		return err
	}
	q.mu.Lock()
	q.sched.news.whole = false // what changes from here on is told by itself
	q.mu.Unlock()
	var r qindex.Record
	var last queueid.ID
	for more := true; more; {
		more = false
		q.mu.Lock()
		n := 0
		for e := range q.sched.all.after(last) {
			if n++; n > atATime {
				more = true
				break
			}
			q.record(e, &r)
			w.Put(&r)
			last = e.id
		}
		q.mu.Unlock()
		if err := w.Spill(); err != nil {
			w.Abort()
			return err
		}
	}
	q.disk.disordered = 0
	return w.Commit(moment)
}

package dispatch

import (
	"context"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/spool"
)

// noteAfter is how long a delivery may stay unnoted while others of its message
// are still under way. A shorter time would have more messages written to
// deferred/ that a moment later are done with; a longer one has more delivered again
// after a crash, in proportion (doc/CRASH.md has the numbers). A server that answers
// at once is done within this time, one that thinks or is far away is not. What is
// served within it is noted with one write. A killed process forgets nothing of it
// (see jot): the note is for power cuts.
const noteAfter = 250 * time.Millisecond

// notes writes down who was served while others of the flight are still being
// served. Its methods are for the one goroutine that waits for the jobs.
type notes struct {
	d   *Dispatcher
	ctx context.Context
	f   *flight

	fresh   []int            // leaves that were served and are not noted
	due     <-chan time.Time // when to note them; nil: not yet
	written chan []int       // a write has ended; what it could not note
	writing bool
}

func (d *Dispatcher) newNotes(ctx context.Context, f *flight) *notes {
	return &notes{d: d, ctx: ctx, f: f, written: make(chan []int, 1)}
}

// add takes in what a job that is done has served.
func (n *notes) add(j *job) {
	for _, i := range j.leaves {
		if n.f.outcomes[i].Class == outcome.Delivered {
			n.fresh = append(n.fresh, i)
		}
	}
	n.arm(noteAfter)
}

func (n *notes) arm(wait time.Duration) {
	if len(n.fresh) > 0 && !n.writing && n.due == nil {
		n.due = n.d.after(wait)
	}
}

// write begins to note what is fresh. Not in this goroutine: the jobs that have
// not begun must not wait for a slow disk.
func (n *notes) write() {
	batch := n.fresh
	n.fresh, n.due, n.writing = nil, nil, true
	go func() {
		if err := n.d.note(n.ctx, n.f, batch); err != nil {
			n.d.log.Emit(event.TroubleOf(n.f.env.ID, "note who was served", err))
			n.written <- batch
			return
		}
		n.written <- nil
	}()
}

// wrote takes in the end of a write.
func (n *notes) wrote(failed []int) {
	n.writing = false
	n.d.jot(n.f, n.fresh) // who was served meanwhile
	n.fresh = append(n.fresh, failed...)
	if len(failed) > 0 {
		n.arm(troublePause) // the disk is full, most likely; settle insists
		return
	}
	n.arm(noteAfter)
}

// end waits for a write that is under way: from here on the flight is settle's.
func (n *notes) end() {
	if n.writing {
		n.wrote(<-n.written)
	}
}

// whileNoting does what may take long when all jobs are done (bounce may be away),
// and notes meanwhile who was served. do must not touch their outcomes.
func (d *Dispatcher) whileNoting(ctx context.Context, f *flight, do func()) {
	n := d.newNotes(ctx, f)
	n.fresh = f.those(func(i int) bool { return f.outcomes[i].Class == outcome.Delivered && !f.isNoted(i) })
	if len(n.fresh) == 0 {
		do()
		return
	}
	n.arm(noteAfter)
	done := make(chan struct{})
	go func() {
		do()
		close(done)
	}()
	for {
		select {
		case <-done:
			n.end()
			return
		case <-n.due:
			n.write()
		case failed := <-n.written:
			n.wrote(failed)
		}
	}
}

// note makes it durable that these leaves were served. A first attempt's message
// goes to deferred/ for it, with those that are still being served as owed, and
// its record is marked: a crash from there on repeats nothing that is noted. qmgr
// is told at the end only. Should it find the file before, dispatch refuses
// whatever it asks for: the message is among the flights.
func (d *Dispatcher) note(ctx context.Context, f *flight, leaves []int) error {
	f.remember()
	d.tell(ctx, f, leaves)
	leaves, lines := d.beginNote(f, leaves)
	err := d.writeNote(f, lines)
	f.noting.Lock()
	defer f.noting.Unlock()
	f.isNoting = false
	if err != nil {
		return err
	}
	f.filed = f.filed || f.origin == fromJournal
	for _, i := range leaves {
		f.noted[i], f.inLog[i] = true, true
	}
	return nil
}

// beginNote says who is noted, and how.
func (d *Dispatcher) beginNote(f *flight, leaves []int) ([]int, []spool.LogLine) {
	f.noting.Lock()
	defer f.noting.Unlock()
	f.isNoting = true
	now := d.now()
	if f.origin == fromJournal && !f.filed {
		// What was jotted beside the record is not looked at any more once it is
		// marked, so that all of it has to go along.
		more := f.jottedOf(leaves)
		for _, i := range more {
			d.tellOnce(f, i, now)
		}
		leaves = append(more, leaves...)
	}
	var lines []spool.LogLine
	for _, i := range leaves {
		if !f.inLog[i] {
			lines = append(lines, f.lines(i, now)...)
		}
	}
	return leaves, append(lines, spool.LogLine{Time: now, Verb: spool.Ongoing, Recipient: spool.WholeMessage})
}

func (d *Dispatcher) writeNote(f *flight, lines []spool.LogLine) error {
	if f.origin != fromJournal || f.filed {
		return d.spool.AppendLog(spool.Deferred, f.env.ID, lines)
	}
	if err := d.put(f, lines); err != nil {
		return err
	}
	// A crash here leaves the record and the file: recovery lets the file win.
	d.markFiled(f.ref, f.env.ID, f.file != nil)
	return nil
}

// tell confirms and logs these deliveries, each once. It comes before the note: who
// is noted is not looked at again, so that a confirmation that is still owed then
// would be owed for ever.
func (d *Dispatcher) tell(ctx context.Context, f *flight, leaves []int) {
	if f.told == nil {
		f.told = make([]bool, len(f.leaves)) // one job alone: nobody else looks
	}
	var confirm, after []int
	for _, i := range leaves {
		if wantsSuccess(f, i) {
			confirm = append(confirm, i)
		}
		if wantsAfter(f, i) {
			after = append(after, i)
		}
	}
	d.report(ctx, f, proto.ReportSuccess, confirm)
	d.report(ctx, f, proto.ReportAfter, after)
	if f.origin == fromJournal {
		// What is filed are the leaves: it does not tell whom they stand for.
		d.reportExpanded(ctx, f)
	}
	now := d.now()
	for _, i := range leaves {
		d.tellOnce(f, i, now)
	}
}

func (d *Dispatcher) tellOnce(f *flight, leaf int, now time.Time) {
	if !f.told[leaf] {
		d.tellOutcome(f, leaf, now)
		f.told[leaf] = true
	}
}

// isNoted tells whether the line of a leaf is on disk already.
func (f *flight) isNoted(leaf int) bool { return f.noted != nil && f.noted[leaf] }

// isInLog tells whether the line of a leaf is in the log, flushed or not.
func (f *flight) isInLog(leaf int) bool { return f.inLog != nil && f.inLog[leaf] }

// isTold tells whether a leaf's delivery was logged and confirmed already.
func (f *flight) isTold(leaf int) bool { return f.told != nil && f.told[leaf] }

package dispatch

import (
	"context"
	"os"
	"sync"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/journal"
	"filbert/pkg/ledger"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
	"filbert/pkg/spool"
)

// origin says where the message of a flight lies, and with it how the flight
// is settled.
type origin uint8

const (
	fromJournal  origin = 1 // first attempt: a record without a done mark
	fromDeferred origin = 2 // later attempt: a file under deferred/
)

// flight is one attempt of one message. One goroutine runs it from here to its
// end; deliver.go adds others for jobs side by side.
type flight struct {
	origin  origin
	ref     journal.Ref // fromJournal
	env     *envelope.Envelope
	content proto.Content
	file    *os.File // large content or a deferred file; nil when inline
	due     proto.Due
	attempt int
	began   time.Time

	// Of a later attempt: the open file, what its log says, and the numbers in
	// the file of env.Recipients, which are those that wait.
	entry *spool.Entry
	book  *ledger.Ledger
	index []int
	apart int // recipients that wait and are none of this flight's

	room     int // leaves that it has room for beyond freeLeaves
	leaves   []proto.Leaf
	outcomes []outcome.Outcome // one for each leaf
	warned   bool              // a delay warning went out
	overdue  bool              // it tells that the time of DELIVERBY is over

	// What note.go has done of settle's work already.
	filed         bool   // fromJournal: the message lies under deferred/
	noted         []bool // by leaf: its line is on disk; nil: nobody's
	told          []bool // by leaf: logged, and confirmed to the sender; nil: nobody
	expansionTold bool   // what recipients were expanded to was confirmed

	// What jot.go has written without a flush. Jobs run side by side: noting guards
	// these and noted, but at the end, when nobody else writes.
	noting   sync.Mutex
	isNoting bool   // a note is being written
	jotted   []bool // by leaf: written beside the record, or into the log; nil with noted
	inLog    []bool // by leaf: its line is in the log, on disk (noted) or not yet

	kept      kept       // by standing orders
	tables    tables     // of the retry rules
	abortable *abortable // while it delivers

	mu      sync.Mutex    // guards what follows, as jobs run side by side
	output  []printed     // by commands, one for each leaf; nil when there was none
	courses []course      // by leaf, what the retry rules say; nil: nothing
	known   []proto.Known // by leaf, why it was given up; nil: nothing
}

// run carries the flight through. It returns what is left of the message.
func (d *Dispatcher) run(ctx context.Context, f *flight) proto.Settled {
	f.began = d.now()
	if f.isEarly(f.began) {
		return d.keepHeld(ctx, f)
	}
	defer func() { d.room.give(f.room) }()
	row := d.board.Start()
	defer row.End()

	row.Set("routing", f.env.ID.String(), "")
	d.routeAll(ctx, f)
	d.obey(f)
	d.learnRoutes(f)
	d.consult(f)
	row.Set("delivering", f.env.ID.String(), "")
	if f.due.Action != proto.DueBounce && !f.isLate(f.began) {
		d.abortably(ctx, f, d.deliverAll)
	}
	d.expire(f)
	d.endByTime(f)
	d.jotRest(f)
	row.Set("settling", f.env.ID.String(), "")
	d.reportAll(ctx, f)
	return d.settle(ctx, f)
}

// close lets go of the content.
func (f *flight) close() {
	switch {
	case f.entry != nil:
		_ = f.entry.Close() // read-only: nothing can be lost
	case f.file != nil:
		_ = f.file.Close()
	}
	f.entry, f.file, f.content.Inline = nil, nil, nil
}

// files is what rides with a frame that carries the content.
func (f *flight) files() []*os.File {
	if f.content.InFile() {
		return []*os.File{f.file}
	}
	return nil
}

// ownGrace is how much longer a message is kept for which a part of the suite was
// away at the end: not the recipient's fault, but not to be kept for ever.
const ownGrace = 24 * time.Hour

// expire turns deferrals into failures when qmgr said that this was the last
// attempt: the sender is told what stood in the way at the end.
func (d *Dispatcher) expire(f *flight) {
	if f.due.Action != proto.DueFinal {
		return
	}
	own := f.book.LastAttempt.After(time.Unix(f.due.GiveUpAt, 0).Add(ownGrace))
	for i := range f.outcomes {
		o := &f.outcomes[i]
		if o.Temporary() && o.Kind != outcome.Busy && o.Kind != outcome.Ordered && (o.Kind != outcome.Internal || own) {
			o.Class = outcome.Failed
			// Delivery time expired (RFC 3463, section 3.5). What the server
			// said, with its code, stays beside it.
			o.Status = smtp.Status{Class: 5, Subject: 4, Detail: 7}
			o.Kind = outcome.Expired
		}
	}
}

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/journal"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
	"filbert/pkg/wire"
)

const (
	// maxFlights bounds the messages under way at once; what comes beyond
	// waits in the journal, as a reference.
	maxFlights = 5000
	// maxHeld bounds the memory, in bytes, of first attempts: their inline content,
	// and flightCost for all else of each.
	maxHeld    = 64 << 20
	flightCost = 16 << 10 // a goroutine with its stack, most of it, envelope, leaves
	// troublePause is the wait before a message that could not be filed is
	// attempted again.
	troublePause = 30 * time.Second
)

// errEnough ends a walk of the journal that need not go on.
var errEnough = errors.New("enough found")

// handleAttempt takes a message from cleanup. Whatever happens to it here, its
// record stands in the journal, so the answer is always Taken.
func (d *Dispatcher) handleAttempt(call *ipc.Call) {
	var req proto.Attempt
	if err := call.Decode(&req); err != nil {
		return
	}
	call.Reply(&proto.Taken{})
	var file *os.File
	if req.Content.InFile() && len(call.Files) == 1 {
		file, call.Files = call.Files[0], nil
	}
	call.CloseFiles()
	env := req.Envelope
	if req.Content.InFile() && file == nil {
		d.later(req.Ref, env.ID)
		return
	}
	f := &flight{origin: fromJournal, ref: req.Ref, env: &env, content: req.Content, file: file, attempt: 1}
	if !d.begin(f) {
		f.close()
		d.later(req.Ref, env.ID)
	}
}

// begin starts a flight unless the message is already under way or there is no
// room. A record that waited in the backlog has its turn before newer ones only
// as far as the backlog is walked; order is no promise.
func (d *Dispatcher) begin(f *flight) bool {
	d.mu.Lock()
	if d.stopping || len(d.flights) >= maxFlights || d.held >= maxHeld {
		d.mu.Unlock()
		return false
	}
	// A flight marks its record before it leaves d.flights, so that a record
	// is never begun twice, however often it is handed over or found.
	if _, under := d.flights[f.env.ID]; under || d.marker.IsDone(f.ref) {
		d.mu.Unlock()
		f.close()
		return true
	}
	d.flights[f.env.ID] = struct{}{}
	d.held += f.cost()
	d.wg.Add(1)
	d.mu.Unlock()
	go d.fly(f)
	return true
}

// cost is the memory that a first attempt takes, about.
func (f *flight) cost() int64 { return int64(len(f.content.Inline)) + flightCost }

// fly runs a first attempt and makes room for the next.
func (d *Dispatcher) fly(f *flight) {
	defer d.wg.Done()
	cost := f.cost()
	left := d.run(d.ctx, f)
	f.close()
	d.mu.Lock()
	delete(d.flights, f.env.ID)
	d.held -= cost
	more := len(d.backlog) > 0
	d.mu.Unlock()
	if more {
		d.kickFeeder()
	}
	if left.State == proto.SettledWaiting {
		// In no flight's place: qmgr may be away, and new mail must not wait for it.
		d.tellQmgr(left.Summary)
	}
}

// waiting is a record in the journal that has not been begun.
type waiting struct {
	ref journal.Ref
	id  queueid.ID
}

// later puts a record on the backlog.
func (d *Dispatcher) later(ref journal.Ref, id queueid.ID) {
	d.mu.Lock()
	if _, known := d.waitingIDs[id]; !known {
		d.waitingIDs[id] = struct{}{}
		d.backlog = append(d.backlog, waiting{ref, id})
	}
	d.mu.Unlock()
	d.kickFeeder()
}

// retryLater puts a message that could be neither delivered nor filed back on
// the backlog after a while: the disk is full, most likely.
func (d *Dispatcher) retryLater(f *flight) {
	ref, id := f.ref, f.env.ID
	time.AfterFunc(troublePause, func() { d.later(ref, id) })
}

// restAWhile waits for troublePause.
func restAWhile(ctx context.Context) bool {
	t := time.NewTimer(troublePause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (d *Dispatcher) kickFeeder() {
	select {
	case d.feed <- struct{}{}:
	default:
	}
}

// feeder begins what waits in the journal as room appears.
func (d *Dispatcher) feeder(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.feed:
		}
		for d.feedOne() {
		}
	}
}

// feedOne begins the oldest record of the backlog. It reports whether it is
// worth going on.
func (d *Dispatcher) feedOne() bool {
	d.mu.Lock()
	if len(d.backlog) == 0 || d.stopping || len(d.flights) >= maxFlights || d.held >= maxHeld {
		d.mu.Unlock()
		return false
	}
	w := d.backlog[0]
	d.backlog = d.backlog[1:]
	delete(d.waitingIDs, w.id)
	d.mu.Unlock()

	f, err := d.load(w.ref)
	switch {
	case errors.Is(err, journal.ErrGone):
		return true
	case errors.Is(err, wire.ErrMalformed):
		d.setRecordAside(w, err)
		return true
	case err != nil:
		// The record stays, and the next walk of the journal finds it again.
		d.log.Emit(event.TroubleOf(w.id, "read a message from the journal", err))
		d.miss()
		return true
	}
	if !d.begin(f) {
		f.close()
		d.later(w.ref, w.id)
		return false
	}
	return true
}

// load makes a flight of a record.
func (d *Dispatcher) load(ref journal.Ref) (*flight, error) {
	rec, err := journal.Read(d.fs, ref)
	if err != nil {
		return nil, err
	}
	env, err := envelope.Unmarshal(rec.Envelope)
	if err != nil {
		return nil, err
	}
	f := &flight{origin: fromJournal, ref: ref, env: env, attempt: 1}
	if rec.Large == nil {
		f.content = proto.Content{Inline: append([]byte{}, rec.Content...), Size: int64(len(rec.Content))}
		return f, nil
	}
	large, err := journal.OpenLarge(d.fs, rec.ID, rec.Large)
	if err != nil {
		return nil, err
	}
	f.file = large.OS()
	f.content = proto.Content{Size: rec.Large.Length}
	return f, nil
}

// setRecordAside ends a record that is as it was written and makes no sense.
func (d *Dispatcher) setRecordAside(w waiting, why error) {
	kept, err := d.marker.SetAside(w.ref)
	if err != nil {
		d.log.Emit(event.TroubleOf(w.id, "set a record of the journal aside", errors.Join(why, err)))
		d.miss()
		return
	}
	d.log.Emit(event.CorruptOf(w.id, "message in the journal", kept, why))
}

// lookAgain asks for a walk of the journal.
func (d *Dispatcher) lookAgain() {
	select {
	case d.walk <- struct{}{}:
	default:
	}
}

// miss asks for a walk after a while: something could not be read now.
func (d *Dispatcher) miss() {
	select {
	case d.missed <- struct{}{}:
	default:
	}
}

// walker walks the journal when cleanup's connection comes up, when cleanup says
// that it could not hand over everything, and after a walk that missed something.
func (d *Dispatcher) walker(ctx context.Context) {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.missed:
			if again == nil {
				again = time.After(troublePause)
			}
			continue
		case <-again:
			again = nil
		case <-d.walk:
		}
		if !d.recover() {
			d.miss()
		}
	}
}

// recover walks the journal for records that need an attempt and are neither
// under way nor waiting. It reports whether it could see to all of them.
func (d *Dispatcher) recover() (whole bool) {
	whole = true
	report, err := d.marker.Recover(func(found journal.Found) error {
		if d.work.Err() != nil {
			return errEnough
		}
		whole = d.adopt(found) && whole
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		d.log.Emit(event.TroubleOf(0, "walk the journal", err))
		whole = false
	}
	for _, err := range report.Unreadable {
		d.log.Emit(event.TroubleOf(0, "walk the journal", err))
		whole = false
	}
	d.tellDamage(report.Damage)
	return whole
}

// claim makes a message ours alone to look at, unless it is under way, done or
// in the backlog.
func (d *Dispatcher) claim(id queueid.ID, ref journal.Ref) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, under := d.flights[id]
	_, waits := d.waitingIDs[id]
	if under || waits || d.marker.IsDone(ref) {
		return false
	}
	d.flights[id] = struct{}{}
	return true
}

func (d *Dispatcher) release(id queueid.ID) {
	d.mu.Lock()
	delete(d.flights, id)
	d.mu.Unlock()
}

// adopt decides between the states S2, S3 and S3' of the table in pkg/spool. It
// reports whether it could.
func (d *Dispatcher) adopt(found journal.Found) bool {
	id := found.Record.ID
	if !d.claim(id, found.Ref) {
		return true
	}
	what, err := d.spool.Resolve(id)
	if err == nil && what == spool.AlreadyFiled {
		d.markFiled(found.Ref, id, found.Record.Large != nil)
	}
	d.release(id)
	switch {
	case err != nil:
		// Neither attempted nor marked: the next walk asks again.
		d.log.Emit(event.TroubleOf(id, "look for a deferred copy", err))
		return false
	case what != spool.AlreadyFiled:
		d.later(found.Ref, id)
	}
	return true
}

// tellDamage logs acknowledged mail that can no longer be read. The journal
// has put what is left of it into corrupt/.
func (d *Dispatcher) tellDamage(damage []journal.Damage) {
	for _, dm := range damage {
		if dm.Done {
			continue
		}
		what := fmt.Sprintf("%d records of journal segment %08d, use %d", dm.Count, dm.Segment, dm.Generation)
		d.log.Emit(event.CorruptOf(dm.Large, what, "corrupt/", journal.ErrDamaged))
	}
}

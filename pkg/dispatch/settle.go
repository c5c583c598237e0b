package dispatch

import (
	"context"
	"errors"
	"io"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/journal"
	"filbert/pkg/ledger"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// settle makes the outcome of an attempt safe, in the order that a crash
// demands, and tells the log and qmgr.
func (d *Dispatcher) settle(ctx context.Context, f *flight) proto.Settled {
	d.tellOutcomes(f)
	if f.origin == fromDeferred {
		return d.settleDeferred(ctx, f)
	}
	return d.settleFirst(ctx, f)
}

// settleFirst ends a first attempt: done, or filed.
func (d *Dispatcher) settleFirst(ctx context.Context, f *flight) proto.Settled {
	if f.filed {
		return d.settleFiled(ctx, f)
	}
	if !f.anyWaiting() {
		d.markDone(f.ref, f.env.ID, f.file != nil)
		d.figures.atOnce.Add(1)
		d.log.Emit(event.FinishedOf(f.env.ID))
		return proto.Settled{State: proto.SettledGone}
	}
	if ctx.Err() != nil && !f.anyFinished() {
		// Cut off by the end of draining: the record stands, and is attempted at
		// the next start without the wait of a message that was filed.
		return proto.Settled{State: proto.SettledBusy}
	}
	var summary proto.Summary
	err := d.insist(ctx, f, "file a deferred message", func() (err error) {
		summary, err = d.file(f)
		return err
	})
	if err != nil {
		// The record stands: it is attempted again when room appears.
		d.retryLater(f)
		return proto.Settled{State: proto.SettledBusy}
	}
	// A crash here leaves the record and the file: recovery lets the file win.
	d.markFiled(f.ref, f.env.ID, f.file != nil)
	d.log.Emit(event.FiledOf(f.env.ID, int(summary.Waiting), f.firstWaitingKind()))
	return proto.Settled{State: proto.SettledWaiting, Summary: summary}
}

// settleFiled ends a first attempt that was filed while it went on.
func (d *Dispatcher) settleFiled(ctx context.Context, f *flight) proto.Settled {
	now, left := d.now(), f.countWaiting()
	var lines []spool.LogLine
	for i := range f.leaves {
		if !f.isInLog(i) {
			lines = append(lines, f.lines(i, now)...)
		}
	}
	if left == 0 && d.finish(ctx, f.env.ID) {
		return proto.Settled{State: proto.SettledGone}
	}
	if f.warned {
		lines = append(lines, warnedLine(now))
	}
	if left == 0 {
		lines = append(lines, spool.LogLine{Time: now, Verb: spool.Finished, Recipient: spool.WholeMessage})
	}
	err := d.insist(ctx, f, "note an attempt", func() error {
		return d.spool.AppendLog(spool.Deferred, f.env.ID, lines)
	})
	if err != nil {
		return proto.Settled{State: proto.SettledBusy} // qmgr's next walk finds it
	}
	summary := d.summary(f, left, now)
	if left > 0 {
		d.log.Emit(event.FiledOf(f.env.ID, left, f.firstWaitingKind()))
		return proto.Settled{State: proto.SettledWaiting, Summary: summary}
	}
	if err := d.removeDeferred(ctx, f.env.ID, now); err != nil {
		d.log.Emit(event.TroubleOf(f.env.ID, "remove a finished message", err))
		return proto.Settled{State: proto.SettledWaiting, Summary: summary} // the next attempt removes it
	}
	d.log.Emit(event.FinishedOf(f.env.ID))
	return proto.Settled{State: proto.SettledGone}
}

// insist repeats what fails for as long as this flight is all that knows who was
// served: to give up would be to serve them again with each later attempt. A
// flight that has served nobody gives up at once, and takes no memory.
func (d *Dispatcher) insist(ctx context.Context, f *flight, doing string, do func() error) error {
	for {
		err := do()
		if err == nil {
			return nil
		}
		d.log.Emit(event.TroubleOf(f.env.ID, doing, err))
		if !f.anyFinished() || !d.rest(ctx) {
			return err
		}
	}
}

// file puts a message under deferred/ at the end of its first attempt.
func (d *Dispatcher) file(f *flight) (proto.Summary, error) {
	now := d.now()
	var lines []spool.LogLine
	for i := range f.leaves {
		lines = append(lines, f.lines(i, now)...)
	}
	if f.warned {
		lines = append(lines, warnedLine(now))
	}
	if err := d.put(f, lines); err != nil {
		return proto.Summary{}, err
	}
	return d.summary(f, f.countWaiting(), now), nil
}

// warnedLine says that the sender was told of the delay.
func warnedLine(now time.Time) spool.LogLine {
	return spool.LogLine{Time: now, Verb: spool.Warned, Recipient: spool.WholeMessage}
}

// put writes deferred/XX/ID with the first lines of its log. Its recipients are the
// leaves: what was expanded at the first attempt is what is retried. What is done to
// the header of a leaf's own delivery (Leaf.Edit) is found out again each time.
func (d *Dispatcher) put(f *flight, lines []spool.LogLine) error {
	env := *f.env
	env.Recipients = make([]envelope.Recipient, len(f.leaves))
	for i := range f.leaves {
		env.Recipients[i] = f.leaves[i].Recipient
	}
	msg := spool.Message{ID: env.ID, Envelope: env.Marshal(), Content: f.content.Inline, Body: f.body(), Log: lines}
	return d.spool.File(spool.Deferred, &msg)
}

// body is large content; nil where it is inline.
func (f *flight) body() *io.SectionReader {
	if f.file == nil {
		return nil
	}
	return io.NewSectionReader(f.file, f.content.Offset, f.content.Size)
}

// name is what the log of the message has for leaf i: the number of a recipient of
// the deferred file, and a name.
func (f *flight) name(i int) (number int, key untrusted.Text) {
	l := &f.leaves[i]
	switch {
	case f.origin == fromJournal:
		return i, ledger.KeyText(&l.Recipient)
	case l.Expanded:
		return f.index[l.Parent], ledger.ChildKey(&f.env.Recipients[l.Parent], &l.Recipient)
	}
	return f.index[l.Parent], ledger.KeyText(&l.Recipient)
}

// lines are those that tell the outcome of leaf i.
func (f *flight) lines(i int, now time.Time) []spool.LogLine {
	n, key := f.name(i)
	lines := []spool.LogLine{spool.LineOf(now, n, key, f.outcomes[i])}
	if f.outcomes[i].Permanent() {
		// reportAll made a deferral of every failure that it could not report.
		lines = append(lines, spool.LogLine{Time: now, Verb: spool.Reported, Recipient: n, Address: key})
	}
	return lines
}

// settleDeferred ends a later attempt: lines for what happened, removal when
// nothing waits.
func (d *Dispatcher) settleDeferred(ctx context.Context, f *flight) proto.Settled {
	busy := proto.Settled{State: proto.SettledBusy, Summary: proto.Summary{ID: f.env.ID}}
	if f.anyWaiting() && !f.anyFinished() && (f.allBusy() || ctx.Err() != nil) {
		return busy // nothing was tried, so there is nothing to tell
	}
	now := d.now()
	waiting := f.waitingParents()
	if f.allPutOff() && !f.warned {
		summary := d.summary(f, f.apart+count(waiting), f.book.LastAttempt)
		summary.Attempts = uint32(f.book.Attempts)
		return proto.Settled{State: proto.SettledWaiting, Summary: summary}
	}
	if f.apart+count(waiting) == 0 && !f.book.Finished && d.finish(ctx, f.env.ID) {
		return proto.Settled{State: proto.SettledGone}
	}
	// What was jotted has to be flushed, too.
	if lines := f.laterLines(waiting, now); len(lines) > 0 || f.inLog != nil {
		err := d.insist(ctx, f, "note an attempt", func() error {
			return d.spool.AppendLog(spool.Deferred, f.env.ID, lines)
		})
		if err != nil && f.anyFinished() {
			return busy
		}
	}
	if left := f.apart + count(waiting); left > 0 {
		return proto.Settled{State: proto.SettledWaiting, Summary: d.summary(f, left, now), Warned: f.warned}
	}
	if err := d.removeDeferred(ctx, f.env.ID, now); err != nil {
		d.log.Emit(event.TroubleOf(f.env.ID, "remove a finished message", err))
		return busy // the log says that nobody waits: the next attempt removes it
	}
	d.log.Emit(event.FinishedOf(f.env.ID))
	return proto.Settled{State: proto.SettledGone}
}

func count(waiting []bool) int {
	n := 0
	for _, waits := range waiting {
		if waits {
			n++
		}
	}
	return n
}

// laterLines are the lines of a later attempt; waiting is by recipient of the
// flight.
func (f *flight) laterLines(waiting []bool, now time.Time) []spool.LogLine {
	var lines []spool.LogLine
	for i := range f.leaves {
		if !f.isInLog(i) {
			lines = append(lines, f.lines(i, now)...)
		}
	}
	for parent, waits := range waiting {
		if !waits && f.expanded(parent) {
			rc := &f.env.Recipients[parent]
			lines = append(lines, spool.LineOf(now, f.index[parent], ledger.KeyText(rc),
				outcome.Outcome{Class: outcome.Expanded, Status: statusDelivered}))
		}
	}
	if f.warned {
		lines = append(lines, warnedLine(now))
	}
	return lines
}

// removeDeferred ends state S4.
func (d *Dispatcher) removeDeferred(ctx context.Context, id queueid.ID, now time.Time) error {
	if err := d.marksFlushed(ctx, id); err != nil {
		return err
	}
	return d.spool.Remove(spool.Deferred, id, now)
}

// markDone marks a record that needs nothing more; large says that its content
// is in a file of its own, which then goes too.
func (d *Dispatcher) markDone(ref journal.Ref, id queueid.ID, large bool) {
	d.figures.marks.Add(1)
	if large {
		d.marker.DoneLarge(ref, id)
		return
	}
	d.marker.Done(ref)
}

// markFiled marks the record of a message that now lies under deferred/, and
// remembers it until the mark is on disk: until then the file must not go.
func (d *Dispatcher) markFiled(ref journal.Ref, id queueid.ID, large bool) {
	d.figures.filed.Add(1)
	d.mu.Lock()
	d.unflushed[id] = ref
	d.mu.Unlock()
	d.markDone(ref, id, large)
	d.marker.AfterFlush(func() {
		d.mu.Lock()
		delete(d.unflushed, id)
		d.mu.Unlock()
	})
}

// marksFlushed returns when the mark of a deferred message's record is on disk.
func (d *Dispatcher) marksFlushed(ctx context.Context, id queueid.ID) error {
	d.mu.Lock()
	ref, young := d.unflushed[id]
	d.mu.Unlock()
	if !d.settled.Load() {
		return d.marker.FlushNow(ctx)
	}
	if !young || d.marker.Flushed(ref) {
		return nil
	}
	return d.marker.FlushNow(ctx)
}

func (f *flight) anyWaiting() bool { return f.countWaiting() > 0 }

// anyFinished tells whether a recipient was served, or reported on, for good.
func (f *flight) anyFinished() bool { return f.countWaiting() < len(f.outcomes) }

// allBusy tells whether our own limits alone stood in the way, and nothing is known of
// when they will not.
func (f *flight) allBusy() bool {
	for i := range f.outcomes {
		if f.outcomes[i].Kind != outcome.Busy {
			return false
		}
	}
	return !f.allPutOff()
}

func (f *flight) countWaiting() int {
	n := 0
	for i := range f.outcomes {
		if f.outcomes[i].Temporary() {
			n++
		}
	}
	return n
}

// waitingParents tells for each recipient of the flight whether a leaf of its
// still waits.
func (f *flight) waitingParents() []bool {
	waits := make([]bool, len(f.env.Recipients))
	for i := range f.leaves {
		if f.outcomes[i].Temporary() {
			waits[f.leaves[i].Parent] = true
		}
	}
	return waits
}

// expanded tells whether a recipient was replaced by others (all of which may
// have been served before).
func (f *flight) expanded(parent int) bool {
	for i := range f.leaves {
		if f.leaves[i].Parent == parent && !f.leaves[i].Expanded {
			return false
		}
	}
	return true
}

func (f *flight) firstWaitingKind() string {
	for i := range f.outcomes {
		if f.outcomes[i].Temporary() {
			return string(f.outcomes[i].Kind)
		}
	}
	return ""
}

// summary is what qmgr needs to schedule and list the message.
func (d *Dispatcher) summary(f *flight, waiting int, now time.Time) proto.Summary {
	s := proto.Summary{
		ID: f.env.ID, Arrived: f.since().Unix(), LastAttempt: now.Unix(), Attempts: uint32(f.attempt),
		Size: f.env.Size, Bounce: f.env.Sender.IsNull(), Waiting: uint32(waiting), Busy: true, Owner: proto.OwnerOf(f.env),
		Sender: proto.ShareOf(f.env), Priority: f.env.Priority,
	}
	for i := range f.outcomes {
		if !f.outcomes[i].Temporary() {
			continue
		}
		if s.NextHop == "" {
			s.NextHop = f.leaves[i].NextHop
			if s.NextHop == "" {
				s.NextHop = f.leaves[i].Recipient.Address.Domain()
			}
		}
		s.Busy = s.Busy && f.outcomes[i].Kind == outcome.Busy && !f.isPutOff(i)
	}
	var giveUp int64
	s.Due, giveUp = d.due(f, d.now())
	s.Due, s.GiveUp = f.limitByTime(s.Due, giveUp/1000, d.now())
	if f.origin == fromJournal {
		s.Addresses = f.addresses()
	}
	return f.orderOf(s)
}

// addresses is what the message is filed with, for who looks for one of them.
func (f *flight) addresses() []string {
	list := make([]string, 1, 1+len(f.leaves))
	list[0] = f.env.Sender.String()
	for i := range f.leaves {
		list = append(list, f.leaves[i].Recipient.Address.String())
	}
	return proto.Tellable(list)
}

// tellOutcomes logs one line for each leaf that has none yet.
func (d *Dispatcher) tellOutcomes(f *flight) {
	now := d.now()
	for i := range f.leaves {
		if untold := f.origin == fromDeferred && f.isPutOff(i); !untold && !f.isTold(i) {
			d.tellOutcome(f, i, now)
		}
	}
}

func (d *Dispatcher) tellOutcome(f *flight, leaf int, now time.Time) {
	l := &f.leaves[leaf]
	ev := event.SettledOf(f.env.ID)
	ev.To, ev.Outcome, ev.Attempt = l.Recipient.Address, &f.outcomes[leaf], f.attempt
	ev.Target = l.Recipient.Target
	ev.Took, ev.SinceRcv = now.Sub(f.began), now.Sub(f.env.Arrived)
	ev.Orig = givenAs(&l.Recipient)
	if ev.Orig == nil && l.Expanded {
		ev.Orig = &f.env.Recipients[l.Parent].Address
	}
	d.log.Emit(ev)
}

// givenAs is the address that the sender wrote, nil where it is the recipient's own. A
// message that was filed has the members of a list for its recipients; the sender is not
// to learn them from what later attempts say.
func givenAs(rc *envelope.Recipient) *mailaddr.Address {
	if len(rc.Lineage) == 0 {
		return nil
	}
	return &rc.Lineage[0]
}

// tellDeadline bounds the wait for qmgr, which only has to put the message into
// its schedule.
const tellDeadline = 10 * time.Second

// tellQmgr is allowed to fail when qmgr is gone: the next one reads the files.
// One that is there and does not answer is told again.
func (d *Dispatcher) tellQmgr(s proto.Summary) {
	for {
		ctx, cancel := context.WithTimeout(d.ctx, tellDeadline)
		err := d.qmgr.Call(ctx, &proto.Filed{Summary: s}, &proto.FiledOK{})
		cancel()
		if err == nil {
			return
		}
		d.log.Emit(event.TroubleOf(s.ID, "tell qmgr", err))
		if !errors.Is(err, context.DeadlineExceeded) || !d.rest(d.work) {
			return
		}
	}
}

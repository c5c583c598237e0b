package dispatch

import (
	"context"
	"errors"

	"filbert/pkg/event"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
)

// mend brings the spool into order: records of the journal first, then the queues (see the
// table of states in pkg/spool). What it can't read waits, and holds up nothing else.
func (d *Dispatcher) mend() {
	d.mendJournal()
	d.sweep()
}

// mendJournal does the part that must be over before anything of the spool is touched: after
// it no file in the queues belongs to a record that is undone.
func (d *Dispatcher) mendJournal() {
	if !d.recover() {
		d.miss()
	}
}

// sweep brings the queues into order beside what is served: of a million messages that takes
// its time. Whatever is asked about one that it has not come by is preceded by mendOne.
func (d *Dispatcher) sweep() {
	claimed := false
	rep, err := d.spool.SweepBeside(d.work, func(id queueid.ID) (func(), bool) {
		if !d.claimFiled(id) {
			return nil, false
		}
		claimed = true
		return func() { d.release(id) }, true
	})
	if errors.Is(err, context.Canceled) {
		err = nil // the next start begins it again
	} else if err == nil {
		d.swept.Store(true)
	}
	d.tellSwept(&rep, err)
	if claimed {
		// A record may have been handed over while its message was claimed, and was taken
		// for one that is under way.
		d.lookAgain()
	}
}

// claimFiled makes a message ours alone to look at. One that is under way is its flight's, and
// one in the backlog has just been resolved.
func (d *Dispatcher) claimFiled(id queueid.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, under := d.flights[id]
	if _, waits := d.waitingIDs[id]; under || waits {
		return false
	}
	d.flights[id] = struct{}{}
	return true
}

// claimDue makes a message of the queues ours for what qmgr wants of it. It tells whether the
// sweep was over before that: else it may have left the message to us.
func (d *Dispatcher) claimDue(id queueid.ID) (swept, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, under := d.flights[id]; under || d.stopping || len(d.flights) >= maxFlights {
		return false, false
	}
	d.flights[id] = struct{}{}
	return d.swept.Load(), true
}

// mendOne does for a message what the sweep has not come to do. The caller has it among the
// flights. A crash may have left it in both queues, and what counts as held must not
// be tried.
func (d *Dispatcher) mendOne(id queueid.ID) error {
	rep, err := d.spool.Mend(id)
	d.tellSwept(&rep, err)
	return err
}

func (d *Dispatcher) tellSwept(rep *spool.SweepReport, err error) {
	if err != nil {
		d.log.Emit(event.TroubleOf(0, "bring the queues into order", err))
	}
	for _, id := range rep.Lone {
		d.log.Emit(event.CorruptOf(id, "the log of a message is gone; it is attempted anew", "", spool.ErrDamaged))
	}
	for _, name := range rep.Strange {
		d.log.Emit(event.CorruptOf(0, "a file of no message", name, spool.ErrDamaged))
	}
}

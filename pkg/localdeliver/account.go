package localdeliver

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
)

// account keeps the limits of one Maildir during one delivery. Deliveries of one
// process to it follow one another, so that two cannot both take the last place.
// Another process of the same user (an older child on its way out, or one with
// another umask) may come in between: the mailbox then gets a message too many for
// each.
type account struct {
	w    *worker
	d    *delivery
	dir  *durable.Dir
	path string
	limits
	done func()

	held    tally // what the mailbox holds
	counted bool  // just now, and not taken from the file
}

// openAccount looks at what the mailbox holds, nil where there are no limits. An
// outcome says that there is no room.
func (w *worker) openAccount(ctx context.Context, d *delivery, dir *durable.Dir, path string) (*account, *outcome.Outcome) {
	l := limitsOfMailbox(d.t)
	if !l.any() {
		return nil, nil
	}
	waiting, cancel := context.WithTimeout(ctx, w.lockWait)
	defer cancel()
	done, err := w.mailboxes.take(waiting, path)
	if err != nil {
		return nil, fileOutcome("wait for the mailbox "+path, err)
	}
	a := &account{w: w, d: d, dir: dir, path: path, limits: l, done: done}
	o, err := a.admit()
	if err != nil {
		o = fileOutcome("count the mailbox "+path, err)
	}
	if o != nil {
		done()
		return nil, o
	}
	return a, nil
}

// close lets the next delivery go on.
func (a *account) close() {
	if a != nil {
		a.done()
	}
}

// admit refuses what does not fit. Before it does it counts, as the user may have
// made room.
func (a *account) admit() (*outcome.Outcome, error) {
	now := a.w.now()
	var err error
	a.held, err = readTally(a.dir, a.spec())
	if age := now.Sub(a.held.written); err != nil || age > tallyAge || age < -tallyAge {
		if err := a.count(); err != nil {
			return nil, err
		}
	}
	o := a.refusal(now)
	if o == nil || a.exact() {
		return o, nil
	}
	if err := a.count(); err != nil {
		return nil, err
	}
	return a.refusal(now), nil
}

func (a *account) refusal(now time.Time) *outcome.Outcome {
	return a.d.refuses(a.limits, a.held.usage, a.d.maildirReader(a.dir, a.path, now), now)
}

// exact tells whether what is held needs no counting: a mailbox that is full is
// not counted again for each message that somebody sends to it.
func (a *account) exact() bool {
	return a.counted || a.held.lines == 1 && !changedSince(a.dir, a.held.written)
}

// count counts and writes it down. Where it can't be written, the disk being
// full, it is counted each time.
func (a *account) count() error {
	u, _, err := countMaildir(a.dir)
	if err != nil {
		return err
	}
	a.held, a.counted = tally{usage: u, lines: 1}, true
	_ = replaceTally(a.dir, "tmp/"+a.w.uniqueName(a.d.Hostname), a.spec(), u)
	return nil
}

// added notes a message that was delivered, and warns where it is time.
func (a *account) added(ctx context.Context, size int64) {
	if a == nil {
		return
	}
	a.note(usage{bytes: size, messages: 1})
	now := a.w.now()
	if a.d.Job.Recipient.Kind != envelope.TargetAddress {
		return // a file that an alias names, which nobody reads for warnings
	}
	if !a.warns(a.held.usage) || !warningDue(a.dir, warnedName, a.d.t.WarnEvery.D(), now) {
		return
	}
	if !a.counted && (a.count() != nil || !a.warns(a.held.usage)) {
		return
	}
	if !claimWarning(a.dir, warnedName, now) {
		return
	}
	letter := a.d.warning(a.limits, a.held.usage, now)
	_, _ = a.w.deposit(ctx, a.dir, warningMark[1:]+a.d.Hostname, letter.writeTo) // a warning that can't be written is none
}

// note adds to what is held, in the file too.
func (a *account) note(change usage) {
	err := appendTally(a.dir, change)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// The first message of a new mailbox: there was no tmp to write a tally in.
		if a.count() == nil {
			return
		}
	case err != nil:
		// Without its line it would be wrong for long: have it counted again.
		_ = a.dir.Remove(tallyName)
	}
	a.held.bytes += change.bytes
	a.held.messages += change.messages
}

// maildirReader gives when the Maildir was last read, if somebody asks.
func (d *delivery) maildirReader(dir *durable.Dir, path string, now time.Time) func() time.Time {
	return func() time.Time { return maildirRead(dir, path, now.Add(-d.t.ReadWithin.D())) }
}

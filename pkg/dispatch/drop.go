package dispatch

import (
	"errors"
	"io/fs"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/ledger"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// dropRecipients ends recipients of a message in either queue because their sender
// no longer wants it: a line for each that says who cancelled, and no report. A
// message that is owed to nobody else goes.
func (d *Dispatcher) dropRecipients(req *proto.Due) proto.Settled {
	left := proto.Settled{State: proto.SettledBusy, Summary: proto.Summary{ID: req.ID}}
	for _, q := range []spool.Queue{spool.Deferred, spool.Hold} {
		env, err := d.envelopeIn(q, req)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			left.State, err = d.dropFrom(q, env, req)
		}
		if err != nil {
			d.log.Emit(event.TroubleOf(req.ID, "drop recipients", err))
			left.State = proto.SettledBusy
		}
		return left
	}
	left.State = proto.SettledMissing
	return left
}

func (d *Dispatcher) envelopeIn(q spool.Queue, req *proto.Due) (*envelope.Envelope, error) {
	e, err := d.spool.Open(q, req.ID)
	if err != nil {
		return nil, err
	}
	env, err := envelope.Unmarshal(e.Envelope)
	return env, errors.Join(err, e.Close())
}

// dropFrom drops from a message that lies in q.
func (d *Dispatcher) dropFrom(q spool.Queue, env *envelope.Envelope, req *proto.Due) (proto.SettledState, error) {
	now := d.now()
	book := ledger.Read(env, d.spool.Log(q, req.ID))
	lines, left := dropLines(env, book, req, now)
	if left == 0 {
		lines = append(lines, spool.LogLine{Time: now, Verb: spool.Finished, Recipient: spool.WholeMessage})
	}
	if len(lines) > 0 {
		if err := d.spool.AppendLog(q, req.ID, lines); err != nil {
			return 0, err
		}
	}
	// A crash here has cancelled them: the lines are on disk, and files of which
	// nothing is owed are removed later.
	for i := range lines {
		if lines[i].Verb == spool.Cancelled {
			d.tellDropped(env, &lines[i], book.Attempts)
		}
	}
	if left > 0 {
		return proto.SettledWaiting, nil
	}
	if err := d.marksFlushed(d.ctx, req.ID); err != nil {
		return 0, err
	}
	if err := d.spool.Remove(q, req.ID, now); err != nil {
		return 0, err
	}
	d.log.Emit(event.FinishedOf(req.ID))
	return proto.SettledGone, nil
}

// dropLines are the lines that end those of the recipients that still wait; left is
// how many others do.
func dropLines(env *envelope.Envelope, book *ledger.Ledger, req *proto.Due, now time.Time) (lines []spool.LogLine, left int) {
	wanted := make(map[uint32]struct{}, len(req.Recipients))
	for _, n := range req.Recipients {
		wanted[n] = struct{}{}
	}
	for _, n := range book.Waiting() {
		if _, drop := wanted[uint32(n)]; !drop {
			left++
			continue
		}
		line := spool.LogLine{Time: now, Verb: spool.Cancelled, Recipient: n, Address: ledger.KeyText(&env.Recipients[n])}
		line.Outcome.Text = untrusted.From(req.Reason)
		lines = append(lines, line)
	}
	return lines, left
}

// tellDropped logs one of them, as the end of every other recipient is logged.
func (d *Dispatcher) tellDropped(env *envelope.Envelope, line *spool.LogLine, attempts int) {
	rc := &env.Recipients[line.Recipient]
	ev := event.SettledOf(env.ID)
	ev.To, ev.Orig, ev.Target, ev.Attempt = rc.Address, givenAs(rc), rc.Target, attempts
	ev.SinceRcv = line.Time.Sub(env.Arrived)
	ev.Outcome = &outcome.Outcome{
		Class: outcome.Failed, Kind: outcome.Cancelled, Text: line.Outcome.Text,
		Status: smtp.Status{Class: 5, Subject: 0, Detail: 0},
	}
	d.log.Emit(ev)
}

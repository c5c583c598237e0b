package dispatch

import (
	"context"
	"errors"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// The time by which the sender wants a message to be delivered (DELIVERBY, RFC 2852).

var statusLate = smtp.Status{Class: 5, Subject: 4, Detail: 7} // RFC 3463, section 3.5

// isLate tells whether a message has to be returned as its time is over.
func (f *flight) isLate(now time.Time) bool {
	return f.due.Action != proto.DueBounce && f.env.DeliverBy.Mode == envelope.ByReturn && f.env.DeliverBy.IsOver(now)
}

// endByTime does what the sender wants of those who were not served in time: with R they
// fail, whatever stands in the way and whoever keeps them (section 4.1.3); with N he is
// told once, and it goes on.
func (d *Dispatcher) endByTime(f *flight) {
	now, by := d.now(), &f.env.DeliverBy
	if f.isLate(now) {
		for i := range f.outcomes {
			f.endLate(i, by.At)
		}
		return
	}
	if by.Mode == envelope.ByNotify && by.IsOver(now) && f.due.Action != proto.DueBounce && f.lastTold().Before(by.At) && f.anyWaiting() {
		f.due.WarnDelay, f.overdue = true, true
		if f.due.GiveUpAt == 0 { // a first attempt
			_, giveUp := d.due(f, now)
			f.due.GiveUpAt = giveUp / 1000
		}
	}
}

// machineTime is the time of a message by the clock of smtp-client, which is the
// machine's (pkg/clock).
func (d *Dispatcher) machineTime(by envelope.DeliverBy) envelope.DeliverBy {
	if !by.IsZero() && d.clock.Movable() {
		by.At = by.At.Add(time.Until(d.now()) * -1)
	}
	return by
}

// endLate makes a failure of a leaf that was not served.
func (f *flight) endLate(i int, at time.Time) {
	o := &f.outcomes[i]
	if o.Class != 0 && !o.Temporary() {
		return
	}
	words := "not delivered by " + at.UTC().Format("2006-01-02 15:04:05 MST") + ", as its sender wanted"
	switch {
	case o.Class == 0:
		o.Text = untrusted.From(words)
	case o.Remote == "": // else they are the server's words, which the report quotes
		o.Text = o.Text.Plus(" - " + words)
	}
	o.Class, o.Kind, o.Status = outcome.Failed, outcome.Expired, statusLate
	*f.courseOf(i) = course{}
}

// lastTold is when the sender was last told of a delay; zero: never.
func (f *flight) lastTold() time.Time {
	if f.book == nil {
		return time.Time{}
	}
	return f.book.LastWarned
}

// limitByTime brings forward when the message is due and given up; giveUp in seconds.
func (f *flight) limitByTime(due, giveUp int64, now time.Time) (int64, int64) {
	told := f.lastTold()
	if f.warned {
		told = now
	}
	return f.env.DeliverBy.Limit(due, giveUp, told, now)
}

// wantsTrace: the sender wants to hear that a message was passed on (RFC 2852, section
// 4.1.4): always with T, and with N where the next server can't tell him that it is late,
// unless it is late already. Who said NOTIFY=NEVER does not.
func wantsTrace(f *flight, i int) bool {
	o, by, n := &f.outcomes[i], &f.env.DeliverBy, f.leaves[i].Recipient.Notify
	passedOn := o.Class == outcome.Delivered && (o.Relayed || o.DSNPassed)
	return passedOn && !f.isTold(i) && !n.Has(envelope.NotifyNever) && f.leaves[i].Recipient.ErrorsTo == nil &&
		(by.Trace || by.Mode == envelope.ByNotify && !o.ByPassed && !by.IsOver(f.began))
}

// asReported is an outcome as it is reported. What a trace tells is that the message was
// passed on, whether or not the next server reports, too; what is told at the end of the
// time is that it is over (section 4.1.3), beside what stands in the way.
func asReported(f *flight, what proto.ReportKind, i int) outcome.Outcome {
	o := f.outcomes[i]
	switch {
	case what == proto.ReportSuccess && wantsTrace(f, i):
		o.Relayed = true
	case what == proto.ReportDelay && f.overdue:
		o.Status = smtp.Status{Class: 4, Subject: 4, Detail: 7}
	}
	return o
}

var errTooLate = errors.New("no place at its destination came free in time")

// takePlaceInTime waits for a place for as long as the message may still be delivered:
// after errTooLate endByTime says what becomes of it.
func (d *Dispatcher) takePlaceInTime(ctx context.Context, f *flight, j *job) error {
	by := &f.env.DeliverBy
	if by.Mode != envelope.ByReturn {
		return d.takePlace(ctx, f, j)
	}
	wait, cancel := context.WithTimeout(ctx, by.At.Sub(d.now()))
	defer cancel()
	err := d.takePlace(wait, f, j)
	if !f.isLate(d.now()) {
		return err
	}
	if err == nil {
		d.limits.give(j.dest)
	}
	return errTooLate
}

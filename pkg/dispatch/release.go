package dispatch

import (
	"context"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/proto"
	"filbert/pkg/spool"
)

// What its sender wants to be sent later (FUTURERELEASE, RFC 4865) is filed at once,
// without an attempt: it lies under deferred/ as other mail does, and is due when it may
// be released. It is expanded and routed then, as things are then.

// firstAttempt is when anything was tried first, before this flight; zero: never.
func (f *flight) firstAttempt() time.Time {
	if f.book == nil {
		return time.Time{}
	}
	return f.book.FirstAttempt
}

// since is the moment from which the time of the message counts: its give-up time, the
// warnings, the phases of the retry rules.
func (f *flight) since() time.Time {
	if first := f.firstAttempt(); !first.IsZero() {
		return f.env.Since(first)
	}
	return f.env.Since(f.began)
}

// isEarly tells whether nothing is to be tried yet. An administrator may want it all the
// same, and one who returns a message need not wait. Nor does a message that is owed to
// nobody any more: it only has to go.
func (f *flight) isEarly(now time.Time) bool {
	attempt := f.origin == fromJournal || f.due.Action == proto.DueAttempt
	return attempt && !f.due.Now && len(f.env.Recipients) > 0 && f.env.IsHeld(f.firstAttempt(), now)
}

// keepHeld files a message that is not to be tried yet, or leaves it where it is.
func (d *Dispatcher) keepHeld(ctx context.Context, f *flight) proto.Settled {
	summary := f.heldSummary()
	if f.origin == fromDeferred {
		return proto.Settled{State: proto.SettledWaiting, Summary: summary}
	}
	msg := spool.Message{ID: f.env.ID, Envelope: f.env.Marshal(), Content: f.content.Inline, Body: f.body()}
	err := d.insist(ctx, f, "file a message that is to be sent later", func() error {
		return d.spool.File(spool.Deferred, &msg)
	})
	if err != nil {
		// The record stands: it is filed when room appears, or at the next start.
		d.retryLater(f)
		return proto.Settled{State: proto.SettledBusy}
	}
	// A crash here leaves the record and the file: recovery lets the file win.
	d.markFiled(f.ref, f.env.ID, f.file != nil)
	d.log.Emit(event.FiledOf(f.env.ID, int(summary.Waiting), "later"))
	return proto.Settled{State: proto.SettledWaiting, Summary: summary}
}

// heldSummary is what qmgr is told of a message that was not tried yet.
func (f *flight) heldSummary() proto.Summary {
	s := proto.Summary{
		ID: f.env.ID, Arrived: f.env.ReleaseAt.Unix(), Size: f.env.Size, Bounce: f.env.Sender.IsNull(),
		Waiting: uint32(f.apart + len(f.env.Recipients)), NextHop: f.env.Recipients[0].Address.Domain(),
		Owner: proto.OwnerOf(f.env), Sender: proto.ShareOf(f.env), Priority: f.env.Priority,
		Due: f.env.ReleaseAt.UnixMilli(),
	}
	if f.origin == fromJournal {
		s.Addresses = proto.Tellable(proto.AddressesOf(f.env))
	}
	return s
}

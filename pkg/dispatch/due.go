package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/ledger"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// handleDue makes a later attempt for qmgr, in a goroutine of its own.
func (d *Dispatcher) handleDue(ctx context.Context, call *ipc.Call) {
	var req proto.Due
	if err := call.Decode(&req); err != nil {
		return
	}
	d.wg.Go(func() {
		settled := d.attemptDeferred(ctx, &req)
		call.Reply(&settled)
	})
}

func (d *Dispatcher) attemptDeferred(_ context.Context, req *proto.Due) proto.Settled {
	swept, ok := d.claimDue(req.ID)
	if !ok {
		return proto.Settled{State: proto.SettledBusy, Summary: proto.Summary{ID: req.ID}}
	}
	defer d.release(req.ID)

	if !swept {
		if err := d.mendOne(req.ID); err != nil {
			return proto.Settled{State: proto.SettledBusy, Summary: proto.Summary{ID: req.ID}} // the disk may recover
		}
	}
	switch req.Action {
	case proto.DueDelete:
		return d.delete(req)
	case proto.DueRedirect:
		return d.redirect(req)
	case proto.DueDrop:
		return d.dropRecipients(req)
	case proto.DueHold:
		return d.move(req, spool.Deferred, spool.Hold, spool.Held)
	case proto.DueRelease:
		return d.move(req, spool.Hold, spool.Deferred, spool.Released)
	}
	f, state, err := d.loadDeferred(req)
	if err != nil {
		if state == proto.SettledCorrupt {
			d.log.Emit(event.CorruptOf(req.ID, "deferred message", spool.CorruptName(spool.Deferred, req.ID), err))
		}
		return proto.Settled{State: state, Summary: proto.Summary{ID: req.ID}}
	}
	defer f.close()
	return d.run(d.ctx, f)
}

// delete removes a message in either queue by the administrator's order.
func (d *Dispatcher) delete(req *proto.Due) proto.Settled {
	left := proto.Settled{State: proto.SettledBusy, Summary: proto.Summary{ID: req.ID}}
	if err := d.marksFlushed(d.ctx, req.ID); err != nil {
		d.log.Emit(event.TroubleOf(req.ID, "flush the journal's marks", err))
		return left
	}
	for _, q := range []spool.Queue{spool.Deferred, spool.Hold} {
		err := d.lies(q, req.ID)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err = errors.Join(err, d.spool.Remove(q, req.ID, d.now())); err != nil {
			d.log.Emit(event.TroubleOf(req.ID, "delete a message", err))
			return left
		}
		left.State = proto.SettledGone
		return left
	}
	left.State = proto.SettledMissing
	return left
}

// lies is nil when a message that can be read lies in a queue.
func (d *Dispatcher) lies(q spool.Queue, id queueid.ID) error {
	e, err := d.spool.Open(q, id)
	if err != nil {
		return err
	}
	return e.Close()
}

// move holds a message or releases it: a line in its log that says who and why,
// then its files change their directory.
func (d *Dispatcher) move(req *proto.Due, from, to spool.Queue, verb spool.Verb) proto.Settled {
	left := proto.Settled{State: proto.SettledMoved, Summary: proto.Summary{ID: req.ID}}
	err := d.lies(from, req.ID)
	if err == nil {
		line := spool.LogLine{Time: d.now(), Verb: verb, Recipient: spool.WholeMessage}
		line.Outcome.Text = untrusted.From(req.Reason)
		err = d.spool.AppendLog(from, req.ID, []spool.LogLine{line})
	}
	if err == nil {
		err = d.spool.Move(req.ID, from, to)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		left.State = proto.SettledMissing
	case err != nil:
		d.log.Emit(event.TroubleOf(req.ID, "move a message to "+to.String(), err))
		left.State = proto.SettledBusy
	}
	return left
}

// loadDeferred makes a flight of what is still owed of deferred/XX/ID.
func (d *Dispatcher) loadDeferred(req *proto.Due) (*flight, proto.SettledState, error) {
	e, err := d.spool.Open(spool.Deferred, req.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, proto.SettledMissing, err
	}
	if err != nil {
		return nil, d.setAside(req, err), err
	}
	env, err := envelope.Unmarshal(e.Envelope)
	if err != nil {
		err = errors.Join(fmt.Errorf("%w: %w", spool.ErrDamaged, err), e.Close())
		return nil, d.setAside(req, err), err
	}
	book := ledger.Read(env, d.spool.Log(spool.Deferred, req.ID))
	if book.Bad > 0 {
		d.log.Emit(event.TroubleOf(req.ID, "read the log of a message", fmt.Errorf("%d bad lines", book.Bad)))
	}
	f := &flight{origin: fromDeferred, env: env, due: *req, attempt: book.Attempts + 1, book: book}
	if book.Ongoing {
		f.attempt = book.Attempts // goes on with the one that a crash has cut off
	}
	f.index = book.Waiting()
	f.onlyThose(req)
	all := env.Recipients
	env.Recipients = make([]envelope.Recipient, len(f.index))
	for i, n := range f.index {
		env.Recipients[i] = all[n]
	}
	f.entry = e
	f.content = proto.Content{Offset: e.ContentOffset, Size: e.ContentSize}
	f.file = e.OS()
	return f, 0, nil
}

// setAside moves what can't be understood to corrupt/, where people look.
func (d *Dispatcher) setAside(req *proto.Due, why error) proto.SettledState {
	if !errors.Is(why, spool.ErrDamaged) {
		d.log.Emit(event.TroubleOf(req.ID, "read a deferred message", why))
		return proto.SettledBusy // the disk may recover
	}
	if err := d.spool.Quarantine(spool.Deferred, req.ID); err != nil {
		d.log.Emit(event.TroubleOf(req.ID, "set a damaged message aside", err))
		return proto.SettledBusy
	}
	return proto.SettledCorrupt
}

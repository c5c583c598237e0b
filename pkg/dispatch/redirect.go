package dispatch

import (
	"errors"
	"io/fs"
	"slices"

	"filbert/pkg/event"
	"filbert/pkg/proto"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// redirect gives a recipient of a message in either queue another address: a line in its
// log says so, as the file of the message never changes.
func (d *Dispatcher) redirect(req *proto.Due) proto.Settled {
	left := proto.Settled{State: proto.SettledWaiting, Summary: proto.Summary{ID: req.ID}}
	if len(req.Recipients) != 1 || req.To.IsNull() {
		left.State = proto.SettledBusy
		return left
	}
	line := spool.LogLine{
		Time: d.now(), Verb: spool.Redirected, Recipient: int(req.Recipients[0]), Address: untrusted.From(req.To.String()),
	}
	line.Outcome.Text = untrusted.From(req.Reason)
	for _, q := range []spool.Queue{spool.Deferred, spool.Hold} {
		err := d.lies(q, req.ID)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = d.spool.AppendLog(q, req.ID, []spool.LogLine{line})
		}
		if err != nil {
			d.log.Emit(event.TroubleOf(req.ID, "redirect a recipient", err))
			left.State = proto.SettledBusy
		}
		return left
	}
	left.State = proto.SettledMissing
	return left
}

// onlyThose leaves the recipients out that are not meant. They stay the message's: it must
// not be removed when those of the flight are done.
func (f *flight) onlyThose(req *proto.Due) {
	if req.Action != proto.DueBounce || len(req.Recipients) == 0 {
		return
	}
	all := len(f.index)
	f.index = slices.DeleteFunc(f.index, func(n int) bool { return !slices.Contains(req.Recipients, uint32(n)) })
	f.apart = all - len(f.index)
}

package dispatch

import (
	"context"
	"sync"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
)

// reapEvery is how long what is left of a finished message may lie there. It is also
// what a power cut may bring back.
const reapEvery = time.Second

// finished is the messages under deferred/ that have ended and of which a file is left.
type finished struct {
	mu  sync.Mutex
	ids []queueid.ID
}

// finish ends a message under deferred/ of which nobody waits any more, without a flush:
// as with the marks of the journal, a power cut in the next second may have it delivered
// again, or a report made again, and nothing is lost. It reports whether it could;
// if not, its end has to be written down.
func (d *Dispatcher) finish(ctx context.Context, id queueid.ID) bool {
	err := d.marksFlushed(ctx, id)
	if err == nil {
		err = d.spool.Finish(spool.Deferred, id)
	}
	if err != nil {
		d.log.Emit(event.TroubleOf(id, "remove a finished message", err))
		return false
	}
	d.finished.mu.Lock()
	d.finished.ids = append(d.finished.ids, id)
	d.finished.mu.Unlock()
	d.log.Emit(event.FinishedOf(id))
	return true
}

// reap removes what is left of finished messages.
func (d *Dispatcher) reap() {
	d.finished.mu.Lock()
	ids := d.finished.ids
	d.finished.ids = nil
	d.finished.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	if err := d.spool.Reap(spool.Deferred, ids); err != nil {
		d.log.Emit(event.TroubleOf(0, "remove what is left of finished messages", err))
	}
}

// reaper reaps until ctx ends.
func (d *Dispatcher) reaper(ctx context.Context) {
	tick := time.NewTicker(reapEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			d.reap()
		}
	}
}

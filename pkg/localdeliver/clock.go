package localdeliver

import "filbert/pkg/clock"

// A child has no channel to master: what its parent's clock says comes with each job, in
// an instance whose clock can be moved.

// useClock gives a child its clock, at its start.
func (w *worker) useClock(c *clock.Clock) { w.clock, w.now = c, c.Now }

// moveClock takes over where the parent's clock is.
func (w *worker) moveClock(job *childJob) {
	if w.clock.Movable() {
		w.clock.MoveTo(job.Ahead)
	}
}

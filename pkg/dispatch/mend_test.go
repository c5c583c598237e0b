package dispatch

import (
	"testing"

	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
)

// inBothQueues is a deferred message that a crash has caught on its way to hold/.
func (r *rig) inBothQueues() queueid.ID {
	r.t.Helper()
	r.verdict["a@x.example"] = outcome.Defer(outcome.RcptRefused, statusInternal, "later")
	f := r.accept("a@x.example")
	r.first(f)
	id := f.env.ID
	if err := r.d.marker.FlushNow(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	dir := "hold/" + id.Shard()
	if err := r.d.fs.Mkdir(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	for _, name := range []string{id.String() + ".log", id.String()} {
		if err := r.d.fs.Link("deferred/"+id.Shard()+"/"+name, dir+"/"+name); err != nil {
			r.t.Fatal(err)
		}
	}
	r.jobs = nil
	return id
}

// What is in both queues counts as held, and that before the sweep has come by.
func TestMessageInBothQueuesIsNotTriedBeforeTheSweep(t *testing.T) {
	r := newRig(t)
	id := r.inBothQueues()
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledMissing || len(r.jobs) != 0 {
		t.Errorf("state %d, %d deliveries", got.State, len(r.jobs))
	}
	if !r.d.spool.Has(spool.Hold, id) || r.d.spool.Has(spool.Deferred, id) {
		t.Error("it is not on hold, and there alone")
	}
}

func TestSweepLeavesWhatIsUnderWayAlone(t *testing.T) {
	r := newRig(t)
	id := r.inBothQueues()
	r.d.flights[id] = struct{}{}
	r.d.sweep()
	if !r.d.spool.Has(spool.Hold, id) || !r.d.spool.Has(spool.Deferred, id) {
		t.Error("a message that is under way was moved")
	}
	delete(r.d.flights, id)
	r.d.swept.Store(false)
	r.d.sweep()
	if r.d.spool.Has(spool.Deferred, id) || len(r.d.flights) != 0 || !r.d.swept.Load() {
		t.Error("it was not brought together, or not let go of")
	}
}

// A record that was handed over while its message was claimed is taken for one that is
// under way: somebody has to look again.
func TestSweepThatClaimedSomethingAsksForAnotherWalk(t *testing.T) {
	r := newRig(t)
	r.d.sweep()
	if len(r.d.walk) != 0 {
		t.Error("a walk for nothing")
	}
	r.inBothQueues()
	r.d.sweep()
	if len(r.d.walk) != 1 {
		t.Error("no walk")
	}
}

// A sweep that is over a moment after a message was claimed has left it alone.
func TestMessageClaimedBeforeTheSweepWasOverIsMendedAllTheSame(t *testing.T) {
	r := newRig(t)
	id := r.inBothQueues()
	swept, ok := r.d.claimDue(id)
	r.d.sweep()
	if !ok || swept || !r.d.swept.Load() || !r.d.spool.Has(spool.Deferred, id) {
		t.Fatalf("claimed %v, swept %v", ok, swept)
	}
	r.d.release(id)
	if swept, ok = r.d.claimDue(id); !ok || !swept {
		t.Errorf("behind the sweep: claimed %v, swept %v", ok, swept)
	}
}

//go:build crash

package kill

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"filbert/tests/crash/rig"
)

// The full measure, for `make crash`.
const defaultRounds = 500

// TestNoDescriptorsAreLeftOfNeighboursThatDied kills one half of the suite again
// and again, and counts what the other half has open.
func TestNoDescriptorsAreLeftOfNeighboursThatDied(t *testing.T) {
	for name, die := range map[string][]string{
		"where mail comes from and goes to": {"smtpd", "dispatch", "smtp-client", "local-deliver", "qmgr"},
		"those in the middle":               {"cleanup", "router", "bounce"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.sink.Calm.Store(true)
			var before map[string]int
			for round := range 4 {
				w.traffic()
				now := w.open(die)
				t.Logf("round %d: %v", round, now)
				if round == 1 { // the first brings up what starts on demand
					before = now
				}
				for service, n := range now {
					if round > 1 && n > before[service]+2 {
						t.Errorf("%s has %d descriptors open after the others died, it had %d", service, n, before[service])
					}
				}
				for _, p := range w.Running() {
					for _, d := range die {
						if p.Name == d {
							_ = syscall.Kill(p.PID, syscall.SIGKILL)
						}
					}
				}
			}
		})
	}
}

// traffic has some mail of every kind go through, and waits for its end.
func (w *world) traffic() {
	w.t.Helper()
	load := rig.StartLoad(w.Suite, w.ledger, w.seed, rig.Clients{Sessions: 3, Programs: 1, Think: 20 * time.Millisecond})
	want := w.ledger.Acknowledged() + 40
	err := rig.Until(time.Minute, func() (bool, error) {
		n := w.ledger.Acknowledged()
		return n >= want, fmt.Errorf("%d messages were acknowledged, %d are wanted", n, want)
	})
	load.Stop()
	if err == nil {
		err = rig.Until(time.Minute, w.done)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// open counts the descriptors of those that do not die, once what is only kept
// for a moment (connections to servers, children) has been let go.
func (w *world) open(die []string) map[string]int {
	w.t.Helper()
	count := func() map[string]int {
		out := map[string]int{}
		for _, p := range w.Running() {
			out[p.Name] = p.Descriptors()
		}
		for _, d := range append(die, "local-child", "pickup") {
			delete(out, d)
		}
		return out
	}
	now := count()
	still := time.Now()
	err := rig.Until(time.Minute, func() (bool, error) {
		if next := count(); fmt.Sprint(next) != fmt.Sprint(now) {
			now, still = next, time.Now()
		}
		return time.Since(still) > 6*time.Second, fmt.Errorf("the count never stands still: %v", now)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return now
}

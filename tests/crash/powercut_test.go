package crash

import (
	"errors"
	"maps"
	"testing"

	"filbert/pkg/durable/crashfs"
	"filbert/pkg/queueid"
)

// survivals is how many selections of what was not flushed are tried per cut.
const survivals = 8

func (w *world) clone() *world {
	return &world{acked: maps.Clone(w.acked), delivered: maps.Clone(w.delivered), noted: maps.Clone(w.noted)}
}

// cutLife lives on f until the power goes at operation at, and says whether it
// went.
func cutLife(t *testing.T, f *crashfs.FS, w *world, first queueid.ID, at int) bool {
	t.Helper()
	f.CutAt(at)
	err := live(f, w, first)
	if err != nil && !errors.Is(err, crashfs.ErrCut) {
		t.Fatalf("cut %d: %v\n%q", at, err, f.Trace())
	}
	return err != nil
}

// TestNoAcknowledgedMessageIsLostByAPowerCut cuts the power at every operation of
// a life, tries several survivals of each, and lets the suite finish its work:
// each acknowledged message reaches each recipient, no half one does, nothing is
// left over, and recovery is the same the second time.
func TestNoAcknowledgedMessageIsLostByAPowerCut(t *testing.T) {
	for at := 1; ; at++ {
		f, w := crashfs.New(), newWorld()
		cut := cutLife(t, f, w, 1, at)
		for seed := range uint64(survivals) {
			if err := twice(f.Restart(seed)); err != nil {
				t.Fatalf("cut %d, seed %d: %v\n%q", at, seed, err, f.Trace())
			}
			if err := finish(f.Restart(seed), w.clone()); err != nil {
				t.Fatalf("cut %d, seed %d: %v\n%q", at, seed, err, f.Trace())
			}
		}
		if !cut {
			t.Logf("%d cuts", at-1)
			return
		}
	}
}

// TestNoAcknowledgedMessageIsLostByASecondPowerCut cuts the life after the first
// cut too, so that recovery itself is cut.
func TestNoAcknowledgedMessageIsLostByASecondPowerCut(t *testing.T) {
	for at := 1; ; at += 3 {
		f, w := crashfs.New(), newWorld()
		cut := cutLife(t, f, w, 1, at)
		for seed := range uint64(survivals) {
			g, second := f.Restart(seed), w.clone()
			cutLife(t, g, second, 101, 1+(at*5+int(seed)*17)%90)
			if err := finish(g.Restart(seed+1000), second); err != nil {
				t.Fatalf("cut %d, seed %d: %v\n%q", at, seed, err, g.Trace())
			}
		}
		if !cut {
			return
		}
	}
}

// TestNoAcknowledgedMessageIsLostByAKillAndAPowerCut kills the processes at every
// operation, starts them again on what is in the page cache, and cuts the power
// then: nothing may be relied on that was only read back from memory.
func TestNoAcknowledgedMessageIsLostByAKillAndAPowerCut(t *testing.T) {
	for at := 1; ; at++ {
		for seed := range uint64(3) {
			f, w := crashfs.New(), newWorld()
			cut := cutLife(t, f, w, 1, at)
			g := f.Kill()
			cutLife(t, g, w, 101, 1+(at*7+int(seed)*31)%120)
			if err := finish(g.Restart(seed), w); err != nil {
				t.Fatalf("killed at %d, seed %d: %v\n%q\n%q", at, seed, err, f.Trace(), g.Trace())
			}
			if !cut {
				return
			}
		}
	}
}

// TestKillRepeatsAtMostTheAttemptUnderWay: a crash of processes alone forgets no
// mark and no line, so that nobody gets a message twice but the recipients of
// the one that was being attempted.
func TestKillRepeatsAtMostTheAttemptUnderWay(t *testing.T) {
	for at := 1; ; at++ {
		f, w := crashfs.New(), newWorld()
		cut := cutLife(t, f, w, 1, at)
		if err := finish(f.Kill(), w); err != nil {
			t.Fatalf("killed at %d: %v\n%q", at, err, f.Trace())
		}
		repeated := 0
		for _, d := range w.delivered {
			if d[0] > 1 || d[1] > 1 {
				repeated++
			}
		}
		if repeated > 1 {
			t.Fatalf("killed at %d: %d messages were delivered twice\n%q", at, repeated, f.Trace())
		}
		if !cut {
			return
		}
	}
}

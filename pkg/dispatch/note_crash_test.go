package dispatch

import (
	"context"
	"testing"
	"time"

	"filbert/pkg/durable/crashfs"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
)

// crashLife is one flight whose first recipient is served, noted, and followed by
// the second; the disk is cut off at one operation of it.
type crashLife struct {
	*slow
	id     queueid.ID
	jotted bool // a kill forgets nothing of it
	noted  bool // nor does a power cut
	cut    bool
}

func liveUntil(t *testing.T, disk *crashfs.FS, at int, laterAttempt bool) *crashLife {
	t.Helper()
	s := newSlowOn(t, newRigOn(t, disk), "slow@y.example")
	s.d.rest = func(context.Context) bool { return false }
	f := s.accept("fast@x.example", "slow@y.example")
	ref, id := f.ref, f.env.ID
	begin := func() { s.d.run(t.Context(), f) }
	if laterAttempt {
		s.verdict["fast@x.example"], s.verdict["slow@y.example"] = later, later
		s.goOn = make(chan struct{}, 1)
		s.goOn <- struct{}{}
		s.first(f)
		<-s.begun
		s.goOn = make(chan struct{})
		clear(s.verdict)
		s.jobs = nil
		begin = func() { s.again(id, proto.DueAttempt) }
	}
	if err := s.closeWriter(); err != nil { // it makes segments behind, which would be counted
		t.Fatal(err)
	}
	before := disk.Ops()
	disk.CutAt(at)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		begin()
	}()
	<-s.begun
	<-s.asked
	life := &crashLife{slow: s, id: id}
	life.jotted = disk.Ops()-before < at // before the note asked for its time
	s.due <- time.Now()
	s.until("noted, or not possible", func() bool {
		life.noted = !laterAttempt && s.d.marker.IsDone(ref) || laterAttempt && deliveredOn(disk.Restart(crashfs.Nothing), id)
		return life.noted || len(s.asked) > 0
	})
	if !life.noted {
		<-s.asked // for another try, later
	}
	close(s.goOn)
	<-ended
	life.cut = disk.Ops()-before >= at
	return life
}

// deliveredOn tells whether the log of a message says on a disk that somebody was served.
func deliveredOn(disk *crashfs.FS, id queueid.ID) bool {
	for l, err := range spool.New(disk).Log(spool.Deferred, id) {
		if err == nil && l.Verb == spool.Delivered {
			return true
		}
	}
	return false
}

// finish starts again on what is left of the disk, and says how often both were
// served in both lives.
func (l *crashLife) finish(t *testing.T, disk *crashfs.FS) (fast, slow int) {
	t.Helper()
	r := newRigOn(t, disk)
	r.d.mend()
	r.feedAll()
	if r.filedInSpool(l.id) {
		if got := r.again(l.id, proto.DueAttempt); got.State != proto.SettledGone {
			t.Errorf("state %d after a restart", got.State)
		}
	}
	if r.filedInSpool(l.id) || len(r.d.backlog) > 0 {
		t.Error("something is left at the end")
	}
	return l.sent("fast@x.example") + r.sent("fast@x.example"), l.sent("slow@y.example") + r.sent("slow@y.example")
}

func TestCrashAnywhereRepeatsNothingThatIsNoted(t *testing.T) {
	for name, laterAttempt := range map[string]bool{"first attempt": false, "later attempt": true} {
		t.Run(name, func(t *testing.T) {
			noted, jotted, lost := 0, 0, 0
			for at := 1; ; at++ {
				disk := crashfs.New()
				l := liveUntil(t, disk, at, laterAttempt)
				lives := map[string]*crashfs.FS{"kill": disk.Kill()}
				for seed := range uint64(4) {
					lives["power cut "+string('0'+rune(seed))] = disk.Restart(seed)
				}
				for how, disk := range lives {
					fast, slow := l.finish(t, disk)
					kept := l.noted || l.jotted && how == "kill"
					if fast < 1 || slow < 1 || kept && fast > 1 || fast > 2 || slow > 2 {
						t.Errorf("%s at %d, jotted %v, noted %v: served %d and %d times", how, at, l.jotted, l.noted, fast, slow)
					}
				}
				switch {
				case l.noted:
					noted++
				case l.jotted:
					jotted++
				default:
					lost++
				}
				if t.Failed() || !l.cut {
					break
				}
			}
			if noted < 2 || jotted < 2 || lost < 1 {
				t.Errorf("noted in %d lives, jotted in %d, neither in %d: this shows nothing", noted, jotted, lost)
			}
		})
	}
}

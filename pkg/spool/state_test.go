package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"testing"

	"filbert/pkg/durable"
	"filbert/pkg/durable/crashfs"
	"filbert/pkg/queueid"
)

// The rows of the table in doc.go.

func TestS2IsAttemptedAgain(t *testing.T) {
	s, _ := newSpool(t)
	if got, err := s.Resolve(one); err != nil || got != Attempt {
		t.Errorf("%d, %v", got, err)
	}
}

func TestS2WithALoneLogIsAttemptedAgain(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	must(t, f.Remove(messageName(Deferred, one)))
	if got, err := s.Resolve(one); err != nil || got != Attempt {
		t.Errorf("%d, %v", got, err)
	}
	must(t, s.File(Deferred, message(one))) // the way is clear
}

func TestS3IsMarkedDone(t *testing.T) {
	for _, q := range []Queue{Deferred, Hold} {
		s, _ := newSpool(t)
		must(t, s.File(q, message(one)))
		if got, err := s.Resolve(one); err != nil || got != AlreadyFiled {
			t.Errorf("%s: %d, %v", q, got, err)
		}
	}
}

func TestS3OfAKilledProcessIsFlushedBeforeItsMark(t *testing.T) {
	for at := 1; ; at++ {
		s, f := newSpool(t)
		f.CutAt(at)
		err := s.File(Deferred, message(one))
		g := f.Kill()
		got, resolveErr := New(g).Resolve(one)
		must(t, resolveErr)
		if got == AlreadyFiled {
			must(t, checkMessage(New(g.Restart(crashfs.Nothing)), Deferred, one))
		}
		if err == nil {
			return
		}
	}
}

func TestS3TornIsRemovedAndAttemptedAgain(t *testing.T) {
	whole := func() (*Spool, *crashfs.FS) {
		s, f := newSpool(t)
		must(t, s.File(Deferred, message(one)))
		return s, f
	}
	for name, tear := range map[string]func(f *crashfs.FS) error{
		"message": func(f *crashfs.FS) error {
			return durable.WriteFile(f, messageName(Deferred, one), filePerm, []byte("FILBMSG1"))
		},
		"empty": func(f *crashfs.FS) error {
			return durable.WriteFile(f, messageName(Deferred, one), filePerm)
		},
		"log": func(f *crashfs.FS) error {
			return durable.WriteFile(f, logName(Deferred, one), filePerm, []byte("2026"))
		},
		"no log": func(f *crashfs.FS) error { return f.Remove(logName(Deferred, one)) },
	} {
		s, f := whole()
		must(t, tear(f))
		if got, err := s.Resolve(one); err != nil || got != Attempt {
			t.Errorf("%s: %d, %v", name, got, err)
		}
		if _, err := s.Open(Deferred, one); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: not removed: %v", name, err)
		}
		must(t, s.File(Deferred, message(one)))
	}
}

func TestS4IsLeftAlone(t *testing.T) {
	s, _ := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	must(t, s.File(Hold, message(one+1)))
	rep, err := s.Sweep()
	if err != nil || !reflect.DeepEqual(rep, SweepReport{Messages: 2}) {
		t.Errorf("%+v, %v", rep, err)
	}
	must(t, checkMessage(s, Deferred, one))
	must(t, checkMessage(s, Hold, one+1))
}

func TestS4WithoutALogIsKeptAndReported(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	must(t, f.Remove(logName(Deferred, one)))
	rep, err := s.Sweep()
	if err != nil || len(rep.Lone) != 1 || rep.Lone[0] != one {
		t.Errorf("%+v, %v", rep, err)
	}
	must(t, checkMessage(s, Deferred, one))
}

func TestS4HalfMovedIsBroughtTogether(t *testing.T) {
	for at := 1; ; at++ {
		s, f := newSpool(t)
		must(t, s.File(Deferred, message(one)))
		f.CutAt(at)
		err := s.Move(one, Deferred, Hold)
		for seed := range uint64(40) {
			g := f.Restart(seed)
			s := New(g)
			_, sweepErr := s.Sweep()
			must(t, sweepErr)
			if where := onlyPlace(t, s); where == 0 || err == nil && where != Hold {
				t.Fatalf("cut %d, seed %d: in queue %d after error %v: %q", at, seed, where, err, f.Trace())
			}
			if rep, err := New(g.Restart(crashfs.Nothing)).Sweep(); err != nil || !reflect.DeepEqual(rep, SweepReport{Messages: 1}) {
				t.Fatalf("cut %d, seed %d: second sweep: %+v, %v", at, seed, rep, err)
			}
		}
		// The same with the processes killed first, and the power cut after.
		s, f = newSpool(t)
		must(t, s.File(Deferred, message(one)))
		f.CutAt(at)
		_ = s.Move(one, Deferred, Hold)
		g := f.Kill()
		_, sweepErr := New(g).Sweep()
		must(t, sweepErr)
		for seed := range uint64(40) {
			s := New(g.Restart(seed))
			_, sweepErr := s.Sweep()
			must(t, sweepErr)
			if onlyPlace(t, s) == 0 {
				t.Fatalf("killed at %d, cut with seed %d: %q", at, seed, f.Trace())
			}
		}
		if err == nil {
			return
		}
	}
}

func TestSweepKeepsOneOfTwoNamesOverAPowerCut(t *testing.T) {
	for at := 1; ; at++ {
		s, f := newSpool(t)
		must(t, s.File(Deferred, message(one)))
		must(t, s.ensureShard(Hold, one))
		// As a move that was killed leaves it on a disk that splits renames.
		must(t, f.Link(messageName(Deferred, one), messageName(Hold, one)))
		f.CutAt(at)
		_, sweepErr := s.Sweep()
		for seed := range uint64(40) {
			s := New(f.Restart(seed))
			_, err := s.Sweep()
			must(t, err)
			if where := onlyPlace(t, s); where == 0 || sweepErr == nil && where != Hold {
				t.Fatalf("cut %d, seed %d: in queue %d", at, seed, where)
			}
		}
		if sweepErr == nil {
			return
		}
	}
}

func TestShardMadeByAKilledProcessIsFlushed(t *testing.T) {
	for at := 1; ; at++ {
		s, f := newSpool(t)
		f.CutAt(at)
		err := s.File(Deferred, message(one))
		g := f.Kill()
		must(t, New(g).File(Deferred, message(one+1)))
		must(t, checkMessage(New(g.Restart(crashfs.Nothing)), Deferred, one+1))
		if err == nil {
			return
		}
	}
}

// onlyPlace is the queue that has the whole message with its log, 0 if it is not
// exactly one.
func onlyPlace(t *testing.T, s *Spool) Queue {
	t.Helper()
	var where Queue
	for _, q := range []Queue{Deferred, Hold} {
		switch err := checkMessage(s, q, one); {
		case err == nil:
			if lines, refused := logOf(t, s, q, one); len(lines) != 2 || refused > 0 || where != 0 {
				return 0
			}
			where = q
		case !errors.Is(err, fs.ErrNotExist):
			return 0
		}
	}
	return where
}

func TestS6IsRemoved(t *testing.T) {
	for at := 1; ; at++ {
		s, f := newSpool(t)
		must(t, s.File(Deferred, message(one)))
		f.CutAt(at)
		err := s.Remove(Deferred, one, when)
		for seed := range uint64(20) {
			g := f.Restart(seed)
			s := New(g)
			rep, sweepErr := s.Sweep()
			must(t, sweepErr)
			if len(rep.Strange)+len(rep.Lone) > 0 {
				t.Fatalf("cut %d, seed %d: %+v: %q", at, seed, rep, f.Trace())
			}
			if rep.Messages == 1 {
				// What every reader of the log does.
				if done, err := s.finished(Deferred, one); err != nil || !done && err == nil && at > 3 {
					t.Fatalf("cut %d, seed %d: finished %v, %v", at, seed, done, err)
				} else if !done {
					must(t, checkMessage(s, Deferred, one))
					continue
				}
				must(t, s.Remove(Deferred, one, when))
			}
			for e := range g.ReadDir(shardDir(Deferred, one)) {
				t.Fatalf("cut %d, seed %d: %s is left", at, seed, e.Name)
			}
		}
		if err == nil {
			return
		}
	}
}

// TestFinishedWithoutAFlushIsAsItWasOrGone: after a cut at any operation the message is
// there with all that its log said, or nobody will attempt it; and a kill never
// brings it back.
func TestFinishedWithoutAFlushIsAsItWasOrGone(t *testing.T) {
	for at := 1; ; at++ {
		s, f := newSpool(t)
		must(t, s.File(Deferred, message(one)))
		f.CutAt(at)
		err := s.Finish(Deferred, one)
		ended := err == nil
		if err == nil {
			err = s.Reap(Deferred, []queueid.ID{one})
		}
		disks := []*crashfs.FS{f.Kill()}
		for seed := range uint64(20) {
			disks = append(disks, f.Restart(seed))
		}
		for n, g := range disks {
			s := New(g)
			rep, sweepErr := s.Sweep()
			must(t, sweepErr)
			if len(rep.Strange)+len(rep.Lone) > 0 {
				t.Fatalf("cut %d, disk %d: %+v: %q", at, n, rep, f.Trace())
			}
			if rep.Messages == 1 {
				done, err := s.finished(Deferred, one)
				must(t, err)
				if !done {
					if ended && n == 0 {
						t.Fatalf("cut %d: a kill brings it back", at)
					}
					must(t, checkMessage(s, Deferred, one))
					continue
				}
				must(t, s.Remove(Deferred, one, when))
			}
			for e := range g.ReadDir(shardDir(Deferred, one)) {
				t.Fatalf("cut %d, disk %d: %s is left", at, n, e.Name)
			}
		}
		if err == nil {
			return
		}
	}
}

func TestStrayFilesAreMovedAside(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	must(t, s.File(Deferred, message(one+1)))
	must(t, f.Remove(messageName(Deferred, one+1))) // a log that is not finished
	must(t, durable.WriteFile(f, "hold/stray", filePerm, nil))
	must(t, durable.WriteFile(f, shardDir(Deferred, one)+"/stray", filePerm, nil))
	must(t, durable.WriteFile(f, messageName(Deferred, one)+".log.new", filePerm, nil))
	rep, err := s.Sweep()
	must(t, err)
	if rep.Messages != 1 || rep.Temp != 1 || len(rep.Strange) != 3 {
		t.Errorf("%+v", rep)
	}
	rep, err = s.Sweep()
	if err != nil || !reflect.DeepEqual(rep, SweepReport{Messages: 1}) {
		t.Errorf("second sweep: %+v, %v", rep, err)
	}
}

// TestFilingIsWholeOrTornAtEveryCut: what Resolve calls filed is filed, and what
// File returned nil for is called so.
func TestFilingIsWholeOrTornAtEveryCut(t *testing.T) {
	for at := 1; ; at++ {
		s, f := newSpool(t)
		f.CutAt(at)
		err := s.File(Deferred, message(one))
		for seed := range uint64(40) {
			g := f.Restart(seed)
			s := New(g)
			got, resolveErr := s.Resolve(one)
			must(t, resolveErr)
			if err == nil && got != AlreadyFiled {
				t.Fatalf("cut %d, seed %d: filed and lost", at, seed)
			}
			if got == AlreadyFiled {
				must(t, checkMessage(s, Deferred, one))
				if lines, _ := logOf(t, s, Deferred, one); !slices.Equal(lines, message(one).Log) {
					t.Fatalf("cut %d, seed %d: log %v", at, seed, lines)
				}
			}
			again, resolveErr := New(g.Restart(crashfs.Nothing)).Resolve(one)
			if resolveErr != nil || again != got {
				t.Fatalf("cut %d, seed %d: second recovery: %d, %v", at, seed, again, resolveErr)
			}
			if rep, err := s.Sweep(); err != nil || len(rep.Strange)+len(rep.Lone) > 0 {
				t.Fatalf("cut %d, seed %d: sweep: %+v, %v", at, seed, rep, err)
			}
		}
		if err == nil {
			return
		}
	}
}

// TestAppendedLineSurvivesPowerCut cuts two appends everywhere.
func TestAppendedLineSurvivesPowerCut(t *testing.T) {
	for at := 1; ; at++ {
		s, f := newSpool(t)
		must(t, s.File(Deferred, message(one)))
		f.CutAt(at)
		told := 2
		var err error
		for n := range 2 {
			var lines []LogLine
			for i := range 5 {
				lines = append(lines, line(DeferredV, i, fmt.Sprintf("round %d, a text that takes its place", n)))
			}
			if err = s.AppendLog(Deferred, one, lines); err != nil {
				break
			}
			told += 5
		}
		for seed := range uint64(40) {
			g := f.Restart(seed)
			lines, _ := logOf(t, New(g), Deferred, one)
			if len(lines) < told {
				t.Fatalf("cut %d, seed %d: %d of %d lines", at, seed, len(lines), told)
			}
			must(t, New(g).AppendLog(Deferred, one, []LogLine{line(Finished, WholeMessage, "")}))
			if done, err := New(g).finished(Deferred, one); err != nil || !done {
				t.Fatalf("cut %d, seed %d: the next line is lost: %v", at, seed, err)
			}
		}
		if err == nil {
			return
		}
	}
}

// Beside the sweep goes who removes what is left of finished messages.
func TestLogThatGoesWhileItIsLookedAtIsNothingStrange(t *testing.T) {
	s, _ := newSpool(t)
	var rep SweepReport
	if err := s.mendLoneLogs(&rep, 7, &trace{log: [Hold + 1]bool{Deferred: true}}); err != nil || len(rep.Strange) != 0 {
		t.Errorf("%v, strange %q", err, rep.Strange)
	}
}

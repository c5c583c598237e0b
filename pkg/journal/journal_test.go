package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/durable/crashfs"
	"filbert/pkg/queueid"
	"filbert/pkg/wire"
)

// small segments take three flushes.
const small = 4 * headerBlock

func newFS(t *testing.T) *crashfs.FS {
	t.Helper()
	f := crashfs.New()
	for _, dir := range []string{incoming, corruptDir} {
		must(t, durable.MkdirAll(f, dir, 0o700))
	}
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openWriter(t *testing.T, fsys durable.FS, opt Options) *Writer {
	t.Helper()
	if opt.SegmentSize == 0 {
		opt.SegmentSize = small
	}
	w, err := Open(fsys, opt)
	must(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// openMarker has no flushes but those asked for.
func openMarker(t *testing.T, fsys durable.FS, opt MarkerOptions) *Marker {
	t.Helper()
	opt.FlushEvery = 1000 * time.Hour
	m, err := OpenMarker(fsys, opt)
	must(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func message(n int) Record {
	return Record{
		ID:       queueid.ID(n),
		Envelope: fmt.Appendf(nil, "envelope %d", n),
		Content:  bytes.Repeat(fmt.Appendf(nil, "content %d\r\n", n), 20+n%60),
	}
}

func commit(t *testing.T, w *Writer, n int) Ref {
	t.Helper()
	ref, err := w.Commit(t.Context(), message(n))
	must(t, err)
	return ref
}

func sameRecord(got, want Record) bool {
	return got.ID == want.ID && bytes.Equal(got.Envelope, want.Envelope) && bytes.Equal(got.Content, want.Content)
}

// undone is the ids that Scan tells as undone, each checked byte for byte.
func undone(t *testing.T, fsys durable.FS) []int {
	t.Helper()
	var ids []int
	_, err := Scan(fsys, func(f Found) error {
		if f.Record.Large == nil && !sameRecord(f.Record, message(int(f.Record.ID))) {
			t.Errorf("record %s is not as it was written", f.Record.ID)
		}
		if !f.Done {
			ids = append(ids, int(f.Record.ID))
		}
		return nil
	})
	must(t, err)
	return ids
}

func TestCommittedRecordIsOnDisk(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	ref := commit(t, w, 1)
	disk := f.Restart(crashfs.Nothing)
	if got := undone(t, disk); !slices.Equal(got, []int{1}) {
		t.Errorf("found %v", got)
	}
	if r, err := Read(disk, ref); err != nil || !sameRecord(r, message(1)) {
		t.Errorf("read %v, %v", r, err)
	}
}

func TestManyCommitsShareAFlush(t *testing.T) {
	f := newFS(t)
	counter := &countingFS{FS: f}
	w := openWriter(t, counter, Options{SegmentSize: 1 << 20})
	commit(t, w, 1)
	// Hold the committer in the answer of one record until all others wait.
	hold, entered := make(chan struct{}), make(chan struct{})
	w.CommitAsync(message(2), func(Ref, error) { close(entered); <-hold })
	<-entered
	before := counter.flushes.Load()
	var wg sync.WaitGroup
	for n := range 50 {
		wg.Add(1)
		w.CommitAsync(message(10+n), func(_ Ref, err error) {
			if err != nil {
				t.Error(err)
			}
			wg.Done()
		})
	}
	close(hold)
	wg.Wait()
	if n := counter.flushes.Load() - before; n != 1 {
		t.Errorf("50 records took %d flushes", n)
	}
	if n := len(undone(t, f.Restart(crashfs.Nothing))); n != 52 {
		t.Errorf("%d records survived", n)
	}
}

func TestSecondWriterIsRefused(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	if _, err := Open(f, Options{SegmentSize: small}); !errors.Is(err, ErrInUse) {
		t.Errorf("second writer: %v", err)
	}
	must(t, w.Close())
	openWriter(t, f, Options{})
}

func TestImpossibleRecordsAreRefused(t *testing.T) {
	w := openWriter(t, newFS(t), Options{})
	for name, r := range map[string]Record{
		"no id":     {Envelope: []byte("e")},
		"too large": {ID: 1, Content: make([]byte, small)},
		"two":       {ID: 1, Content: []byte("x"), Large: &Large{Length: 1}},
		"negative":  {ID: 1, Large: &Large{Length: -1}},
	} {
		if _, err := w.Commit(t.Context(), r); err == nil {
			t.Errorf("%s was accepted", name)
		}
		w.CommitAsync(r, func(_ Ref, err error) {
			if err == nil {
				t.Errorf("%s was accepted", name)
			}
		})
	}
}

func TestCommitAfterCloseIsRefused(t *testing.T) {
	w := openWriter(t, newFS(t), Options{})
	must(t, w.Close())
	if _, err := w.Commit(t.Context(), message(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("commit: %v", err)
	}
}

func TestWaitForAFlushCanBeGivenUp(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	hold, entered := make(chan struct{}), make(chan struct{})
	w.CommitAsync(message(1), func(Ref, error) { close(entered); <-hold })
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Commit(ctx, message(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("commit: %v", err)
	}
	close(hold)
	commit(t, w, 3)
	if got := undone(t, f); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("found %v: what was given up must not be there", got)
	}
}

func TestDoneRecordIsNotAttemptedAgain(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	m := openMarker(t, f, MarkerOptions{})
	first := commit(t, w, 1)
	commit(t, w, 2)
	m.Done(first)
	if m.Flushed(first) || !m.IsDone(first) {
		t.Error("a mark counts as flushed before its flush, or not as done")
	}
	// A crash of dispatch alone forgets no mark.
	if got := undone(t, f.Restart(crashfs.All)); !slices.Equal(got, []int{2}) {
		t.Errorf("after a crash of the process: %v", got)
	}
	must(t, m.FlushNow(t.Context()))
	if !m.Flushed(first) {
		t.Error("not flushed after the flush")
	}
	if got := undone(t, f.Restart(crashfs.Nothing)); !slices.Equal(got, []int{2}) {
		t.Errorf("after a power cut: %v", got)
	}
}

func TestAfterFlushWaitsForTheFlush(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	m := openMarker(t, f, MarkerOptions{})
	ref := commit(t, w, 1)
	m.Done(ref)
	called := false
	m.AfterFlush(func() { called = m.Flushed(ref) })
	f.FailFlush(func(name string) bool { return strings.Contains(name, ".done") })
	if err := m.FlushNow(t.Context()); err == nil || called {
		t.Errorf("called %v after a flush that failed: %v", called, err)
	}
	f.FailFlush(nil)
	must(t, m.FlushNow(t.Context()))
	if !called {
		t.Error("not called after the flush")
	}
}

func TestFailedFlushOfMarksIsNotBelievedTheSecondTime(t *testing.T) {
	for n := range 10 {
		f := newFS(t)
		w := openWriter(t, f, Options{SegmentSize: 1 << 20})
		m := openMarker(t, f, MarkerOptions{})
		var refs []Ref
		for i := range 5 + n {
			refs = append(refs, commit(t, w, i+1))
			m.Done(refs[i])
		}
		f.FailFlush(func(name string) bool { return strings.HasSuffix(name, ".done") })
		if err := m.FlushNow(t.Context()); err == nil {
			t.Fatal("no error")
		}
		f.FailFlush(nil)
		must(t, m.FlushNow(t.Context()))
		if got := undone(t, f.Restart(crashfs.Nothing)); len(got) > 0 {
			t.Fatalf("flushed marks are gone: %v", got)
		}
	}
}

func TestSegmentIsReusedWhenAllIsDoneAndFlushed(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{MaxSegments: 3, Reserve: 1})
	m := openMarker(t, f, MarkerOptions{})
	var refs []Ref
	for n := 1; ; n++ {
		ref, err := w.Commit(t.Context(), message(n))
		if errors.Is(err, ErrFull) {
			break
		}
		must(t, err)
		refs = append(refs, ref)
	}
	if len(refs) != 6 {
		t.Errorf("two segments of three flushes took %d records", len(refs))
	}
	if _, ok := w.Capacity(); ok {
		t.Error("a full journal says that it accepts")
	}
	for _, ref := range refs[:3] {
		m.Done(ref)
	}
	must(t, w.Release(refs[0].Segment, refs[0].Generation))
	if _, err := w.Commit(t.Context(), message(100)); !errors.Is(err, ErrFull) {
		t.Errorf("reused before the marks were flushed: %v", err)
	}
	must(t, m.FlushNow(t.Context()))
	must(t, w.Release(refs[0].Segment, refs[0].Generation))
	if _, ok := w.Capacity(); !ok {
		t.Error("does not accept after a release")
	}
	// The reserve and the released segment change places.
	ref := commit(t, w, 100)
	if ref.Generation <= refs[5].Generation {
		t.Errorf("generation of %s is not new", ref)
	}
	if got := undone(t, f.Restart(crashfs.Nothing)); !slices.Equal(got, []int{4, 5, 6, 100}) {
		t.Errorf("found %v", got)
	}
	for _, ref := range refs[3:] {
		m.Done(ref)
	}
	must(t, m.FlushNow(t.Context()))
	must(t, w.Release(refs[3].Segment, refs[3].Generation))
	for n := range 5 {
		ref = commit(t, w, 101+n)
	}
	if ref.Segment != refs[0].Segment {
		t.Errorf("reused as %s", ref)
	}
	if _, err := Read(f, refs[0]); !errors.Is(err, ErrGone) {
		t.Errorf("old reference: %v", err)
	}
	if !m.IsDone(refs[0]) || m.IsDone(ref) {
		t.Error("marks of two uses are mixed up")
	}
	if got := undone(t, f.Restart(crashfs.Nothing)); !slices.Equal(got, []int{100, 101, 102, 103, 104, 105}) {
		t.Errorf("found %v", got)
	}
}

func TestReuseNeedsNoHint(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{MaxSegments: 3, Reserve: 1})
	m := openMarker(t, f, MarkerOptions{})
	for n := range 100 {
		m.Done(commit(t, w, n+1))
		must(t, m.FlushNow(t.Context()))
	}
}

func TestHintFollowsTheFlush(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	var hints []Ref
	m := openMarker(t, f, MarkerOptions{SegmentFree: func(s, g uint32) { hints = append(hints, Ref{Segment: s, Generation: g}) }})
	a, b := commit(t, w, 1), commit(t, w, 2)
	m.Done(b)
	must(t, m.FlushNow(t.Context()))
	if len(hints) > 0 {
		t.Error("hint with a gap in the marks")
	}
	m.Done(a)
	must(t, m.FlushNow(t.Context()))
	if len(hints) != 1 || hints[0].Segment != a.Segment || hints[0].Generation != a.Generation {
		t.Errorf("hints %v", hints)
	}
}

func TestWrongHintsDoNoHarm(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	ref := commit(t, w, 1)
	for range 2 {
		must(t, w.Release(ref.Segment, ref.Generation))
		must(t, w.Release(ref.Segment, ref.Generation+1))
		must(t, w.Release(99, 1))
	}
	for n := 2; n < 10; n++ {
		ref := commit(t, w, n)
		must(t, w.Release(ref.Segment, ref.Generation))
	}
	if got := len(undone(t, f)); got != 9 {
		t.Errorf("%d records are left of 9", got)
	}
}

func TestReserveIsForTheSuitesOwnReports(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{MaxSegments: 2, Reserve: 1})
	for n := range 3 {
		commit(t, w, n+1)
	}
	if _, err := w.Commit(t.Context(), message(4)); !errors.Is(err, ErrFull) {
		t.Fatalf("the reserve was given away: %v", err)
	}
	own := message(5)
	own.Internal = true
	if _, err := w.Commit(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(t.Context(), message(6)); !errors.Is(err, ErrFull) {
		t.Errorf("the reserve was shared: %v", err)
	}
	if _, err := w.Commit(t.Context(), own); err != nil {
		t.Errorf("second report: %v", err)
	}
}

func TestFailedFlushRetiresTheSegment(t *testing.T) {
	f := newFS(t)
	var problems []error
	var mu sync.Mutex
	w := openWriter(t, f, Options{Problem: func(err error) { mu.Lock(); problems = append(problems, err); mu.Unlock() }})
	first := commit(t, w, 1)
	// A segment's descriptor still bears the name under which it was made.
	f.FailFlush(func(name string) bool { return strings.HasSuffix(name, "1.new") })
	if _, err := w.Commit(t.Context(), message(2)); !errors.Is(err, ErrFlush) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("commit: %v", err)
	}
	f.FailFlush(nil)
	third := commit(t, w, 3)
	if third.Segment == first.Segment {
		t.Error("the segment was written again")
	}
	mu.Lock()
	if len(problems) != 1 {
		t.Errorf("problems %v", problems)
	}
	mu.Unlock()
	for seed := range uint64(20) {
		got := undone(t, f.Restart(seed))
		if !slices.Contains(got, 1) || !slices.Contains(got, 3) {
			t.Errorf("seed %d: %v is left of 1 and 3", seed, got)
		}
	}
}

func TestFullDiskIsErrFullAndLeavesNothing(t *testing.T) {
	for name, limit := range map[string]func(*crashfs.FS){
		"bytes":  func(f *crashfs.FS) { f.Limit(2*small+2000, 0) },
		"inodes": func(f *crashfs.FS) { f.Limit(0, 8) }, // 3 directories, lock, 2 segments, 2 marks
	} {
		t.Run(name, func(t *testing.T) {
			f := newFS(t)
			limit(f)
			w := openWriter(t, f, Options{})
			for n := range 3 {
				commit(t, w, n+1)
			}
			if _, err := w.Commit(t.Context(), message(4)); !errors.Is(err, ErrFull) {
				t.Fatalf("commit: %v", err)
			}
			if _, ok := w.Capacity(); ok {
				t.Error("a full disk accepts")
			}
			if _, err := w.CreateLarge(9); name == "inodes" && !errors.Is(err, ErrFull) {
				t.Errorf("large file: %v", err)
			}
			must(t, w.Close())
			for e, err := range f.ReadDir(incoming) {
				must(t, err)
				if strings.HasSuffix(e.Name, ".new") {
					t.Errorf("%s was left behind", e.Name)
				}
			}
			f.Limit(0, 0)
			w = openWriter(t, f, Options{})
			commit(t, w, 4)
		})
	}
}

func TestLargeFileFillsTheDiskAndLeavesNothing(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	l, err := w.CreateLarge(7)
	must(t, err)
	_, err = l.Write([]byte("begin"))
	must(t, err)
	f.Limit(1, 0)
	if _, err := l.Write(make([]byte, 1000)); !errors.Is(err, ErrFull) {
		t.Errorf("write: %v", err)
	}
	if _, err := l.Seal(); !errors.Is(err, ErrFull) {
		t.Errorf("seal: %v", err)
	}
	must(t, l.Discard())
	if _, err := f.Stat(largeName(7)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after discard: %v", err)
	}
}

// large commits a message of n bytes in a file of its own.
func large(t *testing.T, w *Writer, id queueid.ID, n int) (Ref, *Large) {
	t.Helper()
	l, err := w.CreateLarge(id)
	must(t, err)
	_, err = l.Write(bytes.Repeat([]byte("x"), n))
	must(t, err)
	sum, err := l.Seal()
	must(t, err)
	ref, err := w.Commit(t.Context(), Record{ID: id, Envelope: []byte("e"), Large: sum})
	must(t, err)
	must(t, l.Close())
	return ref, sum
}

func TestLargeMessageSurvivesWithItsContent(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	ref, sum := large(t, w, 7, 100_000)
	disk := f.Restart(crashfs.Nothing)
	r, err := Read(disk, ref)
	must(t, err)
	if r.Large == nil || *r.Large != *sum {
		t.Fatalf("record %+v", r)
	}
	content, err := OpenLarge(disk, 7, r.Large)
	must(t, err)
	must(t, CheckLarge(content, r.Large))
}

func TestLargeFileGoesAfterItsMarkIsFlushed(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	m := openMarker(t, f, MarkerOptions{})
	ref, _ := large(t, w, 7, 10)
	m.DoneLarge(ref, 7)
	if _, err := f.Stat(largeName(7)); err != nil {
		t.Error("removed before the flush")
	}
	must(t, m.FlushNow(t.Context()))
	if _, err := f.Stat(largeName(7)); !errors.Is(err, os.ErrNotExist) {
		t.Error("not removed after the flush")
	}
}

func TestOrphanedLargeFilesAreRemoved(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	large(t, w, 7, 10) // undone: stays
	l, err := w.CreateLarge(8)
	must(t, err)
	_, err = l.Seal()
	must(t, err) // sealed, never committed
	must(t, l.Close())
	must(t, w.Close())
	openWriter(t, f, Options{})
	if _, err := f.Stat(largeName(7)); err != nil {
		t.Errorf("needed file: %v", err)
	}
	if _, err := f.Stat(largeName(8)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("orphan: %v", err)
	}
}

func TestLargeFileOfADoneRecordIsRemovedByRecovery(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	m := openMarker(t, f, MarkerOptions{})
	ref, _ := large(t, w, 7, 10)
	m.Done(ref) // and killed before it removed the file
	must(t, m.Close())
	m = openMarker(t, f, MarkerOptions{})
	_, err := m.Recover(func(f Found) error { t.Errorf("%s is undone", f.Ref); return nil })
	must(t, err)
	must(t, m.FlushNow(t.Context()))
	if _, err := f.Stat(largeName(7)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after recovery: %v", err)
	}
}

func TestRestartedWriterTouchesNothingUndone(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	for n := range 7 {
		commit(t, w, n+1)
	}
	must(t, w.Close())
	for round := range 5 {
		w = openWriter(t, f, Options{})
		commit(t, w, 10+round)
		must(t, w.Close())
	}
	want := []int{1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14}
	if got := undone(t, f); !slices.Equal(got, want) {
		t.Errorf("found %v", got)
	}
}

func TestFoundSegmentIsReusedOnceItsRecordsAreDone(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{MaxSegments: 2})
	var refs []Ref
	for n := range 3 {
		refs = append(refs, commit(t, w, n+1))
	}
	must(t, w.Close())
	w = openWriter(t, f, Options{MaxSegments: 2})
	if _, err := w.Commit(t.Context(), message(9)); !errors.Is(err, ErrFull) {
		t.Fatalf("commit: %v", err)
	}
	m := openMarker(t, f, MarkerOptions{})
	for _, ref := range refs {
		m.Done(ref)
	}
	must(t, m.FlushNow(t.Context()))
	must(t, w.Release(refs[0].Segment, refs[0].Generation))
	commit(t, w, 9)
}

func TestOtherSegmentSizeReplacesSegmentsAsTheyEmpty(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	ref := commit(t, w, 1)
	must(t, w.Close())
	w = openWriter(t, f, Options{SegmentSize: 2 * small})
	commit(t, w, 2)
	if got := undone(t, f); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("found %v", got)
	}
	m := openMarker(t, f, MarkerOptions{})
	m.Done(ref)
	must(t, m.FlushNow(t.Context()))
	must(t, w.Release(ref.Segment, ref.Generation))
	if _, err := f.Stat(segmentName(ref.Segment)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old segment: %v", err)
	}
}

// spoil overwrites bytes of a segment, durably.
func spoil(t *testing.T, fsys durable.FS, segment uint32, off int64, b []byte) {
	t.Helper()
	f, err := fsys.OpenFile(segmentName(segment), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(b, off)
	must(t, err)
	must(t, f.Datasync())
	must(t, f.Close())
}

func TestDamagedAcknowledgedRecordGoesToCorrupt(t *testing.T) {
	for name, at := range map[string]int64{"head": 0, "envelope": recordHeader + 2, "content": 200} {
		t.Run(name, func(t *testing.T) {
			f := newFS(t)
			w := openWriter(t, f, Options{})
			commit(t, w, 1)
			bad := commit(t, w, 2)
			commit(t, w, 3)
			must(t, w.Close())
			spoil(t, f, bad.Segment, bad.Offset+at, []byte("????????"))
			m := openMarker(t, f, MarkerOptions{})
			var got []queueid.ID
			rep, err := m.Recover(func(f Found) error { got = append(got, f.Record.ID); return nil })
			must(t, err)
			if !slices.Equal(got, []queueid.ID{1, 3}) {
				t.Errorf("undone %v", got)
			}
			if len(rep.Damage) != 1 || rep.Damage[0].First != 1 || rep.Damage[0].Count != 1 || rep.Damage[0].Done {
				t.Fatalf("damage %+v", rep.Damage)
			}
			b, err := durable.ReadFile(f, fmt.Sprintf("corrupt/%08d-%d-1.journal", bad.Segment, bad.Generation), 1<<20)
			if err != nil || !bytes.Contains(b, message(2).Content[200:]) && name != "content" {
				t.Errorf("kept %d bytes, %v", len(b), err)
			}
			// A second recovery has nothing to do.
			rep, err = m.Recover(func(Found) error { return nil })
			must(t, err)
			if len(rep.Damage) != 1 || !rep.Damage[0].Done {
				t.Errorf("second recovery: %+v", rep.Damage)
			}
		})
	}
}

func TestTornTailIsDropped(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	commit(t, w, 1)
	last := commit(t, w, 2)
	must(t, w.Close())
	spoil(t, f, last.Segment, last.Offset+100, []byte("????"))
	rep, err := Scan(f, func(f Found) error { return nil })
	must(t, err)
	if rep.Records != 1 || rep.Torn != 1 || len(rep.Damage) != 0 {
		t.Errorf("report %+v", rep)
	}
}

func TestRecordInsideAMessageIsNotARecord(t *testing.T) {
	// An attacker sends a message whose content is a record, and the head of
	// the real one is damaged, so that the reader searches.
	f := newFS(t)
	w := openWriter(t, f, Options{SegmentSize: 1 << 20})
	first := commit(t, w, 1)
	use := segmentHeader{number: first.Segment, generation: first.Generation, tag: 0xdead}
	fake := recordHead{tag: use.tag, generation: use.generation, index: 1, flush: 1, id: 666, bodyCRC: checksum(nil)}
	body := make([]byte, 16*recordHeader)
	for i := range 16 {
		fake.put(body[i*recordHeader:])
	}
	bad, err := w.Commit(t.Context(), Record{ID: 2, Envelope: make([]byte, 8), Content: body})
	must(t, err)
	commit(t, w, 3)
	spoil(t, f, bad.Segment, bad.Offset, []byte("????"))
	if got := undone(t, f); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("found %v", got)
	}
}

func TestUnreadableSegmentHeaderIsKeptAndReported(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	ref := commit(t, w, 1)
	must(t, w.Close())
	spoil(t, f, ref.Segment, 0, []byte("??"))
	if got := undone(t, f); !slices.Equal(got, []int{1}) {
		t.Errorf("with one copy of the header: %v", got)
	}
	spoil(t, f, ref.Segment, headerCopy, []byte("??"))
	m := openMarker(t, f, MarkerOptions{})
	rep, err := m.Recover(func(f Found) error { return nil })
	must(t, err)
	if len(rep.Damage) != 1 || rep.Damage[0].Length != small {
		t.Fatalf("damage %+v", rep.Damage)
	}
	w = openWriter(t, f, Options{})
	if next := commit(t, w, 2); next.Segment == ref.Segment {
		t.Error("the segment was reused")
	}
}

func TestMissingLargeFileIsDamage(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	large(t, w, 7, 10)
	must(t, f.Remove(largeName(7)))
	m := openMarker(t, f, MarkerOptions{})
	rep, err := m.Recover(func(f Found) error { t.Errorf("%s is attempted", f.Ref); return nil })
	must(t, err)
	if len(rep.Damage) != 1 || rep.Damage[0].Large != 7 {
		t.Errorf("damage %+v", rep.Damage)
	}
}

func TestMarksOfAnEarlierUseHideNothing(t *testing.T) {
	// Any mixture of old and new sectors of a file of marks.
	old := encodeMarks(bitmap{^uint64(0), ^uint64(0), ^uint64(0)}, 5, 192, 0)
	fresh := encodeMarks(bitmap{1}, 6, 1, int64(len(old)))
	for mix := range 1 << (len(old) / 256) {
		b := bytes.Clone(old)
		for s := range len(old) / 256 {
			if mix&(1<<s) != 0 {
				copy(b[s*256:(s+1)*256], fresh[s*256:])
			}
		}
		m := decodeMarks(b, 6)
		if m.count > 1 || m.count == 1 && !m.set.has(0) {
			t.Fatalf("mixture %b has %d marks", mix, m.count)
		}
	}
}

func TestReferenceSurvivesTheWire(t *testing.T) {
	want := Ref{Segment: 3, Generation: 9, Index: 4, Offset: headerBlock + 8, Length: 100}
	var e wire.Encoder
	want.EncodeTo(&e)
	var got Ref
	d := wire.NewDecoder(e.Buf)
	got.DecodeFrom(d)
	if err := d.Finish(); err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []Ref{{}, {Generation: 1, Offset: 1, Length: 100}, {Generation: 1, Offset: headerBlock, Length: 1 << 40}} {
		e.Buf = nil
		bad.EncodeTo(&e)
		d := wire.NewDecoder(e.Buf)
		got.DecodeFrom(d)
		if d.Finish() == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

func TestRecordHeadIsReadAsWritten(t *testing.T) {
	use := segmentHeader{number: 1, generation: 2, tag: 3}
	want := recordHead{tag: 3, generation: 2, index: 9, envelope: 10, content: 20, flush: 8, id: 5, bodyCRC: 6, fileCRC: 7}
	b := make([]byte, recordHeader)
	want.put(b)
	if got, err := readRecordHead(b, headerBlock, small, use); err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1
		if _, err := readRecordHead(c, headerBlock, small, use); err == nil {
			t.Errorf("a flipped bit in byte %d went unnoticed", i)
		}
	}
	binary.BigEndian.PutUint64(b[32:], 1<<63)
	binary.BigEndian.PutUint32(b[4:], checksum(b[8:]))
	if _, err := readRecordHead(b, headerBlock, small, use); err == nil {
		t.Error("an impossible length went unnoticed")
	}
}

func TestMarksOfAKilledDispatchAreFlushedAnew(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	m := openMarker(t, f, MarkerOptions{})
	ref := commit(t, w, 1)
	m.Done(ref)
	g := f.Kill()
	m = openMarker(t, g, MarkerOptions{})
	if !m.IsDone(ref) || m.Flushed(ref) {
		t.Errorf("done %v, flushed %v", m.IsDone(ref), m.Flushed(ref))
	}
	must(t, m.FlushNow(t.Context()))
	if got := undone(t, g.Restart(crashfs.Nothing)); len(got) > 0 || !m.Flushed(ref) {
		t.Errorf("undone after the flush: %v", got)
	}
}

func TestLargeFileStaysWhileItsMarkCanBeForgotten(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	m := openMarker(t, f, MarkerOptions{})
	ref, _ := large(t, w, 7, 10)
	m.Done(ref)
	g := f.Kill()
	openWriter(t, g, Options{})
	if _, err := g.Stat(largeName(7)); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

func TestGenerationsAreNeverRepeated(t *testing.T) {
	// The segments were removed by hand and the marks left.
	f := newFS(t)
	must(t, durable.WriteFile(f, marksName(1), 0o600, encodeMarks(bitmap{7}, 50, 0, 0)))
	w := openWriter(t, f, Options{})
	if ref := commit(t, w, 1); ref.Generation <= 50 {
		t.Errorf("generation %d", ref.Generation)
	}
	if got := undone(t, f); !slices.Equal(got, []int{1}) {
		t.Errorf("found %v", got)
	}
}

func TestSegmentOfAKilledWriterGetsItsNameFlushed(t *testing.T) {
	for at := 1; at < 30; at++ {
		f := newFS(t)
		f.CutAt(at)
		if w, err := Open(f, Options{SegmentSize: small, MaxSegments: 2}); err == nil {
			_ = w.Close()
		}
		g := f.Kill()
		w := openWriter(t, g, Options{MaxSegments: 2})
		for n := range 6 { // in both segments
			r := message(n + 1)
			r.Internal = true
			_, err := w.Commit(t.Context(), r)
			must(t, err)
		}
		if got := undone(t, g.Restart(crashfs.Nothing)); len(got) != 6 {
			t.Fatalf("killed at %d: %v is left", at, got)
		}
	}
}

package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/durable/crashfs"
	"filbert/pkg/queueid"
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

func TestFullJournalAcceptsAgainUnderAFlood(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{MaxSegments: 2})
	m := openMarker(t, f, MarkerOptions{})
	for n := range 3 {
		m.Done(commit(t, w, n+1))
	}
	if _, err := w.Commit(t.Context(), message(9)); !errors.Is(err, ErrFull) {
		t.Fatalf("commit: %v", err)
	}
	must(t, m.FlushNow(t.Context()))
	// Refusals one after the other must not put off the next look for ever.
	for until := time.Now().Add(20 * time.Second); ; {
		_, err := w.Commit(t.Context(), message(9))
		if err == nil {
			return
		}
		if !errors.Is(err, ErrFull) || time.Now().After(until) {
			t.Fatalf("commit: %v", err)
		}
	}
}

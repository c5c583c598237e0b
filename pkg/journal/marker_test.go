package journal

import (
	"slices"
	"strings"
	"testing"

	"filbert/pkg/durable/crashfs"
)

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

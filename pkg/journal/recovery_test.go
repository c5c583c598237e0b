package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/durable/crashfs"
	"filbert/pkg/queueid"
)

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

func TestRecordSetAsideIsKeptAndMarked(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	ref, rec := commit(t, w, 1), message(1)
	big, _ := large(t, w, 2, 100)
	m := openMarker(t, f, MarkerOptions{})
	for _, r := range []Ref{ref, big} {
		kept, err := m.SetAside(r)
		must(t, err)
		b, err := durable.ReadFile(f, kept, 1<<20)
		must(t, err)
		if !m.IsDone(r) || r == ref && !bytes.HasSuffix(b, rec.Content) {
			t.Errorf("%s: done %v, %d bytes kept", r, m.IsDone(r), len(b))
		}
	}
	if _, err := f.Stat(corruptDir + "/" + queueid.ID(2).String() + ".content"); err != nil {
		t.Errorf("the large content: %v", err)
	}
}

// A clock that was set back must not make an id twice, also when the newest
// records are gone: the first flush of a reused segment was cut off.
func TestIDsGoOnBehindTheLastWriteOfAnySegment(t *testing.T) {
	dir := t.TempDir()
	f, err := durable.Open(dir)
	must(t, err)
	defer f.Close()
	must(t, f.Mkdir(incoming, 0o700))
	must(t, openWriter(t, f, Options{}).Close())
	last := time.Now().Add(24 * time.Hour).Truncate(time.Millisecond)
	must(t, os.Chtimes(dir+"/"+segmentName(1), last, last))
	w := openWriter(t, f, Options{})
	if id := w.LastID(); !id.Time().After(last) {
		t.Errorf("ids go on at %v, the segment was written at %v", id.Time(), last)
	}
}

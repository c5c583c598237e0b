package journal

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"filbert/pkg/durable/crashfs"
	"filbert/pkg/queueid"
)

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

// What is set aside for the suite's own work is not for a large message.
func TestLargeFileLeavesTheReserveAlone(t *testing.T) {
	const mb = 1 << 20
	f := newFS(t)
	f.Limit(12*mb, 0)
	w := openWriter(t, f, Options{MinFreeBytes: 4 * mb})
	l, err := w.CreateLarge(7)
	must(t, err)
	for err == nil {
		_, err = l.Write(make([]byte, 64<<10))
	}
	left, serr := f.Statfs()
	must(t, serr)
	if !errors.Is(err, ErrFull) || left.FreeBytes < 3*mb {
		t.Errorf("%v with %d bytes left", err, left.FreeBytes)
	}
	must(t, l.Discard())
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

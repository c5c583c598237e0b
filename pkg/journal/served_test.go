package journal

import (
	"os"
	"testing"

	"filbert/pkg/durable"
	"filbert/pkg/durable/crashfs"
	"filbert/pkg/queueid"
)

func served(n byte) Served { return Served{Key: [16]byte{n}, Flags: n % 4} }

// servedAfter is what the next run knows about a record.
func servedAfter(t *testing.T, f *crashfs.FS, ref Ref, id queueid.ID) []Served {
	t.Helper()
	return openMarker(t, f, MarkerOptions{}).ServedOf(ref, id)
}

func TestWhoWasServedOutlivesAKill(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	m := openMarker(t, f, MarkerOptions{})
	ref, other := commit(t, w, 1), commit(t, w, 2)
	m.Serve(ref, 1, []Served{served(1), served(2)})
	m.Serve(ref, 1, []Served{served(3)})
	f = f.Kill()
	m = openMarker(t, f, MarkerOptions{})
	if got := m.ServedOf(ref, 1); len(got) != 3 || got[0] != served(1) || got[2] != served(3) {
		t.Errorf("got %v", got)
	}
	if got := m.ServedOf(other, 2); len(got) != 0 {
		t.Errorf("of another record: %v", got)
	}
	if got := m.ServedOf(ref, 7); len(got) != 0 {
		t.Errorf("of another message: %v", got)
	}
	m.Serve(ref, 1, []Served{served(4)}) // the next run goes on
	f = f.Kill()
	if got := servedAfter(t, f, ref, 1); len(got) != 4 {
		t.Errorf("after two kills: %v", got)
	}
}

func TestWhoWasServedIsForgottenWithTheRecord(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	m := openMarker(t, f, MarkerOptions{})
	ref := commit(t, w, 1)
	m.Serve(ref, 1, []Served{served(1)})
	f = f.Kill()
	m = openMarker(t, f, MarkerOptions{})
	m.Done(ref)
	if got := m.ServedOf(ref, 1); len(got) != 0 || len(m.served) != 0 {
		t.Errorf("got %v", got)
	}
	f = f.Kill()
	if got := servedAfter(t, f, ref, 1); len(got) != 0 {
		t.Errorf("read again of a done record: %v", got)
	}
}

func TestNoPowerCutInventsWhoWasServed(t *testing.T) {
	for seed := range uint64(seedsOfServed) {
		f := newFS(t)
		w := openWriter(t, f, Options{})
		m := openMarker(t, f, MarkerOptions{})
		ref := commit(t, w, 1)
		for n := range byte(100) {
			m.Serve(ref, 1, []Served{served(n)})
		}
		seen := map[Served]bool{}
		for _, s := range servedAfter(t, f.Restart(seed), ref, 1) {
			if s != served(s.Key[0]) || s.Key[0] >= 100 || seen[s] {
				t.Fatalf("seed %d: %v was not served, or is told twice", seed, s)
			}
			seen[s] = true
		}
	}
}

const seedsOfServed = 40

func TestEntriesOfAnEarlierUseAreNobodys(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	m := openMarker(t, f, MarkerOptions{})
	ref := commit(t, w, 1)
	old := ref
	old.Generation += 5
	for n := range byte(4) {
		m.Serve(ref, 1, []Served{served(n)})
	}
	m.Serve(old, 9, []Served{served(9)}) // the segment is used again
	m.Serve(ref, 1, []Served{served(8)}) // and somebody comes late
	b, err := durable.ReadFile(f, servedName(ref.Segment), maxServedFile)
	must(t, err)
	if len(b) != 4*servedSize {
		t.Errorf("the file has %d bytes: it grows from use to use", len(b))
	}
	var of []uint32
	for at := 0; at < len(b); at += servedSize {
		k, _, ok := readServed(ref.Segment, b[at:])
		if !ok {
			t.Error("an entry is damaged")
		}
		of = append(of, k.generation)
	}
	if of[0] != old.Generation || of[1] != ref.Generation {
		t.Errorf("entries of the uses %v", of)
	}
	if got := servedAfter(t, f.Kill(), ref, 1); len(got) != 3 {
		t.Errorf("got %v", got) // the use on disk is still ref's in this test
	}
}

func TestTornEntryIsNone(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	m := openMarker(t, f, MarkerOptions{})
	ref := commit(t, w, 1)
	m.Serve(ref, 1, []Served{served(1), served(2), served(3)})
	for at := range int64(servedSize) {
		g := f.Kill()
		file, err := g.OpenFile(servedName(ref.Segment), os.O_RDWR, 0)
		must(t, err)
		var one [1]byte
		_, err = file.ReadAt(one[:], servedSize+at)
		must(t, err)
		one[0] ^= 0x40
		_, err = file.WriteAt(one[:], servedSize+at)
		must(t, err)
		must(t, file.Close())
		got := servedAfter(t, g, ref, 1)
		if len(got) != 2 || got[0] != served(1) || got[1] != served(3) {
			t.Errorf("byte %d: %v", at, got)
		}
	}
}

func TestWhatCanNotBeNotedIsToldOnce(t *testing.T) {
	f := newFS(t)
	w := openWriter(t, f, Options{})
	problems := 0
	m := openMarker(t, f, MarkerOptions{Problem: func(error) { problems++ }})
	ref := commit(t, w, 1)
	f.Cut()
	for range 3 {
		m.Serve(ref, 1, []Served{served(1)})
	}
	if problems != 1 {
		t.Errorf("told %d times", problems)
	}
}

func FuzzReadServed(f *testing.F) {
	b := make([]byte, servedSize)
	servedKey{1, 2, 3}.put(b, servedEntry{4, served(1)})
	f.Add(b)
	f.Add(b[:20])
	f.Add(make([]byte, servedSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, s, ok := readServed(1, b)
		if !ok {
			return
		}
		again := make([]byte, servedSize)
		k.put(again, s)
		if string(again) != string(b[:servedSize]) {
			t.Errorf("%x is read as what is written as %x", b[:servedSize], again)
		}
	})
}

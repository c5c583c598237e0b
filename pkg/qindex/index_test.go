package qindex

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func record(id queueid.ID) Record {
	return Record{
		ID: id, Held: id%2 == 0, Unsure: id%3 == 0, Addressed: true, Report: id%5 == 0, Now: id%7 == 0, Ordered: id%11 == 0,
		Due: noon.UnixMilli() + int64(id), GiveUp: noon.Unix() + 100, Arrived: noon.Unix(), HoldEnds: int64(id % 2), Size: 1 << 40,
		Order: uint64(id), Waiting: 3, Owner: 1<<32 - 1, Sender: 1<<32 - 2, Attempts: 1<<16 - 1, Warned: 255, Priority: -9,
		NextHop: []byte("x.example"),
	}
}

func directory(t testing.TB) (*durable.Dir, string) {
	t.Helper()
	path := t.TempDir()
	fsys, err := durable.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fsys.Close() })
	if err := fsys.Mkdir(Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return fsys, path
}

// open reads an index whole.
func open(t testing.TB, fsys durable.FS) (*Index, Report, []Record) {
	t.Helper()
	var all []Record
	x, rep, err := Open(fsys, func(r *Record) {
		c := *r
		c.NextHop = append([]byte(nil), r.NextHop...)
		all = append(all, c)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x, rep, all
}

// fill makes an index of n messages, each flushed by itself.
func fill(t testing.TB, fsys durable.FS, n int) []Record {
	t.Helper()
	x, _, _ := open(t, fsys)
	var want []Record
	for id := queueid.ID(1); id <= queueid.ID(n); id++ {
		r := record(id)
		x.PutAddresses(id, addressesOf(id))
		x.Put(&r)
		want = append(want, r)
		if err := x.Flush(noon.Add(time.Duration(id) * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	x.Close()
	return want
}

func addressesOf(id queueid.ID) []string {
	return []string{"", fmt.Sprintf("b%d@x.example", id), "c@y.example"}
}

// found is what Search tells.
func found(t testing.TB, x *Index) map[queueid.ID][]string {
	t.Helper()
	all := map[queueid.ID][]string{}
	err := x.Search(func(id queueid.ID, list []string) error {
		all[id] = append([]string(nil), list...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWhatWasPutIsTold(t *testing.T) {
	fsys, _ := directory(t)
	want := fill(t, fsys, 20)
	x, rep, got := open(t, fsys)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if !rep.Paired || rep.Torn != nil || !rep.Moment.Equal(noon.Add(20*time.Second)) || x.Records() != 20 {
		t.Errorf("report %+v, %d records", rep, x.Records())
	}
	all := found(t, x)
	for id := queueid.ID(1); id <= 20; id++ {
		if !reflect.DeepEqual(all[id], addressesOf(id)) {
			t.Errorf("message %d: %q", id, all[id])
		}
	}
}

func TestWhatWasNotFlushedIsNotTold(t *testing.T) {
	fsys, _ := directory(t)
	fill(t, fsys, 1)
	x, _, _ := open(t, fsys)
	r := record(9)
	x.PutAddresses(9, addressesOf(9))
	x.Put(&r)
	if len(found(t, x)) != 1 {
		t.Error("addresses are told that were not flushed")
	}
	x.Close()
	if _, _, got := open(t, fsys); len(got) != 1 {
		t.Errorf("%d records", len(got))
	}
}

func TestFileCutAnywhereGivesWhatWasBefore(t *testing.T) {
	fsys, path := directory(t)
	want := fill(t, fsys, 3)
	whole, err := os.ReadFile(path + "/" + scheduleName)
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := os.ReadFile(path + "/" + addressesName)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		restore(t, path, whole[:n], addresses)
		x, rep, got := open(t, fsys)
		if len(got) > len(want) || len(got) > 0 && !reflect.DeepEqual(got, want[:len(got)]) {
			t.Fatalf("cut at %d: %+v", n, got)
		}
		if len(got) > 0 && (!rep.Paired || len(found(t, x)) != len(got)) {
			t.Fatalf("cut at %d: %d records, addresses of %d", n, len(got), len(found(t, x)))
		}
		// It goes on behind what was good.
		r := record(99)
		x.Put(&r)
		if err := x.Flush(noon); err != nil {
			t.Fatal(err)
		}
		x.Close()
		if x, rep, again := open(t, fsys); rep.Torn != nil || len(again) != len(got)+1 {
			t.Fatalf("cut at %d, written on: %d records, %v", n, len(again), rep.Torn)
		} else {
			x.Close()
		}
	}
	for n := range len(addresses) {
		restore(t, path, whole, addresses[:n])
		x, rep, got := open(t, fsys)
		if rep.Paired || len(got) != len(want) || len(found(t, x)) != 0 {
			t.Fatalf("addresses cut at %d: paired %v, %d records", n, rep.Paired, len(got))
		}
		x.Close()
	}
}

func TestNoBitMayTurn(t *testing.T) {
	fsys, path := directory(t)
	want := fill(t, fsys, 2)
	whole, err := os.ReadFile(path + "/" + scheduleName)
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := os.ReadFile(path + "/" + addressesName)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(whole)*8; i += 3 {
		bad := append([]byte(nil), whole...)
		bad[i/8] ^= 1 << (i % 8)
		restore(t, path, bad, addresses)
		x, rep, got := open(t, fsys)
		if rep.Torn == nil || len(got) >= len(want) || len(got) > 0 && !reflect.DeepEqual(got, want[:len(got)]) {
			t.Fatalf("bit %d: %v, %+v", i, rep.Torn, got)
		}
		x.Close()
	}
	for i := 0; i < len(addresses)*8; i += 3 {
		bad := append([]byte(nil), addresses...)
		bad[i/8] ^= 1 << (i % 8)
		restore(t, path, whole, bad)
		x, rep, _ := open(t, fsys)
		err := x.Search(func(queueid.ID, []string) error { return nil })
		if rep.Paired && !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %d of the addresses: %v", i, err)
		}
		x.Close()
	}
}

// restore puts files in place.
func restore(t *testing.T, path string, schedule, addresses []byte) {
	t.Helper()
	if err := os.WriteFile(path+"/"+scheduleName, schedule, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"/"+addressesName, addresses, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAddressesOfAnotherIndexAreNotSearched(t *testing.T) {
	fsys, path := directory(t)
	other, otherPath := directory(t)
	fill(t, fsys, 2)
	fill(t, other, 2)
	foreign, err := os.ReadFile(otherPath + "/" + addressesName)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"/"+addressesName, foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	if x, rep, got := open(t, fsys); rep.Paired || len(got) != 2 || len(found(t, x)) != 0 {
		t.Errorf("paired %v, %d records", rep.Paired, len(got))
	}
}

func TestRewritingLeavesWhatIsSo(t *testing.T) {
	fsys, _ := directory(t)
	fill(t, fsys, 30)
	x, _, _ := open(t, fsys)
	w, err := x.Rewrite()
	if err != nil {
		t.Fatal(err)
	}
	for id := queueid.ID(3); id <= 30; id += 3 {
		r := record(id)
		w.Put(&r)
		if err := w.Spill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(noon); err != nil {
		t.Fatal(err)
	}
	if err := x.Tidy(func(id queueid.ID) bool { return id%3 == 0 }); err != nil {
		t.Fatal(err)
	}
	x.Put(&Record{ID: 30, Dropped: true})
	if err := x.Flush(noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	x.Close()
	x, rep, got := open(t, fsys)
	if len(got) != 11 || !got[10].Dropped || got[0].ID != 3 || !rep.Paired || !rep.Moment.Equal(noon.Add(time.Hour)) {
		t.Errorf("%d records, %+v", len(got), rep)
	}
	if all := found(t, x); len(all) != 10 || !reflect.DeepEqual(all[6], addressesOf(6)) {
		t.Errorf("addresses %q", all)
	}
}

func TestRewritingThatWasCutOffLeavesTheOldOne(t *testing.T) {
	fsys, _ := directory(t)
	fill(t, fsys, 5)
	x, _, _ := open(t, fsys)
	w, err := x.Rewrite()
	if err != nil {
		t.Fatal(err)
	}
	r := record(77)
	w.Put(&r)
	if err := w.Spill(); err != nil {
		t.Fatal(err)
	}
	x.Close()
	if _, rep, got := open(t, fsys); len(got) != 5 || rep.Torn != nil {
		t.Errorf("%d records, %v", len(got), rep.Torn)
	}
}

func TestBlocksBeforeTheLastOfAFlushPromiseNoAddresses(t *testing.T) {
	fsys, path := directory(t)
	x, _, _ := open(t, fsys)
	for id := queueid.ID(1); id <= 2000; id++ {
		r := record(id)
		x.PutAddresses(id, addressesOf(id))
		x.Put(&r)
	}
	if err := x.Flush(noon); err != nil {
		t.Fatal(err)
	}
	x.Close()
	whole, err := os.ReadFile(path + "/" + scheduleName)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path+"/"+scheduleName, int64(len(whole)-10)); err != nil {
		t.Fatal(err)
	}
	if _, rep, got := open(t, fsys); rep.Paired || len(got) == 0 || len(got) >= 2000 || rep.Moment.Equal(noon) {
		t.Errorf("%d records, %+v", len(got), rep)
	}
}

func FuzzRecord(f *testing.F) {
	r := record(12)
	f.Add(r.appendTo(nil))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again Record
		rest, err := r.decode(b)
		if err != nil {
			return
		}
		if r.Due < 0 {
			return
		}
		more, err := again.decode(append(r.appendTo(nil), rest...))
		if err != nil || len(more) != len(rest) || !r.Dropped && !reflect.DeepEqual(r, again) {
			t.Errorf("%+v\n%+v", r, again)
		}
	})
}

func FuzzAddresses(f *testing.F) {
	f.Add(appendAddresses(nil, 12, addressesOf(12)))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, list, rest, err := decodeAddresses(string(b), nil)
		if err != nil {
			return
		}
		again, same, _, err := decodeAddresses(string(appendAddresses(nil, id, list))+rest, nil)
		if err != nil || again != id || len(same) != len(list) {
			t.Errorf("%q and %q, %v", list, same, err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	fsys, _ := directory(b)
	x, _, _ := open(b, fsys)
	for id := queueid.ID(1); id <= 100_000; id++ {
		r := record(id)
		x.PutAddresses(id, addressesOf(id))
		x.Put(&r)
	}
	if err := x.Flush(noon); err != nil {
		b.Fatal(err)
	}
	x.Close()
	for b.Loop() {
		x, _, err := Open(fsys, func(*Record) {})
		if err != nil {
			b.Fatal(err)
		}
		x.Close()
	}
}

// What a record said of its addresses stays untrue when others are written since.
func TestAddressesThatWereLostStayLost(t *testing.T) {
	fsys, path := directory(t)
	fill(t, fsys, 2)
	if err := os.Remove(path + "/" + addressesName); err != nil {
		t.Fatal(err)
	}
	x, _, _ := open(t, fsys)
	r := record(3)
	x.PutAddresses(3, addressesOf(3))
	x.Put(&r)
	if err := x.Flush(noon); err != nil {
		t.Fatal(err)
	}
	x.Close()
	x, rep, got := open(t, fsys)
	if rep.Paired || len(got) != 3 {
		t.Fatalf("paired %v, %d records", rep.Paired, len(got))
	}
	w, err := x.Rewrite()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(noon); err != nil {
		t.Fatal(err)
	}
	x.Close()
	if _, rep, _ = open(t, fsys); !rep.Paired {
		t.Error("still lost when it was written anew")
	}
}

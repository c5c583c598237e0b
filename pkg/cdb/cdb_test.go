package cdb_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"filbert/pkg/cdb"
	"filbert/pkg/lookup"
)

var most = cdb.Limits{Values: 100, Octets: 10_000}

func reader(t testing.TB, data []byte) *cdb.Reader {
	t.Helper()
	r, err := cdb.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func find(t testing.TB, r *cdb.Reader, key string) string {
	t.Helper()
	values, err := r.Find(context.Background(), []byte(key), most)
	if err != nil {
		t.Fatalf("%q: %v", key, err)
	}
	if values == nil {
		return "none"
	}
	return fmt.Sprintf("%q", values)
}

// The files in testdata were made by tinycdb 0.78.
func TestFilesOfTinycdbAreRead(t *testing.T) {
	r := reader(t, readFile(t, "testdata/tinycdb.cdb"))
	for key, want := range map[string]string{
		"one": `["Hello" "Again"]`, "two": `["Goodbye"]`, "empty": `[""]`, "alice@example.org": `["alice"]`, "three": "none", "": "none", "One": "none",
	} {
		if got := find(t, r, key); got != want {
			t.Errorf("%q: got %s, want %s", key, got, want)
		}
	}
	if got := find(t, reader(t, readFile(t, "testdata/empty.cdb")), "one"); got != "none" {
		t.Errorf("in an empty one: %s", got)
	}
}

func create(t testing.TB, path string, pairs ...string) {
	t.Helper()
	w, err := cdb.Create(path, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if err := w.Add([]byte(pairs[i]), []byte(pairs[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestWriterWritesWhatTinycdbWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.cdb")
	create(t, path, "one", "Hello", "two", "Goodbye", "one", "Again", "empty", "", "alice@example.org", "alice")
	if !bytes.Equal(readFile(t, path), readFile(t, "testdata/tinycdb.cdb")) {
		t.Error("the files differ")
	}
}

func TestTinycdbReadsWhatWasWritten(t *testing.T) {
	prog, err := exec.LookPath("cdb")
	if err != nil {
		t.Skip("tinycdb is not installed")
	}
	path := filepath.Join(t.TempDir(), "x.cdb")
	var pairs []string
	for i := range 1000 {
		pairs = append(pairs, fmt.Sprintf("key%d", i), fmt.Sprintf("value %d", i))
	}
	create(t, path, pairs...)
	out, err := exec.Command(prog, "-q", path, "key777").CombinedOutput()
	if err != nil || string(out) != "value 777" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestWhatWasWrittenIsFound(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(dir, "x.cdb")
		want := map[string][][]byte{}
		var pairs []string
		for range rapid.IntRange(0, 300).Draw(rt, "n") {
			key := fmt.Sprint(rapid.IntRange(0, 400).Draw(rt, "key"))
			value := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(rt, "value")
			want[key] = append(want[key], value)
			pairs = append(pairs, key, string(value))
		}
		create(t, path, pairs...)
		r := reader(t, readFile(t, path))
		for k := range 401 {
			key := fmt.Sprint(k)
			got, err := r.Find(context.Background(), []byte(key), cdb.Limits{Values: 1000, Octets: 1 << 20})
			if err != nil || len(got) != len(want[key]) {
				rt.Fatalf("%s: got %d values, %v, want %d", key, len(got), err, len(want[key]))
			}
			for i := range got {
				if !bytes.Equal(got[i], want[key][i]) {
					rt.Fatalf("%s: got %q, want %q", key, got[i], want[key][i])
				}
			}
		}
	})
}

func TestAbortLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.cdb")
	create(t, path, "a", "1")
	w, err := cdb.Create(path, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	w.Abort()
	if got := find(t, reader(t, readFile(t, path)), "a"); got != `["1"]` {
		t.Errorf("got %s", got)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files are left", len(files))
	}
}

func TestEveryFileThatIsCutOffIsRefused(t *testing.T) {
	data := readFile(t, "testdata/tinycdb.cdb")
	for n := range data {
		if _, err := cdb.NewReader(bytes.NewReader(data[:n]), int64(n)); !errors.Is(err, cdb.ErrCorrupt) {
			t.Fatalf("cut off at %d: got %v", n, err)
		}
	}
	if _, err := cdb.NewReader(bytes.NewReader(make([]byte, 4096)), 4096); !errors.Is(err, cdb.ErrCorrupt) {
		t.Error("a file that is not written to its end was taken")
	}
}

// full is a database whose hash tables all are one of n slots, each of which
// holds a hash and a place.
func full(n int, hash, pos uint32) []byte {
	data := make([]byte, 2048+8*n)
	for i := range 256 {
		binary.LittleEndian.PutUint32(data[8*i:], 2048)
		binary.LittleEndian.PutUint32(data[8*i+4:], uint32(n))
	}
	for i := range n {
		binary.LittleEndian.PutUint32(data[2048+8*i:], hash)
		binary.LittleEndian.PutUint32(data[2048+8*i+4:], pos)
	}
	return data
}

func TestHostileFilesEndWithAnError(t *testing.T) {
	const hashOfA = (5381 * 33) ^ 'a'
	for name, data := range map[string][]byte{
		"a chain without end":      full(1<<19, 1, 1),
		"a record behind the end":  full(4, hashOfA, 1<<31),
		"a record in the header":   full(4, hashOfA, 8),
		"a record of great length": full(4, hashOfA, 2048),
	} {
		if _, err := reader(t, data).Find(context.Background(), []byte("a"), most); !errors.Is(err, cdb.ErrCorrupt) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestTooManyValuesAreAnErrorAndNotFewer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.cdb")
	create(t, path, "a", "1", "a", "2", "a", "3", "b", "12345")
	r := reader(t, readFile(t, path))
	for key, limits := range map[string]cdb.Limits{"a": {Values: 2, Octets: 100}, "b": {Values: 2, Octets: 4}} {
		if values, err := r.Find(context.Background(), []byte(key), limits); err == nil {
			t.Errorf("%s: got %q", key, values)
		}
	}
}

// table is a table with a clock that the test moves.
func table(t *testing.T, path string) (x *cdb.Table, later func(), told *[]string) {
	now := time.Now()
	told = new([]string)
	x = cdb.OpenTable(lookup.Options{Path: path, Now: func() time.Time { return now }, Complain: func(err error) { *told = append(*told, err.Error()) }})
	t.Cleanup(x.Close)
	return x, func() { now = now.Add(time.Minute) }, told
}

func ask(t *testing.T, x *cdb.Table, key string) string {
	t.Helper()
	a, err := x.Find(t.Context(), key)
	if err != nil {
		return "error"
	}
	return fmt.Sprint(a.Found, " ", strings.Join(a.Values, "|"))
}

func TestTableTriesKeysWithANul(t *testing.T) {
	x, _, _ := table(t, "testdata/nul.cdb")
	for key, want := range map[string]string{"alice@example.org": "true alice", "bob": "true b", "carol": "false ", "": "false "} {
		if got := ask(t, x, key); got != want {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
	}
	y, _, _ := table(t, "testdata/tinycdb.cdb")
	for key, want := range map[string]string{"one": "true Hello|Again", "empty": "true ", "three": "false "} {
		if got := ask(t, y, key); got != want {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
	}
}

func TestTableOpensANewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.cdb")
	create(t, path, "a", "1")
	x, later, told := table(t, path)
	if got := ask(t, x, "a"); got != "true 1" {
		t.Fatal(got)
	}
	create(t, path, "a", "2", "b", "3")
	later()
	if got := ask(t, x, "a") + ask(t, x, "b"); got != "true 2true 3" || len(*told) > 0 {
		t.Errorf("got %s, told %q", got, *told)
	}
}

func TestHalfWrittenDatabaseKeepsTheOldOneAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.cdb")
	create(t, path, "a", "1")
	x, later, told := table(t, path)
	whole := filepath.Join(dir, "new")
	create(t, whole, "a", "2", "b", "3")
	data := readFile(t, whole)
	if err := os.WriteFile(whole, data[:len(data)-1], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(whole, path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		later()
		if got := ask(t, x, "a"); got != "true 1" {
			t.Errorf("got %s", got)
		}
	}
	if len(*told) != 1 || !strings.Contains((*told)[0], "keep the old content") {
		t.Errorf("told %q", *told)
	}
}

func TestWritingOverInPlaceIsAnErrorAndNotAnAbsence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.cdb")
	create(t, path, "a", "1")
	x, later, _ := table(t, path)
	if err := os.WriteFile(path, make([]byte, 5000), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		if got := ask(t, x, key); got != "error" {
			t.Errorf("%s: got %s", key, got)
		}
	}
	later()
	if got := ask(t, x, "a"); got != "error" {
		t.Errorf("got %s", got)
	}
	create(t, path, "a", "2")
	later()
	if got := ask(t, x, "a"); got != "true 2" {
		t.Errorf("got %s", got)
	}
}

func TestAbsentDatabaseIsAnErrorAndNotAnAbsence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.cdb")
	x, later, told := table(t, path)
	if _, err := x.Find(t.Context(), "a"); !errors.Is(err, fs.ErrNotExist) || len(*told) != 1 {
		t.Errorf("got %v, told %q", err, *told)
	}
	create(t, path, "b", "1")
	later()
	if got := ask(t, x, "a"); got != "false " {
		t.Errorf("got %s", got)
	}
	x.Close()
	if got := ask(t, x, "a"); got != "error" {
		t.Errorf("after Close: got %s", got)
	}
	if err := cdb.Check(path + "x"); err == nil {
		t.Error("Check takes what is not there")
	}
	if err := cdb.Check(path); err != nil {
		t.Error(err)
	}
}

func TestManyMayAskWhileTheFileIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.cdb")
	create(t, path, "a", "1")
	x, _, _ := table(t, path)
	done := make(chan error)
	for range 4 {
		go func() {
			for range 300 {
				if a, err := x.Find(context.Background(), "a"); err != nil || !a.Found {
					done <- fmt.Errorf("got %v, %w", a, err)
					return
				}
			}
			done <- nil
		}()
	}
	for range 20 {
		create(t, path, "a", "2")
		if err := x.Reload(); err != nil {
			t.Error(err)
		}
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, name := range []string{"tinycdb", "nul", "empty"} {
		f.Add(readFile(f, "testdata/"+name+".cdb"), []byte("one"))
	}
	f.Add(full(4, (5381*33)^'a', 2048), []byte("a"))
	f.Fuzz(func(t *testing.T, data, key []byte) {
		r, err := cdb.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		values, err := r.Find(context.Background(), key, most)
		if err != nil {
			return
		}
		total := 0
		for _, v := range values {
			if total += len(v); !bytes.Contains(data, append(bytes.Clone(key), v...)) {
				t.Errorf("the value %q of %q is not in the file", v, key)
			}
		}
		if len(values) > most.Values || total > most.Octets {
			t.Error("more than was wanted")
		}
	})
}

func BenchmarkFindInAMillion(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x.cdb")
	w, err := cdb.Create(path, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1_000_000 {
		if err := w.Add(fmt.Appendf(nil, "user%07d@example.org", i), []byte("some value")); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		b.Fatal(err)
	}
	x := cdb.OpenTable(lookup.Options{Path: path, Now: time.Now})
	defer x.Close()
	keys := make([]string, 4096)
	for i := range keys {
		keys[i] = fmt.Sprintf("user%07d@example.org", i*7919%1_000_000)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if a, err := x.Find(b.Context(), keys[i%len(keys)]); err != nil || !a.Found {
			b.Fatal(err)
		}
	}
}

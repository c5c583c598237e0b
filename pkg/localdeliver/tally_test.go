package localdeliver

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/durable"
)

func TestATallyIsReadStrictly(t *testing.T) {
	const spec = "1000S,10C"
	for text, want := range map[string]usage{
		"1000S,10C\n300 3\n":                 {300, 3},
		"1000S,10C\n300 3\n 50 1 \n-20 -1\n": {330, 3},
		"1000S,10C\n0 0\n":                   {},
	} {
		got, err := parseTally([]byte(text), spec)
		if err != nil || got.usage != want {
			t.Errorf("%q: %+v, %v", text, got.usage, err)
		}
	}
	for _, text := range []string{
		"", "1000S,10C", "1000S,10C\n", "2000S\n300 3\n", "\n300 3\n",
		"1000S,10C\n300 3", "1000S,10C\n300\n", "1000S,10C\n300 3 1\n", "1000S,10C\nx 3\n", "1000S,10C\n0x10 3\n",
		"1000S,10C\n-300 -3\n", "1000S,10C\n300 -1\n",
		"1000S,10C\n9223372036854775807 1\n9223372036854775807 1\n",
		"1000S,10C\n\n300 3\n", "1000S,10C\n300 3\x00\n",
		"1000S,10C\n" + strings.Repeat("1 1\n", tallyMax),
	} {
		if got, err := parseTally([]byte(text), spec); err == nil {
			t.Errorf("%.40q was taken: %+v", text, got)
		}
	}
}

// Whatever it says, no sum is negative or beyond what its numbers can make.
func FuzzParseTally(f *testing.F) {
	f.Add([]byte("1000S,10C\n300 3\n-20 -1\n"))
	f.Add([]byte("1000S,10C\n9223372036854775807 1\n9223372036854775807 1\n"))
	f.Add([]byte("1000S,10C\n281474976710656 1\n281474976710656 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseTally(data, "1000S,10C")
		if err != nil {
			return
		}
		if got.bytes < 0 || got.messages < 0 || got.lines < 1 || got.bytes > tallyMost*tallyMax {
			t.Errorf("%+v of %q", got, data)
		}
	})
}

func TestASizeInAName(t *testing.T) {
	for name, want := range map[string]int64{
		"1.M2P3Q4.host,S=1234": 1234, "1.a.host,S=5,W=7:2,S": 5, "1.a.host,W=7,S=5:2,": 5, "1.a.host,S=0": 0,
	} {
		if got, ok := sizeInName(name); !ok || got != want {
			t.Errorf("%s: %d, %v", name, got, ok)
		}
	}
	for _, name := range []string{"1.a.host", "1.a.host:2,S", "1.a,S=", "1.a,S=-5", "1.a,S=+5", "1.a,S=x", "1.a,S=99999999999999999999", "1.a,S=2199023255552"} {
		if got, ok := sizeInName(name); ok {
			t.Errorf("%s: %d", name, got)
		}
	}
}

func FuzzSizeInName(f *testing.F) {
	f.Add("1.a.host,S=5,W=7:2,S")
	f.Fuzz(func(t *testing.T, name string) {
		if n, ok := sizeInName(name); ok && (n < 0 || n > 1<<40) {
			t.Errorf("%q: %d", name, n)
		}
	})
}

// aMaildir is one with what a user has in it.
func aMaildir(t *testing.T) (path string, dir *durable.Dir) {
	t.Helper()
	path = t.TempDir()
	for _, sub := range []string{"cur", "new", "tmp", ".Sent/cur", ".Sent/new", ".Trash/cur", "other/cur"} {
		mkdir(t, path, sub)
	}
	for name, text := range map[string]string{
		"cur/1.a.host,S=1000:2,S":             "lies about its size",
		"new/2.a.host":                        "0123456789",
		".Sent/cur/3.a.host:2,":               "01234",
		".Trash/cur/4.a.host,S=7:2,T":         "0123456",
		"other/cur/5.a.host":                  "no folder",
		"tmp/6.a.host":                        "not yet a message",
		"cur/.hidden":                         "no message",
		"new/7.M1P1Q1.filbert-warning.h,S=99": "ours",
	} {
		write(t, filepath.Join(path, name), text)
	}
	dir, err := durable.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return path, dir
}

func TestAMailboxIsCountedWithItsFolders(t *testing.T) {
	path, dir := aMaildir(t)
	mkdir(t, path, "cur", "9.directory")
	if err := os.Symlink("/etc/passwd", filepath.Join(path, "new", "8.link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(path, "new", "8.fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, all, err := countMaildir(dir)
	if err != nil || !all || got != (usage{1022, 4}) {
		t.Fatalf("%+v, %v, %v", got, all, err)
	}
}

func TestFoldersThatLeadElsewhereAreNotCounted(t *testing.T) {
	path, dir := aMaildir(t)
	other, _ := aMaildir(t)
	before, _, err := countMaildir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(path, ".Linked")); err != nil {
		t.Fatal(err)
	}
	mkdir(t, path, ".Half")
	if err := os.Symlink(filepath.Join(other, "cur"), filepath.Join(path, ".Half", "cur")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(path, ".Half", "new"), "a file where a directory should be")
	after, _, err := countMaildir(dir)
	if err != nil || after != before {
		t.Fatalf("%+v, then %+v, %v", before, after, err)
	}
}

func TestReadingAMaildirShows(t *testing.T) {
	path, dir := aMaildir(t)
	old, touched := time.Now().Add(-400*24*time.Hour), time.Now().Add(-100*24*time.Hour)
	reset := func() {
		for _, name := range names(t, filepath.Join(path, "cur")) {
			chtimes(t, filepath.Join(path, "cur", name), old)
		}
		for _, name := range []string{".Sent/cur/3.a.host:2,", ".Trash/cur/4.a.host,S=7:2,T", "cur", ".Sent/cur", ".Trash/cur"} {
			chtimes(t, filepath.Join(path, name), old)
		}
	}
	reset()
	if got := maildirRead(dir, path, time.Now()); got.Unix() != old.Unix() {
		t.Errorf("untouched: %v, want %v", got, old)
	}
	for _, name := range []string{"cur", ".Sent/cur", "cur/1.a.host,S=1000:2,S", ".Sent/cur/3.a.host:2,"} {
		reset()
		chtimes(t, filepath.Join(path, name), touched)
		if got := maildirRead(dir, path, time.Now()); got.Unix() != touched.Unix() {
			t.Errorf("%s: %v, want %v", name, got, touched)
		}
	}
	// New mail is no reading.
	reset()
	write(t, filepath.Join(path, "new", "9.a.host"), "just in")
	if got := maildirRead(dir, path, time.Now()); got.Unix() != old.Unix() {
		t.Errorf("new mail: %v, want %v", got, old)
	}
}

func chtimes(t *testing.T, path string, when time.Time) {
	t.Helper()
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
}

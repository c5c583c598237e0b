package crashfs_test

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"filbert/pkg/durable"
	"filbert/pkg/durable/crashfs"
)

const seeds = 60

func put(t *testing.T, f *crashfs.FS, name, content string) durable.File {
	t.Helper()
	h, err := f.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.WriteAt([]byte(content), 0); err != nil {
		t.Fatal(err)
	}
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// outcomes counts what a look at the survivors finds, over many seeds.
func outcomes(f *crashfs.FS, look func(*crashfs.FS) string) map[string]int {
	got := make(map[string]int)
	for seed := range uint64(seeds) {
		got[look(f.Restart(seed))]++
	}
	return got
}

func read(name string) func(*crashfs.FS) string {
	return func(f *crashfs.FS) string {
		b, err := durable.ReadFile(f, name, 1<<20)
		if err != nil {
			return "none"
		}
		return string(b)
	}
}

func expect(t *testing.T, got map[string]int, want ...string) {
	t.Helper()
	for _, w := range want {
		if got[w] == 0 {
			t.Errorf("never saw %q in %v", w, got)
		}
		delete(got, w)
	}
	if len(got) > 0 {
		t.Errorf("saw %v as well", got)
	}
}

func TestUnflushedBytesMayBeForgotten(t *testing.T) {
	f := crashfs.New()
	h := put(t, f, "a", "old")
	must(t, h.Datasync())
	must(t, f.SyncDir("."))
	_, err := h.WriteAt([]byte("new"), 0)
	must(t, err)
	expect(t, outcomes(f, read("a")), "old", "new")
}

func TestFlushedBytesSurvive(t *testing.T) {
	f := crashfs.New()
	h := put(t, f, "a", "x")
	must(t, h.Datasync())
	must(t, f.SyncDir("."))
	expect(t, outcomes(f, read("a")), "x")
}

func TestNameWithoutSyncDirMayBeForgotten(t *testing.T) {
	f := crashfs.New()
	must(t, put(t, f, "a", "x").Datasync())
	expect(t, outcomes(f, read("a")), "x", "none")
}

func TestSectorsSurviveIndependently(t *testing.T) {
	f := crashfs.New()
	h := put(t, f, "a", "")
	must(t, h.Preallocate(1024))
	must(t, f.SyncDir("."))
	_, err := h.WriteAt([]byte("a"), 0)
	must(t, err)
	_, err = h.WriteAt([]byte("b"), 512)
	must(t, err)
	got := outcomes(f, func(f *crashfs.FS) string {
		s := read("a")(f)
		return string([]byte{s[0], s[512]})
	})
	expect(t, got, "\x00\x00", "a\x00", "\x00b", "ab")
}

func TestRenameKeepsAtLeastOneName(t *testing.T) {
	f := crashfs.New()
	must(t, f.Mkdir("from", 0))
	must(t, f.Mkdir("to", 0))
	must(t, put(t, f, "from/a", "x").Datasync())
	must(t, f.SyncDir("from"))
	must(t, f.SyncDir("."))
	must(t, f.Rename("from/a", "to/a"))
	both := func(f *crashfs.FS) string { return read("from/a")(f) + " " + read("to/a")(f) }
	expect(t, outcomes(f, both), "x none", "x x", "none x")

	// The new place first: never lost. The old place first: a bug, and seen.
	must(t, f.SyncDir("to"))
	expect(t, outcomes(f, both), "x x", "none x")
	must(t, f.Rename("to/a", "from/a"))
	must(t, f.SyncDir("to"))
	if got := outcomes(f, both); got["none none"] == 0 {
		t.Errorf("the wrong order of flushes went unnoticed: %v", got)
	}
}

func TestFailedFlushLosesPagesAndThenSaysYes(t *testing.T) {
	lost := 0
	for range 20 {
		f := crashfs.New()
		h := put(t, f, "a", "")
		must(t, h.Preallocate(64*512))
		must(t, f.SyncDir("."))
		content := make([]byte, 64*512)
		for i := range content {
			content[i] = 'x'
		}
		_, err := h.WriteAt(content, 0)
		must(t, err)
		f.FailFlush(func(string) bool { return true })
		if err := h.Datasync(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("flush: %v", err)
		}
		f.FailFlush(nil)
		must(t, h.Datasync())
		if got := read("a")(f); got != string(content) {
			t.Fatal("the page cache forgot")
		}
		if read("a")(f.Restart(crashfs.All)) != string(content) {
			lost++
		}
	}
	if lost == 0 {
		t.Error("nothing was ever lost")
	}
}

func TestLimitsGiveENOSPC(t *testing.T) {
	f := crashfs.New()
	f.Limit(100, 2) // the root is an inode
	h := put(t, f, "a", "x")
	if n, err := h.WriteAt(make([]byte, 200), 0); !errors.Is(err, syscall.ENOSPC) || n != 100 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := h.WriteAt(make([]byte, 50), 50); err != nil {
		t.Errorf("overwriting: %v", err)
	}
	if _, err := f.OpenFile("b", os.O_CREATE|os.O_RDWR, 0); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("inode: %v", err)
	}
}

func TestEverythingFailsAfterTheCut(t *testing.T) {
	f := crashfs.New()
	h := put(t, f, "a", "x") // create, write
	f.CutAt(1)
	if err := h.Datasync(); !errors.Is(err, crashfs.ErrCut) {
		t.Errorf("the cut operation: %v", err)
	}
	if _, err := h.ReadAt(make([]byte, 1), 0); !errors.Is(err, crashfs.ErrCut) {
		t.Errorf("read: %v", err)
	}
	if err := f.SyncDir("."); !errors.Is(err, crashfs.ErrCut) {
		t.Errorf("sync: %v", err)
	}
	if _, err := f.Restart(crashfs.All).Stat("a"); err != nil {
		t.Errorf("after restart: %v", err)
	}
}

func TestKilledProcessLeavesThePageCache(t *testing.T) {
	f := crashfs.New()
	h := put(t, f, "a", "x")
	must(t, h.TryLock())
	g := f.Kill()
	if got := read("a")(g); got != "x" {
		t.Errorf("a has %q", got)
	}
	if _, err := h.WriteAt([]byte("y"), 0); !errors.Is(err, crashfs.ErrCut) {
		t.Errorf("the killed process writes: %v", err)
	}
	if err := put(t, g, "a", "x").TryLock(); err != nil {
		t.Errorf("lock: %v", err)
	}
	if got := read("a")(g.Restart(crashfs.Nothing)); got != "none" {
		t.Errorf("after a power cut a has %q", got)
	}
}

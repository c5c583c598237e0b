package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"filbert/pkg/durable"
	"filbert/pkg/durable/crashfs"
)

// trees runs a test on the disk and on its stand-in, so that they agree.
func trees(t *testing.T, test func(t *testing.T, fsys durable.FS)) {
	t.Run("os", func(t *testing.T) {
		d, err := durable.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		test(t, d)
	})
	t.Run("crashfs", func(t *testing.T) { test(t, crashfs.New()) })
}

func create(t *testing.T, fsys durable.FS, name, content string) durable.File {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	return f
}

func content(t *testing.T, fsys durable.FS, name string) string {
	t.Helper()
	b, err := durable.ReadFile(fsys, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNamesOutsideTheTreeAreRefused(t *testing.T) {
	trees(t, func(t *testing.T, fsys durable.FS) {
		for _, name := range []string{"", "/etc/passwd", "../x", "a/../../x", "a/..", "a//b", "a/", "./a", "a\x00b"} {
			if _, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600); !errors.Is(err, durable.ErrBadName) {
				t.Errorf("open %q: %v", name, err)
			}
			if err := fsys.Mkdir(name, 0o700); !errors.Is(err, durable.ErrBadName) {
				t.Errorf("mkdir %q: %v", name, err)
			}
		}
	})
}

func TestSymbolicLinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "canary")
	if err := os.WriteFile(outside, []byte("alive"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"file": outside, "dir": filepath.Dir(outside), "inner": "real"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := durable.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, name := range []string{"file", "dir/canary", "inner/x"} {
		if _, err := d.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600); err == nil {
			t.Errorf("%s was opened through a symbolic link", name)
		}
	}
	if err := d.Remove("dir/canary"); err == nil {
		t.Error("a file was removed through a symbolic link")
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "alive" {
		t.Errorf("the file outside: %q, %v", b, err)
	}
}

func TestFifoDoesNotHoldUpAnOpen(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := durable.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	// Would wait for a writer for ever if opened plainly.
	if f, err := d.OpenFile("fifo", os.O_RDONLY, 0); err == nil {
		f.Close()
	}
}

func TestRenameReplaces(t *testing.T) {
	trees(t, func(t *testing.T, fsys durable.FS) {
		create(t, fsys, "a", "new").Close()
		create(t, fsys, "b", "old").Close()
		if err := fsys.Rename("a", "b"); err != nil {
			t.Fatal(err)
		}
		if got := content(t, fsys, "b"); got != "new" {
			t.Errorf("b has %q", got)
		}
		if _, err := fsys.Stat("a"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a: %v", err)
		}
	})
}

func TestLinkNeverReplaces(t *testing.T) {
	trees(t, func(t *testing.T, fsys durable.FS) {
		create(t, fsys, "a", "1").Close()
		create(t, fsys, "b", "2").Close()
		if err := fsys.Link("a", "b"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("link over b: %v", err)
		}
		if err := fsys.Link("a", "c"); err != nil || content(t, fsys, "c") != "1" {
			t.Errorf("link to c: %v", err)
		}
	})
}

func TestWalkTellsEveryEntryOnce(t *testing.T) {
	trees(t, func(t *testing.T, fsys durable.FS) {
		if err := durable.MkdirAll(fsys, "d/e", 0o700); err != nil {
			t.Fatal(err)
		}
		want := []string{"e"}
		for i := range 1200 { // more than one batch
			name := string(rune('a'+i%26)) + string(rune('A'+i/26))
			create(t, fsys, "d/"+name, "").Close()
			want = append(want, name)
		}
		var got []string
		for e, err := range fsys.ReadDir("d") {
			if err != nil {
				t.Fatal(err)
			}
			if (e.Name == "e") != (e.Type == fs.ModeDir) {
				t.Errorf("%s has type %v", e.Name, e.Type)
			}
			got = append(got, e.Name)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%d entries, want %d", len(got), len(want))
		}
	})
}

func TestWalkOfAMissingDirectoryIsAnError(t *testing.T) {
	trees(t, func(t *testing.T, fsys durable.FS) {
		for _, err := range fsys.ReadDir("nowhere") {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("error %v", err)
			}
			return
		}
		t.Error("no error")
	})
}

func TestPreallocatedFileIsZeros(t *testing.T) {
	trees(t, func(t *testing.T, fsys durable.FS) {
		f := create(t, fsys, "a", "")
		defer f.Close()
		if err := f.Preallocate(600_000); err != nil {
			t.Fatal(err)
		}
		b := content(t, fsys, "a")
		if len(b) != 600_000 || slices.Max([]byte(b)) != 0 {
			t.Errorf("%d bytes", len(b))
		}
	})
}

func TestLockExcludesOthersUntilClose(t *testing.T) {
	trees(t, func(t *testing.T, fsys durable.FS) {
		a := create(t, fsys, "lock", "")
		b, err := fsys.OpenFile("lock", os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if err := a.TryLock(); err != nil {
			t.Fatal(err)
		}
		if err := b.TryLock(); !errors.Is(err, durable.ErrLocked) {
			t.Errorf("second lock: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if err := b.TryLock(); err != nil {
			t.Errorf("lock after close: %v", err)
		}
	})
}

func TestAppendingFileGrowsAtItsEnd(t *testing.T) {
	trees(t, func(t *testing.T, fsys durable.FS) {
		create(t, fsys, "a", "one").Close()
		f, err := fsys.OpenFile("a", os.O_RDWR|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write([]byte("two")); err != nil {
			t.Fatal(err)
		}
		if got := content(t, fsys, "a"); got != "onetwo" {
			t.Errorf("%q", got)
		}
	})
}

func TestReadFileRefusesWhatIsTooLarge(t *testing.T) {
	trees(t, func(t *testing.T, fsys durable.FS) {
		create(t, fsys, "a", "12345").Close()
		if _, err := durable.ReadFile(fsys, "a", 4); !errors.Is(err, durable.ErrTooLarge) {
			t.Errorf("%v", err)
		}
	})
}

func TestWriteFileIsOldOrNewAtEveryCut(t *testing.T) {
	for at := 1; ; at++ {
		fsys := crashfs.New()
		if err := durable.WriteFile(fsys, "f", 0o600, []byte("old")); err != nil {
			t.Fatal(err)
		}
		fsys.CutAt(at)
		err := durable.WriteFile(fsys, "f", 0o600, []byte("new, "), []byte("and longer"))
		for seed := range uint64(20) {
			got := content(t, fsys.Restart(seed), "f")
			if got != "new, and longer" && (err == nil || got != "old") {
				t.Fatalf("cut %d, seed %d: %q after error %v", at, seed, got, err)
			}
		}
		if err == nil {
			return
		}
	}
}

func TestWriteFileLeavesNothingOnAFullDisk(t *testing.T) {
	fsys := crashfs.New()
	fsys.Limit(10, 0)
	if err := durable.WriteFile(fsys, "f", 0o600, make([]byte, 20)); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("error %v", err)
	}
	for e := range fsys.ReadDir(".") {
		t.Errorf("%s was left behind", e.Name)
	}
}

func TestMkdirAllIsDurable(t *testing.T) {
	fsys := crashfs.New()
	if err := durable.MkdirAll(fsys, "a/b/c", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := fsys.Restart(crashfs.Nothing).Stat("a/b/c"); err != nil {
		t.Error(err)
	}
}

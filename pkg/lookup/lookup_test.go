package lookup_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/lookup"
	"filbert/pkg/mailaddr"
)

// text is a source whose value is the file's text; "bad" is a mistake.
func text(path string) lookup.Source[string] {
	return lookup.Source[string]{Path: path, MaxSize: 1000, Parse: func(name string, data []byte) (string, error) {
		if strings.Contains(string(data), "bad") {
			var ps lookup.Problems
			ps.Add(name, 7, "bad")
			return "", ps.Err()
		}
		return string(data), nil
	}}
}

func write(t *testing.T, path, s string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(s), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestFileIsTakenWholeOrNotAtAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var told []string
	src := text(path)
	src.Complain = func(err error) { told = append(told, err.Error()) }
	write(t, path, "one")
	f, err := lookup.NewFile(src)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	get := func(want string) {
		t.Helper()
		now = now.Add(time.Minute)
		if got, err := f.Get(now); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	get("one")
	write(t, path, "two")
	get("two")
	write(t, path, "bad")
	get("two")
	get("two")
	if want := "keep the old content: " + path + ":7: bad"; len(told) != 1 || told[0] != want {
		t.Errorf("told %q, want %q once", told, want)
	}
	write(t, path, strings.Repeat("x", 1001))
	get("two")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	get("two")
	if len(told) != 3 {
		t.Errorf("told %q", told)
	}
	write(t, path, "three")
	get("three")
}

func TestYoungFileIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "one")
	f, _ := lookup.NewFile(text(path))
	write(t, path, "half")
	changed := time.Now()
	if err := os.Chtimes(path, changed, changed); err != nil {
		t.Fatal(err)
	}
	if got, _ := f.Get(changed.Add(200 * time.Millisecond)); got != "one" {
		t.Errorf("a file of 200 ms was taken: %q", got)
	}
	if got, _ := f.Get(changed.Add(400 * time.Millisecond)); got != "half" {
		t.Errorf("a file of 400 ms was not taken: %q", got)
	}
}

func TestReloadTakesAYoungFileAndAnAbsence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "one")
	f, _ := lookup.NewFile(text(path))
	write(t, path, "two")
	if err := f.Reload(); err != nil {
		t.Fatal(err)
	}
	if got, _ := f.Get(time.Time{}); got != "two" {
		t.Errorf("got %q", got)
	}
	write(t, path, "bad")
	if err := f.Reload(); err == nil {
		t.Error("no error")
	}
	if got, err := f.Get(time.Time{}); got != "two" || err != nil {
		t.Errorf("after a bad reload: got %q, %v", got, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := f.Reload(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := f.Get(time.Time{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestFileMayAppearLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, err := lookup.NewFile(text(path))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	write(t, path, "one")
	if got, err := f.Get(time.Now().Add(time.Hour)); got != "one" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestOnlyRegularFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, dir, "/dev/zero"} {
		if _, err := lookup.ReadFile(path, 1000); !errors.Is(err, lookup.ErrUnfit) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestUnfitFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "one")
	src := text(path)
	src.Fit = func(fs.FileInfo) error { return errors.New("no good") }
	if _, err := lookup.NewFile(src); !errors.Is(err, lookup.ErrUnfit) || !strings.Contains(err.Error(), "no good") {
		t.Errorf("got %v", err)
	}
}

func TestPasswordFile(t *testing.T) {
	p, err := lookup.ParsePasswd("passwd", []byte(`root:x:0:0:root:/root:/bin/sh
alice:x:1000:100:Alice, room 4:/home/alice:/bin/sh
alice:x:1001:100::/home/other:/bin/sh
short:x:1
neg:x:-1:1::/home/neg:/bin/sh
big:x:4294967296:1::/home/big:/bin/sh
nohome:x:1002:1:::/bin/sh
relative:x:1003:1::home:/bin/sh
+nis:x:1004:1::/home/nis:/bin/sh
#comment:x:1004:1::/home/nis:/bin/sh
:x:1005:1::/home/none:/bin/sh
Capital:x:1006:7::/home/Capital:/bin/sh`))
	if err != nil || p.Len() != 3 {
		t.Fatalf("%d accounts, %v", p.Len(), err)
	}
	for name, want := range map[string]string{
		"root": "{root 0 0 /root} true", "alice": "{alice 1000 100 /home/alice} true", "ALICE": "{alice 1000 100 /home/alice} true",
		"Capital": "{Capital 1006 7 /home/Capital} true", "capital": "{ 0 0 } false", "bob": "{ 0 0 } false", "": "{ 0 0 } false",
	} {
		a, ok := p.Find(name)
		if got := fmt.Sprint(struct {
			Name     string
			UID, GID uint32
			Home     string
		}{a.Name, a.UID, a.GID, a.Home}, ok); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestUserTable(t *testing.T) {
	u, err := lookup.ParseUsers("users", []byte("# users\nalice@Example.org alice\n\nBob robert:/home/r\n@example.net  box\n\"odd x\"@example.org odd\n"))
	if err == nil || !strings.Contains(err.Error(), "users:6: two words are wanted") {
		t.Fatalf("got %v", err)
	}
	for addr, want := range map[string]string{
		"ALICE@example.org": "alice", "alice@example.net": "", "bob@anywhere.example": "robert", "bob": "robert",
	} {
		got, _ := u.Find(mailaddr.MustParse(addr))
		if got.Name != want {
			t.Errorf("%s: got %q, want %q", addr, got.Name, want)
		}
	}
	if got, ok := u.FindDomain("example.net"); !ok || got.Name != "box" {
		t.Errorf("got %v", got)
	}
}

func TestUserTableMistakes(t *testing.T) {
	for _, bad := range []string{"a", "a b c", "a..b x", "@ x", "@bad..domain x", "a -x", "a ..", "a x/y", "a x:home", "a x:", "a :/home", "a x\na y",
		"a x\x01", "a \xff", "a " + strings.Repeat("x", 9000)} {
		if _, err := lookup.ParseUsers("u", []byte(bad+"\n")); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func anyHost(string) error { return nil }

func TestHostTableTakesTheClosestLine(t *testing.T) {
	h, err := lookup.ParseHosts("hosts", []byte(`* last
*.example.org sub other
example.org exact
a.example.org a
*.b.example.org deep
/^x[0-9]+\./ re
bücher.example books
`), anyHost)
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]string{
		"example.org": "[exact]", "a.example.org": "[a]", "z.example.org": "[sub other]", "q.b.example.org": "[deep]",
		"other.example": "[last]", "x1.example": "[re]", "xn--bcher-kva.example": "[books]",
	} {
		r, ok := h.Find(domain)
		if got := fmt.Sprint(r.Hosts); got != want || !ok {
			t.Errorf("%s: got %s, want %s", domain, got, want)
		}
	}
	m, err := lookup.HostsOf(map[string]string{"example.org": "x y"}, anyHost)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Find("other.example"); ok {
		t.Error("found what is not there")
	}
}

func TestHostTableMistakes(t *testing.T) {
	for _, bad := range []string{"example.org", "bad..domain x", "a@b x", "/(/ x", "example.org x\nExample.ORG y", "example.org refused"} {
		_, err := lookup.ParseHosts("h", []byte(bad+"\n"), func(h string) error {
			if h == "refused" {
				return errors.New("refused")
			}
			return nil
		})
		if err == nil || !strings.HasPrefix(err.Error(), "h:") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func FuzzTables(f *testing.F) {
	f.Add("a@b.example c:/d\n@e.example f\n# g\n*.h i j\n")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := lookup.ParseUsers("u", []byte(s))
		if err == nil && u.Len() > strings.Count(s, "\n")+1 {
			t.Error("more users than lines")
		}
		_, _ = lookup.ParseHosts("h", []byte(s), anyHost)
		p, _ := lookup.ParsePasswd("p", []byte(s))
		for _, line := range strings.Split(s, "\n") {
			name, _, _ := strings.Cut(line, ":")
			if a, ok := p.Find(name); ok && !strings.HasPrefix(a.Home, "/") {
				t.Errorf("home %q", a.Home)
			}
		}
	})
}

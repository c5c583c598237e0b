package localdeliver

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"filbert/pkg/proto"
)

// homeWith is a home with a forward file of that text.
func homeWith(t *testing.T, text string) string {
	t.Helper()
	home := mkdir(t, t.TempDir(), "bob")
	write(t, filepath.Join(home, ".forward"), text)
	return home
}

func readIn(home string) *proto.ForwardAnswer {
	return testWorker().readForward(&childRead{Actor: actor{Name: "bob", Home: home}, File: ".forward", Includes: true})
}

func wantText(t *testing.T, a *proto.ForwardAnswer, text string) {
	t.Helper()
	if !a.Found || a.Trouble != "" || !a.Text.Equal(text) {
		t.Fatalf("found=%v %q trouble %q, want %q", a.Found, a.Text.ForWire(), a.Trouble, text)
	}
}

func wantTrouble(t *testing.T, a *proto.ForwardAnswer, words string) {
	t.Helper()
	if a.Found || !a.Text.IsEmpty() || len(a.Includes) > 0 || !strings.Contains(a.Trouble, words) {
		t.Fatalf("found=%v %q trouble %q, want %q", a.Found, a.Text.ForWire(), a.Trouble, words)
	}
}

func wantNone(t *testing.T, a *proto.ForwardAnswer, why string) {
	t.Helper()
	if a.Found || a.Trouble != "" || !strings.Contains(a.Why, why) || why == "" && a.Why != "" {
		t.Fatalf("found=%v trouble %q why %q, want %q", a.Found, a.Trouble, a.Why, why)
	}
}

func TestAForwardFileIsReadOctetForOctet(t *testing.T) {
	for _, text := range []string{"", "\\bob, ada@far.example\n", "\x00\xff\xfe|\r\n\x7f", strings.Repeat("x", proto.MaxForward)} {
		home := homeWith(t, text)
		a := readIn(home)
		wantText(t, a, text)
		if a.Path != home+"/.forward" {
			t.Errorf("path %q", a.Path)
		}
	}
}

func TestAnAbsentForwardFileIsNoTrouble(t *testing.T) {
	home := mkdir(t, t.TempDir(), "bob")
	wantNone(t, readIn(home), "")
	a := testWorker().readForward(&childRead{Actor: actor{Name: "bob", Home: home}, File: "mail/forward"})
	wantNone(t, a, "")
	// A home that others write to is trouble only where there is a file.
	if err := os.Chmod(home, 0o777); err != nil {
		t.Fatal(err)
	}
	wantNone(t, readIn(home), "")
}

func TestAnAbsentHomeIsTrouble(t *testing.T) {
	wantTrouble(t, readIn(filepath.Join(t.TempDir(), "away")), "is not there")
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	wantTrouble(t, readIn(file), "is no directory")
	wantTrouble(t, readIn(""), "no absolute path")
}

func TestAForwardFileThatOthersCouldHaveWrittenIsNotUsed(t *testing.T) {
	tests := map[string]struct {
		make func(home, file string) error
		want string
	}{
		"writable for the group":  {func(_, file string) error { return os.Chmod(file, 0o620) }, "mode 0620"},
		"writable for all":        {func(_, file string) error { return os.Chmod(file, 0o602) }, "mode 0602"},
		"home writable for group": {func(home, _ string) error { return os.Chmod(home, 0o770) }, "directory"},
		"home writable for all":   {func(home, _ string) error { return os.Chmod(home, 0o1777) }, "directory"},
		"second name":             {func(home, file string) error { return os.Link(file, home+"/other") }, "2 names"},
		"symbolic link": {func(home, file string) error {
			if err := os.Rename(file, home+"/other"); err != nil {
				return err
			}
			return os.Symlink("other", file)
		}, "symbolic link"},
		"dangling link": {func(_, file string) error {
			if err := os.Remove(file); err != nil {
				return err
			}
			return os.Symlink("nowhere", file)
		}, "symbolic link"},
		"directory": {func(_, file string) error {
			if err := os.Remove(file); err != nil {
				return err
			}
			return os.Mkdir(file, 0o700)
		}, "no regular file"},
		"fifo": {func(_, file string) error {
			if err := os.Remove(file); err != nil {
				return err
			}
			return syscall.Mkfifo(file, 0o600)
		}, "no regular file"},
		"too long": {func(_, file string) error { return os.Truncate(file, proto.MaxForward+1) }, "octets"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			home := homeWith(t, "ada@far.example\n")
			if err := test.make(home, home+"/.forward"); err != nil {
				t.Fatal(err)
			}
			wantTrouble(t, readIn(home), test.want)
		})
	}
}

func TestADirectoryBetweenHomeAndFileIsLookedAtToo(t *testing.T) {
	home := mkdir(t, t.TempDir(), "bob")
	dir := mkdir(t, home, "etc", "mail")
	write(t, dir+"/forward", "ada@far.example\n")
	req := &childRead{Actor: actor{Name: "bob", Home: home}, File: "etc/mail/forward"}
	wantText(t, testWorker().readForward(req), "ada@far.example\n")
	if err := os.Chmod(home+"/etc", 0o770); err != nil {
		t.Fatal(err)
	}
	wantTrouble(t, testWorker().readForward(req), "etc (mode 0770)")
}

func TestPlaceholdersInTheNameAreOneComponent(t *testing.T) {
	home := mkdir(t, t.TempDir(), "bob")
	write(t, home+"/.forward+lists", "lists\n")
	write(t, home+"/.forward-bob", "bob\n")
	write(t, filepath.Dir(home)+"/secret", "secret\n")
	tests := []struct{ file, detail, text, why string }{
		{".forward+{detail}", "lists", "lists\n", ""},
		{".forward+{detail}", "", "", "no detail"},
		{".forward+{detail}", "other", "", ""},
		{"{detail}", "..", "", "detail"},
		{"{detail}", ".", "", "detail"},
		{"x/{detail}", "../../secret", "", "detail"},
		{".forward+{detail}", "li\x00sts", "", "detail"},
		{".forward-{user}", "", "bob\n", ""},
		{"{home}/.forward-{user}", "", "bob\n", ""},
	}
	for _, test := range tests {
		a := testWorker().readForward(&childRead{Actor: actor{Name: "bob", Home: home}, File: test.file, Detail: test.detail})
		if test.text != "" {
			wantText(t, a, test.text)
		} else {
			wantNone(t, a, test.why)
		}
	}
	wantTrouble(t, testWorker().readForward(&childRead{Actor: actor{Name: "bob", Home: home}, File: "{shell}"}), "{shell}")
	wantTrouble(t, testWorker().readForward(&childRead{Actor: actor{Name: "../bob", Home: home}, File: "{user}"}), "file name")
}

func TestIncludedListsAreReadLikewise(t *testing.T) {
	home := homeWith(t, ":include:lists/a, :include:"+filepath.Join(t.TempDir(), "b")+"\n")
	mkdir(t, home, "lists")
	write(t, home+"/lists/a", "ada@far.example\n:include:c\n")
	write(t, home+"/lists/c", "eve@far.example\n:include:d\n:include:a\n")
	write(t, home+"/lists/d", "too deep\n")
	wantTrouble(t, readIn(home), "no such file")
	write(t, home+"/.forward", ":include:lists/a\n|/bin/program\n")
	a := readIn(home)
	wantText(t, a, ":include:lists/a\n|/bin/program\n")
	var got []string
	for _, in := range a.Includes {
		got = append(got, strings.TrimPrefix(in.Path, home)+" "+fmt.Sprint(in.Text.Len()))
	}
	if want := "[/lists/a 27 /lists/c 38]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	b := testWorker().readForward(&childRead{Actor: actor{Name: "bob", Home: home}, File: ".forward"})
	if len(b.Includes) > 0 {
		t.Errorf("a director that does not allow it has %d lists read", len(b.Includes))
	}
}

func TestAListThatIsUnfitIsTroubleForTheWholeFile(t *testing.T) {
	tests := map[string]struct {
		make func(path string) error
		want string
	}{
		"writable for all": {func(p string) error {
			if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
				return err
			}
			return os.Chmod(p, 0o602)
		}, "everybody may write"},
		"fifo":      {func(p string) error { return syscall.Mkfifo(p, 0o600) }, "no regular file"},
		"directory": {func(p string) error { return os.Mkdir(p, 0o700) }, "no regular file"},
		"device":    {func(p string) error { return os.Symlink("/dev/zero", p) }, "no regular file"},
		"absent":    {func(p string) error { return nil }, "no such file"},
		"together too long": {func(p string) error {
			return os.WriteFile(p, make([]byte, proto.MaxForward), 0o600)
		}, "octets"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			home := homeWith(t, ":include:list\nada@far.example\n")
			if err := test.make(home + "/list"); err != nil {
				t.Fatal(err)
			}
			wantTrouble(t, readIn(home), test.want)
		})
	}
}

func TestIncludedListsAreBounded(t *testing.T) {
	var text strings.Builder
	home := mkdir(t, t.TempDir(), "bob")
	for i := range maxIncludes + 1 {
		fmt.Fprintf(&text, ":include:l%d\n", i)
		write(t, fmt.Sprintf("%s/l%d", home, i), "")
	}
	write(t, home+"/.forward", text.String())
	wantTrouble(t, readIn(home), "more than 100 files")
}

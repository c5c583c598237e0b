package socketmap

import (
	"bufio"
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"filbert/pkg/lookup"
	"filbert/pkg/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers on a Unix socket; answer gives what is sent for a question, and
// "" to hang up.
func serve(t *testing.T, path string, answer func(question string) string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for in := bufio.NewReader(c); ; {
					q, err := readNetstring(in)
					if err != nil {
						return
					}
					a := answer(q)
					if _, err := c.Write([]byte(a)); err != nil || a == "" {
						return
					}
				}
			}()
		}
	}()
}

func open(t *testing.T, servers ...string) lookup.Table {
	t.Helper()
	table, err := Open(settings.Lookup{Type: "socketmap", Database: "m", Servers: servers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	return table
}

func netstring(s string) string { return string(appendNetstring(nil, s)) }

func TestAnswersOfAServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, func(q string) string {
		key, ok := strings.CutPrefix(q, "m ")
		if !ok {
			return netstring("PERM no such map")
		}
		return netstring(key)
	})
	table := open(t, path)
	for _, c := range []struct {
		reply  string
		found  bool
		values []string
		fails  string
	}{
		{"OK x@y.org, z", true, []string{"x@y.org, z"}, ""},
		{"OK zoë", true, []string{"zoë"}, ""},
		{"OK ", true, nil, ""},
		{"OK", true, nil, ""},
		{"NOTFOUND ", false, nil, ""},
		{"NOTFOUND", false, nil, ""},
		{"TEMP later", false, nil, "TEMP later"},
		{"TIMEOUT", false, nil, "TIMEOUT"},
		{"PERM never\x1b", false, nil, "PERM never"},
		{"OK a\nb", false, nil, "control character"},
		{"ok x", false, nil, "not a socketmap reply"},
		{"OKAY x", false, nil, "not a socketmap reply"},
		{"OK again", true, []string{"again"}, ""},
	} {
		a, err := table.Find(context.Background(), c.reply)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%q: got %+v, %v", c.reply, a, err)
			}
			continue
		}
		if err != nil || a.Found != c.found || !slices.Equal(a.Values, c.values) || a.Where != "socketmap "+path {
			t.Errorf("%q: got %+v, %v", c.reply, a, err)
		}
	}
}

func TestWhatIsNotTheProtocolIsAnError(t *testing.T) {
	dir := t.TempDir()
	for i, reply := range []string{"", "x", "05:OK ab,", ":,", "5:OK ab;", "-1:,", "100001:", "99999999999999999999:x,",
		"3:OK ,3:OK ,", "3:OK ,x"} {
		path := filepath.Join(dir, string(rune('a'+i)))
		serve(t, path, func(string) string { return reply })
		if a, err := open(t, path).Find(context.Background(), "k"); !errors.Is(err, lookup.ErrBroken) {
			t.Errorf("%q: got %+v, %v", reply, a, err)
		}
	}
}

func TestAnOldConnectionThatEndedIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	calls := 0
	serve(t, path, func(string) string {
		if calls++; calls == 2 {
			return ""
		}
		return netstring("OK v")
	})
	table := open(t, path)
	for range 3 {
		if a, err := table.Find(context.Background(), "k"); err != nil || !a.Found {
			t.Errorf("got %+v, %v", a, err)
		}
	}
	if calls != 4 {
		t.Errorf("%d questions came", calls)
	}
}

func TestTheNextServerIsAsked(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir+"/b", func(string) string { return netstring("OK b") })
	table := open(t, dir+"/a", dir+"/b")
	if a, err := table.Find(context.Background(), "k"); err != nil || !slices.Equal(a.Values, []string{"b"}) {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestASilentServerIsLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithCancel(context.Background())
	held := make(chan struct{})
	t.Cleanup(func() { close(held) })
	serve(t, path, func(string) string {
		cancel()
		<-held
		return ""
	})
	if _, err := open(t, path).Find(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAMapNeedsAName(t *testing.T) {
	for _, name := range []string{"", "a b", "a\n"} {
		if _, err := Open(settings.Lookup{Type: "socketmap", Database: name, Servers: []string{"/s"}}); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"3:OK ,", "8:NOTFOUND,", "0:,", "00:,", "6:TEMP x,", "100001:x", "5:OK a\n,", "9", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		reply, err := readNetstring(bufio.NewReader(strings.NewReader(s)))
		if err != nil {
			return
		}
		if !strings.HasPrefix(s, netstring(reply)) {
			t.Errorf("%q was read as %q", s, reply)
		}
		a, err := parseReply(reply)
		if err == nil && lookup.Usable(a.Values) != nil {
			t.Errorf("%q gives %q", reply, a.Values)
		}
		if err != nil && a.Found {
			t.Errorf("%q is found and an error", reply)
		}
	})
}

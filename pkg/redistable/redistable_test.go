package redistable

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"filbert/pkg/lookup"
	"filbert/pkg/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a server with the few commands that a test needs. A value is a string
// or a list; the kind of a list is "list", "set" or "zset" by its first element.
type fake struct {
	path string
	data map[string]any

	mu       sync.Mutex
	commands []string
	conns    []net.Conn
}

func serve(t *testing.T, data map[string]any) *fake {
	t.Helper()
	f := &fake{path: filepath.Join(t.TempDir(), "s"), data: data}
	l, err := net.Listen("unix", f.path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			wg.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		f.hangUp()
		wg.Wait()
	})
	return f
}

func (f *fake) hangUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		words, err := command(in)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.commands = append(f.commands, strings.Join(words, " "))
		f.mu.Unlock()
		if _, err := io.WriteString(c, f.reply(words)); err != nil {
			return
		}
	}
}

// command reads an array of bulk strings.
func command(in *bufio.Reader) ([]string, error) {
	number := func() (int, error) {
		line, err := in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number()
	if err != nil {
		return nil, err
	}
	var words []string
	for range n {
		length, err := number()
		if err != nil {
			return nil, err
		}
		b := make([]byte, length+2)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, err
		}
		words = append(words, string(b[:length]))
	}
	return words, nil
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

func (f *fake) reply(words []string) string {
	if len(words) < 2 {
		return "-ERR what?\r\n"
	}
	v := f.data[words[1]]
	text, isText := v.(string)
	list, _ := v.([]string)
	switch strings.ToUpper(words[0]) {
	case "TYPE":
		switch {
		case v == nil:
			return "+none\r\n"
		case isText:
			return "+string\r\n"
		case v == 1:
			return "+hash\r\n"
		}
		return "+" + list[0] + "\r\n"
	case "GETRANGE":
		if v != nil && !isText {
			return "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
		}
		return bulk(text[:min(len(text), lookup.MaxValue+1)])
	case "GET":
		return bulk(text)
	case "SCARD":
		return fmt.Sprintf(":%d\r\n", len(list)-1)
	case "LRANGE", "ZRANGE", "SMEMBERS":
		out := fmt.Sprintf("*%d\r\n", len(list)-1)
		for _, e := range list[1:] {
			out += bulk(e)
		}
		return out
	}
	return "-ERR unknown command\r\n"
}

func open(t *testing.T, query string, servers ...string) lookup.Table {
	t.Helper()
	table, err := Open(settings.Lookup{Type: "redis", Query: query, Servers: servers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	return table
}

func TestKindsOfValues(t *testing.T) {
	f := serve(t, map[string]any{
		"a:joe":    "x@y.org",
		"a:zoë":    "zoë",
		"a:empty":  "",
		"a:list":   []string{"list", "b", "a"},
		"a:set":    []string{"set", "b", "a"},
		"a:scores": []string{"zset", "b", "a"},
	})
	table := open(t, "a:{key}", f.path)
	for _, c := range []struct {
		key    string
		found  bool
		values []string
	}{
		{"joe", true, []string{"x@y.org"}},
		{"zoë", true, []string{"zoë"}},
		{"empty", true, []string{""}},
		{"list", true, []string{"b", "a"}},
		{"set", true, []string{"a", "b"}},
		{"scores", true, []string{"b", "a"}},
		{"nobody", false, nil},
		{"joe\r\nGET a:joe", false, nil},
		{"*", false, nil},
	} {
		a, err := table.Find(context.Background(), c.key)
		if err != nil || a.Found != c.found || !slices.Equal(a.Values, c.values) || a.Found && a.Where != "redis "+f.path {
			t.Errorf("%q: got %+v, %v", c.key, a, err)
		}
	}
}

func TestWhatCannotBeUsedIsAnError(t *testing.T) {
	f := serve(t, map[string]any{
		"hash": 1,
		"line": "a\nb",
		"long": strings.Repeat("x", lookup.MaxValue+1),
		"many": append([]string{"set"}, make([]string, lookup.MaxValues+1)...),
	})
	table := open(t, "", f.path)
	for key := range f.data {
		if a, err := table.Find(context.Background(), key); !errors.Is(err, lookup.ErrUnusable) {
			t.Errorf("%s: got %d values, %v", key, len(a.Values), err)
		}
	}
}

func TestNothingElseIsAsked(t *testing.T) {
	f := serve(t, map[string]any{"k": "v"})
	table := open(t, "", f.path)
	if _, err := table.Find(context.Background(), "k"); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.commands {
		if word, _, _ := strings.Cut(strings.ToUpper(c), " "); word != "HELLO" && word != "TYPE" && word != "GETRANGE" {
			t.Errorf("it sent %s", c)
		}
	}
}

func TestABrokenConnectionIsReplaced(t *testing.T) {
	f := serve(t, map[string]any{"k": "v"})
	table := open(t, "", f.path)
	for range 3 {
		if a, err := table.Find(context.Background(), "k"); err != nil || !a.Found {
			t.Errorf("got %+v, %v", a, err)
		}
		f.hangUp()
	}
}

func TestTheNextServerIsAsked(t *testing.T) {
	f := serve(t, map[string]any{"k": "v"})
	table := open(t, "", f.path+"-none", f.path)
	if a, err := table.Find(context.Background(), "k"); err != nil || !slices.Equal(a.Values, []string{"v"}) {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestNoServerIsAnError(t *testing.T) {
	table := open(t, "", filepath.Join(t.TempDir(), "none"))
	if a, err := table.Find(context.Background(), "k"); err == nil {
		t.Errorf("got %+v", a)
	}
}

func TestOpenRefusesWhatIsWrong(t *testing.T) {
	for want, set := range map[string]settings.Lookup{
		"no number":  {Type: "redis", Database: "x", Servers: []string{"/s"}},
		"no {key}":   {Type: "redis", Query: "alias", Servers: []string{"/s"}},
		"{user}":     {Type: "redis", Query: "alias:{user}", Servers: []string{"/s"}},
		"no servers": {Type: "redis"},
	} {
		if _, err := Open(set); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

package mtactl

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// remembers serves what mtadb would in a private instance, and gives its directory.
func remembers(t *testing.T, routes map[string]http.HandlerFunc) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mh") // short: socket paths are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	inst := settings.Private(dir)
	path := inst.Control(proto.ControlMTADB)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(inst.Etc, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(inst.ConfigFile(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for route, h := range routes {
		mux.HandleFunc(route, h)
	}
	s := &http.Server{Handler: mux}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return dir
}

func lines(list ...proto.HistoryMessage) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := range list {
			_ = json.NewEncoder(w).Encode(&list[i])
		}
	}
}

func answers(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) }
}

func ran(t *testing.T, dir string, args ...string) (code int, out, err string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(t.Context(), append([]string{"-C", dir}, args...), Stdio{In: strings.NewReader(""), Out: &o, Err: &e})
	return code, o.String(), e.String()
}

func path(id string, at time.Time, words string) proto.HistoryMessage {
	return proto.HistoryMessage{ID: id, Events: []proto.HistoryEvent{
		{At: at, What: "received", By: "cleanup", Facts: map[string]string{"from": "<ann@home.test>", "size": "2048", "uid": "1000"}},
		{At: at.Add(time.Second), What: "delivered", By: "dispatch", Facts: map[string]string{"to": "<bob@far.test>", "host": "mx.far.test", "said": words}},
	}}
}

func TestHistoryShowsThePathOldestFirst(t *testing.T) {
	now := time.Now()
	dir := remembers(t, map[string]http.HandlerFunc{
		"GET /v1/history":        lines(path("00000016G01", now, "taken\x1b[31m"), path("00000016G00", now.Add(-time.Hour), "ok")),
		"GET /v1/history/status": answers(proto.HistoryStatus{}),
	})
	code, out, err := ran(t, dir, "history", "bob@far.test")
	if code != 0 || err != "" {
		t.Errorf("%d %s", code, err)
	}
	older, newer := strings.Index(out, "00000016G00"), strings.Index(out, "00000016G01")
	if older < 0 || newer < older || strings.Count(out, "00000016G01") != 1 {
		t.Error(out)
	}
	for _, want := range []string{"from <ann@home.test>  2.0 KB", "received uid=1000", "delivered <bob@far.test> host=mx.far.test: ok"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("the terminal obeys a server")
	}
}

func TestHistorySaysWhatKeepsItFromBeingWhole(t *testing.T) {
	for _, c := range []struct {
		status proto.HistoryStatus
		list   []proto.HistoryMessage
		code   int
		want   string
	}{
		{proto.HistoryStatus{Trouble: "permission denied"}, []proto.HistoryMessage{path("00000016G01", time.Now(), "")}, 0, "not kept at the moment: permission denied"},
		{proto.HistoryStatus{Behind: 2048}, []proto.HistoryMessage{path("00000016G01", time.Now(), "")}, 0, "2.0 KB of the log"},
		{proto.HistoryStatus{}, nil, 1, "no such message"},
		{proto.HistoryStatus{}, []proto.HistoryMessage{path("00000016G01", time.Now(), ""), {Error: "too many"}}, 0, "too many"},
	} {
		dir := remembers(t, map[string]http.HandlerFunc{"GET /v1/history": lines(c.list...), "GET /v1/history/status": answers(c.status)})
		if code, _, err := ran(t, dir, "history"); code != c.code || !strings.Contains(err, c.want) {
			t.Errorf("%d %s, want %d %s", code, err, c.code, c.want)
		}
	}
}

func TestHistoryAsksForWhatWasMeant(t *testing.T) {
	var asked []string
	dir := remembers(t, map[string]http.HandlerFunc{
		"GET /v1/history":        func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, r.URL.RawQuery) },
		"GET /v1/history/status": answers(proto.HistoryStatus{}),
	})
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"00000016g01"}, 1, "id=00000016G01&limit=100"},
		{[]string{"a@b.test"}, 1, "limit=100&sender=a%40b.test limit=100&recipient=a%40b.test"},
		{[]string{"<>"}, 1, "limit=100&sender=%3C%3E"},
		{[]string{"--sender", "x@y", "a@b.test"}, 1, "limit=100&recipient=a%40b.test&sender=x%40y"},
		{[]string{"--message-id", "<1@x>", "--since", "2h", "--limit", "5"}, 1, "limit=5&message_id=%3C1%40x%3E&since=2h"},
		{[]string{"../x"}, 64, ""}, {[]string{"--since", "soon"}, 64, ""}, {[]string{"--limit", "0"}, 64, ""}, {[]string{"a@b", "c@d"}, 64, ""},
	} {
		asked = nil
		if code, _, err := ran(t, dir, append([]string{"history"}, c.args...)...); code != c.code || strings.Join(asked, " ") != c.want {
			t.Errorf("%v: %d, asked %q, %s", c.args, code, asked, err)
		}
	}
}

func TestMemoryListsPagesAndForgets(t *testing.T) {
	now := time.Now()
	var forgot proto.MemoryForget
	dir := remembers(t, map[string]http.HandlerFunc{
		"GET /v1/memory": func(w http.ResponseWriter, r *http.Request) {
			page := proto.MemoryPage{Records: []proto.MemoryItem{{Kind: "host", Key: "mx.a", Size: 10, Kept: now}}, More: true}
			switch r.URL.Query().Get("after") {
			case "mx.a":
				page = proto.MemoryPage{Records: []proto.MemoryItem{{Kind: "host", Key: "mx.b\x1b", Size: 20, Kept: now}}}
			case "":
				if r.URL.Query().Get("kind") == "" {
					page = proto.MemoryPage{Kinds: []proto.MemoryCount{{Kind: "host", Records: 2, Bytes: 30, Most: 100}}}
				}
			}
			_ = json.NewEncoder(w).Encode(&page)
		},
		"POST /v1/memory/forget": func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewDecoder(r.Body).Decode(&forgot)
			_ = json.NewEncoder(w).Encode(proto.MemoryForgotten{Count: 2})
		},
	})
	if code, out, err := ran(t, dir, "memory", "show", "host", "mx"); code != 0 || !strings.Contains(out, "mx.a") || !strings.Contains(out, "mx.b") || strings.Contains(out, "\x1b") {
		t.Errorf("%d %s %s", code, out, err)
	}
	if code, out, _ := ran(t, dir, "memory", "show"); code != 0 || !strings.Contains(out, "100") {
		t.Errorf("%d %s", code, out)
	}
	code, out, _ := ran(t, dir, "memory", "forget", "host", "mx.", "--prefix")
	if want := (proto.MemoryForget{Kind: "host", Key: "mx.", Prefix: true}); code != 0 || forgot != want || !strings.Contains(out, "2 records") {
		t.Errorf("%d %s %+v", code, out, forgot)
	}
}

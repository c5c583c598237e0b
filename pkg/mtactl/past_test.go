package mtactl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/settings"
)

var pastStart = time.Date(2026, 3, 3, 14, 5, 0, 0, time.UTC)

// letter is a message of the past, told in minutes since its start: "12 deferred
// to=bob@far.test host=mx.far.test kind=timeout".
func letter(from string, lines ...string) proto.HistoryMessage {
	var m proto.HistoryMessage
	for _, line := range lines {
		minutes, rest, _ := strings.Cut(line, " ")
		var n int
		_, _ = fmt.Sscan(minutes, &n)
		words := strings.Fields(rest)
		e := proto.HistoryEvent{At: pastStart.Add(time.Duration(n) * time.Minute), What: words[0], By: "dispatch", Facts: map[string]string{}}
		if e.What == "received" {
			m.ID = queueid.FromTime(e.At).String()
			e.Facts["from"] = "<" + from + ">"
		}
		for _, w := range words[1:] {
			key, value, _ := strings.Cut(w, "=")
			if key == "to" {
				value = "<" + value + ">"
			}
			e.Facts[key] = strings.ReplaceAll(value, "_", " ")
		}
		m.Events = append(m.Events, e)
	}
	return m
}

// aDay is a server that was down for a day, one who greylists, and a mailbox that is full.
func aDay() []proto.HistoryMessage {
	return []proto.HistoryMessage{ // the newest first, as mtadb sends them
		letter("ann@home.test", "1500 received", "1501 delivered to=bob@far.test host=mx.far.test"),
		letter("ann@home.test", "90 received", "91 delivered to=ok@fine.test host=mx.fine.test"),
		letter("", "80 received", "81 failed to=ann@home.test kind=quota status=5.2.2"),
		letter("ann@home.test", "70 received", "71 deferred to=ann@home.test kind=quota status=4.2.2",
			"400 delivered to=ann@home.test"),
		letter("ann@home.test", "60 received", "61 deferred to=cat@grey.test host=mx.grey.test kind=rcpt code=451 status=4.7.1 said=later",
			"70 delivered to=cat@grey.test host=mx.grey.test"),
		letter("ann@home.test", "30 received", "31 deferred to=bob@far.test kind=timeout said=silent_since_today;_it_is_tried_again_at_18:00",
			"1441 delivered to=bob@far.test host=mx.far.test"),
		letter("ann@home.test", "0 received", "1 deferred to=bob@far.test host=mx.far.test kind=timeout",
			"241 deferred to=bob@far.test kind=timeout said=mx.far.test[192.0.2.1]:25:_connection_refused",
			"1200 deferred to=bob@far.test host=mx.far.test kind=timeout",
			"1440 delivered to=bob@far.test host=mx.far.test"),
	}
}

// recorded serves a history by since, until and limit, as mtadb does.
func recorded(t *testing.T, list []proto.HistoryMessage) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := r.URL.Query()
		since, err1 := time.Parse(time.RFC3339, v.Get("since"))
		until, err2 := time.Parse(time.RFC3339, v.Get("until"))
		if err1 != nil || err2 != nil {
			t.Errorf("asked for %s", r.URL.RawQuery)
		}
		for i := range list {
			if at := arrivalOf(&list[i]); !at.Before(since) && at.Before(until) {
				_ = json.NewEncoder(w).Encode(&list[i])
			}
		}
	}
}

func runPast(t *testing.T, dir string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{Stdio: Stdio{In: strings.NewReader(""), Out: &out, Err: &errs}, ctx: t.Context(), now: func() time.Time { return pastStart.Add(48 * time.Hour) }}
	c := a.command()
	c.SetArgs(append([]string{"-C", dir, "simulate", "--past", "3d"}, args...))
	if err := c.Execute(); err != nil {
		t.Fatalf("%v %s", err, errs.String())
	}
	return out.String()
}

func stage(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "staged.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPastIsReplayedByTwoConfigurations(t *testing.T) {
	dir := remembers(t, map[string]http.HandlerFunc{"GET /v1/history": recorded(t, aDay())})
	config := settings.Private(dir).ConfigFile()
	if err := os.WriteFile(config, []byte("[[retry]]\nphases = [{ every = \"1h\", until = \"5d\" }]\njitter = 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := stage(t, "[[retry]]\nname = \"hasty\"\nphases = [{ every = \"10m\", until = \"6h\" }]\njitter = 0\n")
	var r pastReport
	if err := json.Unmarshal([]byte(runPast(t, dir, "--config", file, "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Messages != 7 || r.Recipients != 6 || len(r.Columns) != 3 {
		t.Fatalf("%+v", r)
	}
	was, files, staged := r.Columns[0], r.Columns[1], r.Columns[2]
	if was.Delivered != 5 || was.Worst != (24*time.Hour).Seconds() || was.Returned != 0 {
		t.Errorf("recorded: %+v", was)
	}
	// Between 20 and 24 hours nobody saw when it was back: after 22.
	if files.Delivered != 5 || files.Worst != (22*time.Hour).Seconds() || files.Earlier == 0 || files.Returned != 0 {
		t.Errorf("files: %+v", files)
	}
	if staged.Returned != 2 || len(r.Returned) != 2 || r.Returned[0].To != "bob@far.test" || r.Returned[0].Rule != "hasty" ||
		r.Returned[0].At.Sub(r.Returned[0].Arrived) != 6*time.Hour || staged.Attempts <= files.Attempts {
		t.Errorf("staged: %+v, %+v", staged, r.Returned)
	}
	text := runPast(t, dir, "--config", file)
	for _, want := range []string{"7 messages, and 6 recipients", "recorded        files       staged", "by rule hasty (staged)", "halfway"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestRewritesOfThePastAreCompared(t *testing.T) {
	dir := remembers(t, map[string]http.HandlerFunc{"GET /v1/history": recorded(t, aDay())})
	file := stage(t, "[[rewrite]]\nname = \"far\"\nsources = [\"envelope-recipients\"]\nmatch = \"*@far.test\"\nto = \"{1}@near.test\"\n")
	var r rewritesReport
	if err := json.Unmarshal([]byte(runPast(t, dir, "--rewrites", "--config", file, "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Different != 1 || len(r.Differences) != 1 || r.Differences[0].Files != "bob@far.test" || r.Differences[0].Staged != "bob@near.test" {
		t.Errorf("%+v", r)
	}
}

func TestPastIsReadPageByPage(t *testing.T) {
	var list []proto.HistoryMessage
	for i := range 25_000 {
		m := letter("ann@home.test", "0 received")
		m.ID = queueid.FromTime(pastStart.Add(-time.Duration(i) * time.Millisecond)).String()
		list = append(list, m)
	}
	asked := 0
	serve := recorded(t, list)
	dir := remembers(t, map[string]http.HandlerFunc{"GET /v1/history": func(w http.ResponseWriter, r *http.Request) {
		asked++
		serve(&cutAfter{ResponseWriter: w, left: pastPage}, r)
	}})
	a := &app{ctx: t.Context()}
	n := 0
	if err := a.eachPast(newClient(settings.Private(dir).Control(proto.ControlMTADB)), pastStart.Add(-time.Hour), pastStart.Add(time.Hour),
		func(*proto.HistoryMessage) { n++ }); err != nil || n != len(list) || asked != 3 {
		t.Errorf("%d messages in %d pages: %v", n, asked, err)
	}
}

// cutAfter ends an answer after some lines: the limit.
type cutAfter struct {
	http.ResponseWriter
	left int
}

func (c *cutAfter) Write(b []byte) (int, error) {
	if c.left--; c.left < 0 {
		return len(b), nil
	}
	return c.ResponseWriter.Write(b)
}

func TestRoutesAreComparedWhateverTheirOrder(t *testing.T) {
	leaf := func(verdict, by string, hosts ...string) proto.ExplainAnswer {
		return proto.ExplainAnswer{Leaves: []proto.ExplainLeaf{{Address: "a@x.test", Verdict: verdict, By: by, Hosts: hosts}}}
	}
	for name, c := range map[string]struct {
		running, staged    proto.ExplainAnswer
		different, unknown int
	}{
		"same":                {leaf("deliver", "mx", "a[192.0.2.1]:25", "b[192.0.2.2]:25"), leaf("deliver", "mx", "b[192.0.2.2]:25", "a[192.0.2.1]:25"), 0, 0},
		"elsewhere":           {leaf("deliver", "mx"), leaf("deliver", "hub"), 1, 0},
		"refused":             {leaf("deliver", "mx"), leaf("failed", "hub"), 1, 0},
		"staged away":         {leaf("deliver", "mx"), leaf("deferred", "hub"), 0, 1},
		"running away":        {leaf("deferred", "mx"), leaf("deliver", "hub"), 0, 1},
		"no address any more": {leaf("deliver", "mx"), proto.ExplainAnswer{}, 0, 1},
	} {
		var r routesReport
		if r.compare("a@x.test", &c.running, &c.staged); r.Different != c.different || r.Unknown != c.unknown || len(r.Differences) != c.different {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// It waited because its sender wanted that, and no rule had a part in it.
func TestWhatWasSentLaterIsReplayedFromThen(t *testing.T) {
	list := []proto.HistoryMessage{
		letter("ann@home.test", "61 received", "61 filed waiting=1 why=later"),
		letter("ann@home.test", "60 received", "60 filed waiting=1 why=later", "1500 deferred to=bob@far.test host=mx.far.test kind=timeout",
			"1560 delivered to=bob@far.test host=mx.far.test"),
		letter("ann@home.test", "0 received", "1 deferred to=bob@far.test host=mx.far.test kind=timeout", "30 delivered to=bob@far.test host=mx.far.test"),
	}
	dir := remembers(t, map[string]http.HandlerFunc{"GET /v1/history": recorded(t, list)})
	config := settings.Private(dir).ConfigFile()
	if err := os.WriteFile(config, []byte("[[retry]]\nphases = [{ every = \"1h\", until = \"5d\" }]\njitter = 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var r pastReport
	if err := json.Unmarshal([]byte(runPast(t, dir, "--json")), &r); err != nil {
		t.Fatal(err)
	}
	was, files := r.Columns[0], r.Columns[1]
	if r.Recipients != 2 || was.Worst != time.Hour.Seconds() || files.Worst != time.Hour.Seconds() || files.Earlier != 0 || files.Delivered != 2 {
		t.Errorf("recorded %+v, files %+v", was, files)
	}
}

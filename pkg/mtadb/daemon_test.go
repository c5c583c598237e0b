package mtadb

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/service/servicetest"
	"filbert/pkg/settings"
)

// instance is one in a directory of the test, whose socket paths are short.
func instance(t *testing.T) *settings.Settings {
	t.Helper()
	dir, err := os.MkdirTemp("", "mdb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := settings.Default()
	s.Instance = settings.Private(dir)
	for _, d := range []string{s.Instance.DB, s.Instance.Log, s.Instance.Run} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// journal is a log that the test writes.
type journal struct {
	t    *testing.T
	path string
	file *os.File
}

func newLog(t *testing.T, s *settings.Settings) *journal {
	t.Helper()
	l := &journal{t: t, path: s.Instance.LogFile()}
	l.open()
	return l
}

func (l *journal) open() {
	l.t.Helper()
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	l.file = f
	l.t.Cleanup(func() { f.Close() })
}

func (l *journal) write(text string) {
	l.t.Helper()
	if _, err := l.file.WriteString(text); err != nil {
		l.t.Fatal(err)
	}
}

// running is a daemon with its two sockets.
type running struct {
	t     *testing.T
	d     *Memory
	p     *service.Process
	suite *servicetest.Suite
	s     *settings.Settings
}

func run(t *testing.T, s *settings.Settings) *running {
	t.Helper()
	r := &running{t: t, d: New(), s: s}
	r.d.die = func() { t.Error("the daemon would end") }
	r.suite = servicetest.New(t, s, nil)
	var ls []service.NamedListener
	for path, kind := range map[string]proto.ListenerKind{r.path("c"): proto.ListenControl, r.path("m"): proto.ListenMine} {
		os.Remove(path)
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		ls = append(ls, service.NamedListener{Kind: kind, Name: "mtadb", Address: path, Listener: l})
	}
	r.p = r.suite.Start(proto.MTADB, r.d, ls...)
	return r
}

func (r *running) path(name string) string { return filepath.Join(r.s.Instance.Run, name) }

func (r *running) stop() {
	r.t.Helper()
	if err := r.suite.Stop(proto.MTADB); err != nil {
		r.t.Error(err)
	}
}

func (r *running) ask(socket, method, path, body string) (int, string) {
	r.t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", r.path(socket))
	}}}
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://x"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// history asks until there are n messages, which a test must be able to wait for: the
// log is followed once a second.
func (r *running) history(query string, n int) []proto.HistoryMessage {
	r.t.Helper()
	var list []proto.HistoryMessage
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		status, body := r.ask("c", "GET", "/v1/history"+query, "")
		if status != http.StatusOK {
			r.t.Fatalf("%s: %d %s", query, status, body)
		}
		if list = messages(r.t, body); len(list) >= n {
			return list
		}
	}
	r.t.Fatalf("%s: %d messages, want %d", query, len(list), n)
	return nil
}

func messages(t *testing.T, body string) []proto.HistoryMessage {
	t.Helper()
	var list []proto.HistoryMessage
	for l := range strings.Lines(body) {
		var m proto.HistoryMessage
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		list = append(list, m)
	}
	return list
}

func TestEachProgramKeepsItsOwnKindsAlone(t *testing.T) {
	s := instance(t)
	newLog(t, s)
	r := run(t, s)
	for _, c := range []struct {
		caller            proto.Service
		kind              proto.MemoryKind
		mayKeep, mayReach bool
	}{
		{proto.Dispatch, proto.MemoryHost, true, true}, {proto.Dispatch, proto.MemoryCallout, false, false},
		{proto.Router, proto.MemoryCallout, true, true}, {proto.Router, proto.MemoryHost, false, false},
		{proto.QMgr, proto.MemoryHost, false, false},
		{proto.Master, proto.MemoryHost, false, false}, {proto.SMTPD, proto.MemoryHost, false, false},
		{proto.Dispatch, 99, false, false}, {proto.Master, 99, false, false},
	} {
		cl := r.suite.Client(string(c.caller), proto.MTADB, ipc.ClientOptions{})
		rec := proto.MemoryRecord{Kind: c.kind, Key: "k", Value: []byte("v")}
		err := cl.Call(t.Context(), &proto.Remember{Records: []proto.MemoryRecord{rec}}, &proto.Remembered{})
		if (err == nil) != c.mayKeep {
			t.Errorf("%s keeps kind %d: %v", c.caller, c.kind, err)
		}
		var page proto.Recalled
		err = cl.Call(t.Context(), &proto.Recall{Of: c.kind}, &page)
		if (err == nil) != c.mayReach {
			t.Errorf("%s recalls kind %d: %v", c.caller, c.kind, err)
		}
		if c.mayKeep && (len(page.Records) != 1 || string(page.Records[0].Value) != "v") {
			t.Errorf("%s recalls %+v", c.caller, page)
		}
	}
}

func TestWhatIsRememberedOutlivesAKillAtOnce(t *testing.T) {
	s := instance(t)
	newLog(t, s)
	r := run(t, s)
	cl := r.suite.Client(string(proto.Dispatch), proto.MTADB, ipc.ClientOptions{})
	for n := range 5 { // the flush of each second can't have served them all
		rec := host(fmt.Sprint("192.0.2.", n, ":25"), "down")
		if err := cl.Call(t.Context(), &proto.Remember{Records: []proto.MemoryRecord{rec}}, &proto.Remembered{}); err != nil {
			t.Fatal(err)
		}
		// What the kernel has at this moment is what a kill leaves.
		left := t.TempDir()
		copyTree(t, s.Instance.DB, left)
		after := opened(t, left)
		if got := keys(t, after, proto.MemoryHost, rec.Key, time.Now()); got != rec.Key+"=down" {
			t.Errorf("%s was lost: found %q", rec.Key, got)
		}
		shut(t, after)
	}
}

func TestTheHistoryFollowsTheLogOverRotationAndTruncation(t *testing.T) {
	s := instance(t)
	l := newLog(t, s)
	now := time.Now()
	next := func(n int) string { _, text := mail(now, n, 1000, "bob@far.test"); return text }
	l.write(next(1) + "not a line of ours\n" + "2026-03-01T09:30")
	r := run(t, s)
	r.history("", 1)
	l.write("\n" + next(2)) // half a line, and its end
	r.history("", 2)

	// Renamed; a program that is slow to take the new one writes on.
	old := l.file
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		t.Fatal(err)
	}
	l.open()
	reading, err := os.Open(l.path)
	if err != nil {
		t.Fatal(err)
	}
	r.d.follower.add(reading)
	l.write(next(3))
	if _, err := old.WriteString(next(4)); err != nil {
		t.Fatal(err)
	}
	r.history("", 4)

	// Copied and cut short.
	if err := l.file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	l.write(next(5))
	r.history("", 5)

	// While no mtadb ran: the end of one, the beginning of another.
	r.stop()
	l.write(next(6))
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		t.Fatal(err)
	}
	l.open()
	l.write(next(7))
	r = run(t, s)
	list := r.history("", 7)
	if len(list) != 7 {
		t.Errorf("%d messages", len(list))
	}
	for _, m := range list {
		if len(m.Events) != 3 {
			t.Errorf("%s has %d events: a line was told twice, or not", m.ID, len(m.Events))
		}
	}
	var st proto.HistoryStatus
	_, body := r.ask("c", "GET", "/v1/history/status", "")
	if err := json.Unmarshal([]byte(body), &st); err != nil || st.Trouble != "" || st.Follows != l.path {
		t.Errorf("%s %v", body, err)
	}
}

func TestWithoutALogItSaysSo(t *testing.T) {
	s := instance(t)
	r := run(t, s)
	_, body := r.ask("c", "GET", "/v1/history/status", "")
	if !strings.Contains(body, "no such file") {
		t.Error(body)
	}
	if status, _ := r.ask("m", "GET", "/v1/mine/history", ""); status != http.StatusNotFound {
		t.Errorf("a user is told %d", status)
	}
}

func TestBadQueriesAreRefused(t *testing.T) {
	s := instance(t)
	newLog(t, s)
	r := run(t, s)
	for _, q := range []string{"?id=x", "?id=../../x", "?nonsense=1", "?since=never", "?limit=0", "?limit=-1", "?limit=x", "?limit=99999999",
		"?sender=", "?sender=a&sender=b", "?id=" + strings.Repeat("x", 5000)} {
		for socket, path := range map[string]string{"c": "/v1/history", "m": "/v1/mine/history"} {
			if status, body := r.ask(socket, "GET", path+q, ""); status != http.StatusBadRequest && status != http.StatusRequestHeaderFieldsTooLarge && status != http.StatusTooManyRequests {
				t.Errorf("%.60s: %d %s", path+q, status, body)
			}
		}
	}
	for _, path := range []string{"/v1/history", "/v1/memory?kind=host", "/v1/history/status", "/"} {
		if status, body := r.ask("m", "GET", path, ""); status != http.StatusNotFound && status != http.StatusTooManyRequests {
			t.Errorf("a user gets %s: %d %s", path, status, body)
		}
	}
}

func TestAUserIsToldOfHisOwnMailByHisSocket(t *testing.T) {
	s := instance(t)
	l := newLog(t, s)
	now := time.Now()
	me := os.Getuid()
	_, mine := mail(now, 1, me, "bob@far.test")
	id, other := mail(now, 2, me+1, "eve@far.test")
	_, later := mail(now.Add(time.Second), 3, me, "bob@far.test")
	l.write(mine + other + later)
	r := run(t, s)
	r.history("", 3)
	_, body := r.ask("m", "GET", "/v1/mine/history", "")
	list := messages(t, body)
	if len(list) != 2 || strings.Contains(body, "eve@") || list[0].Events[0].At.After(list[1].Events[0].At) {
		t.Error(body)
	}
	for _, q := range []string{"?id=" + id.String(), fmt.Sprintf("?uid=%d", me+1), "?recipient=eve@far.test"} {
		if status, body := r.ask("m", "GET", "/v1/mine/history"+q, ""); status != http.StatusOK || body != "" {
			t.Errorf("%s: %d %q", q, status, body)
		}
	}
}

func TestAnAdministratorSeesAndForgetsRecords(t *testing.T) {
	s := instance(t)
	newLog(t, s)
	r := run(t, s)
	cl := r.suite.Client("dispatch", proto.MTADB, ipc.ClientOptions{})
	if err := cl.Call(t.Context(), &proto.Remember{Records: []proto.MemoryRecord{host("mx.a", "1"), host("mx.b", "2")}}, &proto.Remembered{}); err != nil {
		t.Fatal(err)
	}
	var page proto.MemoryPage
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/v1/memory", "", 200, `"records": 2`},
		{"GET", "/v1/memory?kind=host&prefix=mx", "", 200, `"mx.b"`},
		{"GET", "/v1/memory?kind=nonsense", "", 400, "no such kind"},
		{"POST", "/v1/memory/forget", `{"kind":"host","key":"mx.b"}`, 200, `"count": 1`},
		{"POST", "/v1/memory/forget", `{"kind":"host","key":"mx.b"}`, 200, `"count": 0`},
		{"POST", "/v1/memory/forget", `{"kind":"host","unknown":1}`, 400, "unknown"},
	} {
		status, body := r.ask("c", c.method, c.path, c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s", c.path, status, body)
		}
	}
	_, body := r.ask("c", "GET", "/v1/memory?kind=host", "")
	if err := json.Unmarshal([]byte(body), &page); err != nil || len(page.Records) != 1 || string(page.Records[0].Value) != "1" {
		t.Error(body, err)
	}
}

func TestADamagedDatabaseIsSetAsideToldAndBegunAnew(t *testing.T) {
	s := instance(t)
	newLog(t, s)
	r := run(t, s)
	cl := r.suite.Client("dispatch", proto.MTADB, ipc.ClientOptions{})
	if err := cl.Call(t.Context(), &proto.Remember{Records: []proto.MemoryRecord{host("a", "1")}}, &proto.Remembered{}); err != nil {
		t.Fatal(err)
	}
	r.stop()
	damage(t, s.Instance.DB, "MANIFEST-*")
	r = run(t, s)
	cl = r.suite.Client("dispatch", proto.MTADB, ipc.ClientOptions{})
	var page proto.Recalled
	if err := cl.Call(t.Context(), &proto.Recall{Of: proto.MemoryHost}, &page); err != nil || len(page.Records) != 0 {
		t.Error(page, err)
	}
	if found, _ := filepath.Glob(filepath.Join(s.Instance.DB, damagedName+"*")); len(found) != 1 {
		t.Errorf("set aside: %v", found)
	}
}

func TestWithoutRoomCallsAreRefusedAndTheLogWaits(t *testing.T) {
	s := instance(t)
	l := newLog(t, s)
	r := run(t, s)
	r.history("", 0)
	r.d.mu.Lock()
	r.d.full = true
	r.d.mu.Unlock()
	if err := r.d.room(); !errors.Is(err, errFull) {
		t.Fatal(err)
	}
	cl := r.suite.Client("dispatch", proto.MTADB, ipc.ClientOptions{})
	var remote *ipc.RemoteError
	err := cl.Call(t.Context(), &proto.Remember{Records: []proto.MemoryRecord{host("a", "1")}}, &proto.Remembered{})
	// look may have found the room again: then there is no error to see.
	if err != nil && (!errors.As(err, &remote) || !strings.Contains(err.Error(), "nearly full")) {
		t.Error(err)
	}
	_, text := mail(time.Now(), 1, 1, "a@b.test")
	l.write(text)
	r.history("", 1) // when there is room again
}

func TestADirectoryThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	if os.Getuid() == 0 {
		// Root writes everywhere: a file stands where the directory belongs.
		s := instance(t)
		newLog(t, s)
		dir := filepath.Join(s.Instance.DB, dbName)
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		r := run(t, s)
		if status, body := r.ask("c", "GET", "/v1/history", ""); status != http.StatusServiceUnavailable {
			t.Errorf("%d %s", status, body)
		}
		cl := r.suite.Client("dispatch", proto.MTADB, ipc.ClientOptions{})
		if err := cl.Call(t.Context(), &proto.Remember{Records: []proto.MemoryRecord{host("a", "1")}}, &proto.Remembered{}); err == nil {
			t.Error("it remembers without a database")
		}
		return
	}
	s := instance(t)
	newLog(t, s)
	if err := os.Chmod(s.Instance.DB, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(s.Instance.DB, 0o700)
	r := run(t, s)
	if status, body := r.ask("c", "GET", "/v1/history", ""); status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", status, body)
	}
}

// childVar makes this program one that writes until it is killed: it says on standard
// output how far every record has been acknowledged.
const childVar = "MTADB_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVar); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

func writeUntilKilled(dir string) {
	root, err := os.OpenRoot(dir)
	if err == nil {
		var s *store
		if s, err = openStore(root, func(error) {}, func(err error) { fmt.Println(err); os.Exit(1) }); err == nil {
			for n := 0; ; n++ {
				if err = writeRound(s, n); err != nil {
					break
				}
				fmt.Println(n)
			}
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

// pair is the size of a batch, of which all or nothing is kept.
const pair = 50

func writeRound(s *store, n int) error {
	var list []proto.MemoryRecord
	for i := range pair {
		list = append(list, host(fmt.Sprintf("%08d.%02d", n, i), strings.Repeat("x", 500)))
	}
	d := newDigest()
	_, log := mail(noon.Add(time.Duration(n)*time.Millisecond), 0, 1000, "bob@far.test")
	for l := range strings.Lines(log) {
		d.line([]byte(strings.TrimSuffix(l, "\n")))
	}
	return errors.Join(s.remember(list, noon), s.record(d, nil, noon, testSize))
}

func TestAKillTearsNoBatchAndTakesTheLastOnesAlone(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), childVar+"="+dir)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		last := -1
		in := bufio.NewScanner(out)
		for in.Scan() {
			if _, err := fmt.Sscan(in.Text(), &last); err != nil {
				t.Fatalf("the child says %s", in.Text())
			}
			if last == 100*(round+1) {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		s := opened(t, dir)
		records, _, err := s.recall(proto.MemoryHost, "", "", 1<<30, noon)
		for more := true; more && err == nil; {
			var page []stored
			page, more, err = s.recall(proto.MemoryHost, "", records[len(records)-1].key, 1<<30, noon)
			records = append(records, page...)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(records)%pair != 0 || len(records) == 0 {
			t.Errorf("%d records of batches of %d", len(records), pair)
		}
		for i, r := range records {
			if want := fmt.Sprintf("%08d.%02d", i/pair, i%pair); r.key != want || len(r.data) != 500 {
				t.Fatalf("record %d is %s, want %s: later ones are there", i, r.key, want)
			}
		}
		if c := s.counts[proto.MemoryHost]; int(c.records) != len(records) {
			t.Errorf("%d are counted, %d are there", c.records, len(records))
		}
		// The two are written in turns.
		if got := len(lookFor(t, s, query{limit: 1 << 30})); got != len(records)/pair && got != len(records)/pair-1 {
			t.Errorf("%d messages with %d batches", got, len(records)/pair)
		}
		if err := s.sweep(noon); err != nil {
			t.Error(err)
		}
		shut(t, s)
	}
}

func TestEndingTellsNothingTwice(t *testing.T) {
	s := instance(t)
	l := newLog(t, s)
	for round := range 3 {
		_, text := mail(time.Now(), round, 1000, "bob@far.test")
		l.write(text)
		r := run(t, s)
		for _, m := range r.history("", round+1) {
			if len(m.Events) != 3 {
				t.Errorf("%s has %d events", m.ID, len(m.Events))
			}
		}
		r.stop()
	}
}

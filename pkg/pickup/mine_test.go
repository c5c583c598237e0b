package pickup

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filbert/pkg/proto"
)

// mine serves the place of a users' socket.
func (r *rig) mine(name string, h http.HandlerFunc) {
	r.Helper()
	if err := os.MkdirAll(filepath.Join(r.dir, "run/mine"), 0o700); err != nil {
		r.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(r.dir, "run/mine", name))
	if err != nil {
		r.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	r.Cleanup(func() { s.Close() })
}

// forbidden is the administrators' socket for everybody else.
func forbidden(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, `{"error":"no"}`)
}

// day is a time of the day of the tests.
func day(hour, minute int) time.Time { return time.Date(2026, 3, 1, hour, minute, 0, 0, time.Local) }

func stamp(t time.Time) string { return t.Format(time.RFC3339) }

const waitingItem = `{"id":"35ANMPFBG00","state":%q,"arrived":%q,"size":1500,"sender":"ann@here.example","attempts":2,` +
	`"next_attempt":%q,"give_up_at":%q,"recipients":[` +
	`{"address":"friend@example.org","state":"waiting","why":"example.org has refused connections","since":%[5]q},` +
	`{"address":"other@example.org","state":"waiting","why":"example.org has refused connections","since":%[5]q},` +
	`{"address":"bob\u001b[2J@here.example","state":"waiting","why":"the mailbox of bob has been full"}]}` + "\n"

func item(state string) string {
	return fmt.Sprintf(waitingItem, state, stamp(day(14, 20)), stamp(day(14, 40)), stamp(day(14, 20).AddDate(0, 0, 5)), stamp(day(14, 5)))
}

func TestMailqOfAUserShowsHisMailInPlainWords(t *testing.T) {
	r := newRig(t)
	r.now = day(14, 32)
	r.queue(forbidden)
	r.mine(proto.MineQmgr, func(w http.ResponseWriter, q *http.Request) {
		if q.Method != "GET" || q.URL.String() != "/v1/mine" {
			t.Errorf("%s %s", q.Method, q.URL)
		}
		_, _ = io.WriteString(w, item("waiting")+`{"more":7,"recipients":[]}`+"\n")
	})
	got := r.call("mailq", "")
	r.want(got, exOK)
	want := `35ANMPFBG00  12 min  to friend@example.org, other@example.org
    waits: example.org has refused connections since 14:05; next attempt 14:40; given up on 6 March
  to bob\x1b[2J@here.example
    waits: the mailbox of bob has been full; next attempt 14:40; given up on 6 March
... and 7 more, which are newer.
`
	if got.out != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.out, want)
	}
}

func TestEachStateHasItsWords(t *testing.T) {
	for state, want := range map[string]string{
		"delivering": "    is being delivered just now; before that, example.org has refused connections since 14:05\n",
		"held":       "    on hold: example.org has refused connections since 14:05\n",
	} {
		r := newRig(t)
		r.now = day(14, 32)
		r.mine(proto.MineQmgr, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, item(state)) })
		if got := r.call("mailq", "", "--mine"); !strings.Contains(got.out, want) {
			t.Errorf("%s:\n%s", state, got.out)
		}
	}
}

func TestTimesAreThoseThatPeopleSay(t *testing.T) {
	now := day(14, 32)
	for _, c := range []struct {
		t                time.Time
		age, moment, end string
	}{
		{now.Add(-30 * time.Second), "just now", "14:31", "at 14:31"},
		{now.Add(-90 * time.Minute), "90 min", "13:02", "at 13:02"},
		{now.Add(-30 * time.Hour), "30 h", "28 February 08:32", "on 28 February"},
		{now.AddDate(0, 0, -20), "20 days", "9 February 14:32", "on 9 February"},
		{now.AddDate(-1, 0, 0), "365 days", "1 March 2025", "on 1 March 2025"},
	} {
		if a, m, e := ageOf(c.t, now), moment(c.t, now), dayOrHour(c.t, now); a != c.age || m != c.moment || e != c.end {
			t.Errorf("%v: %q, %q, %q", c.t, a, m, e)
		}
	}
}

func TestAdministratorKeepsTheClassicList(t *testing.T) {
	r := newRig(t)
	r.queue(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	r.mine(proto.MineQmgr, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.String() != "/v1/mine?all=1" {
			t.Errorf("asked for %s", q.URL)
		}
	})
	if got := r.call("mailq", ""); got.out != "Mail queue is empty\n" {
		t.Errorf("stdout %q", got.out)
	}
	if got := r.call("mailq", "", "--all"); got.out != "No mail is waiting.\n" {
		t.Errorf("stdout %q", got.out)
	}
}

func TestNoMailOfHisOwn(t *testing.T) {
	r := newRig(t)
	r.queue(forbidden)
	r.mine(proto.MineQmgr, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	if got := r.call("sendmail", "", "-bp"); got.status != exOK || got.out != "No mail of yours is waiting.\n" {
		t.Errorf("exit status %d, stdout %q, stderr %q", got.status, got.out, got.err)
	}
}

func TestJSONIsPassedOn(t *testing.T) {
	r := newRig(t)
	r.mine(proto.MineQmgr, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, item("waiting")) })
	if got := r.call("mailq", "", "--json"); got.out != item("waiting") {
		t.Errorf("stdout %q", got.out)
	}
}

func TestTraceTellsWhatWasTried(t *testing.T) {
	r := newRig(t)
	r.now = day(14, 32)
	r.mine(proto.MineQmgr, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.String() != "/v1/mine/35ANMPFBG00" {
			t.Errorf("asked for %s", q.URL)
		}
		fmt.Fprintf(w, `{"id":"35ANMPFBG00","state":"waiting","arrived":%q,"size":1500,"sender":"ann@here.example","next_attempt":%q,
			"recipients":[{"address":"a@far.test","state":"waiting","why":"far.test has put this recipient off for the moment","reply":"450 \u001b[2Jlater"}],
			"done":[{"address":"b@far.test","state":"delivered"}],"earlier":3,
			"log":[{"at":%q,"address":"a@far.test","what":"put off: far.test has put this recipient off for the moment","reply":"450 later"},{"at":%q,"what":"released by an administrator"}]}`,
			stamp(day(14, 20)), stamp(day(14, 30)), stamp(day(14, 21)), stamp(day(14, 22)))
	})
	got := r.call("mailq", "", "--trace", "35anmpfbg00")
	r.want(got, exOK)
	want := `35ANMPFBG00  from ann@here.example, handed in 14:20, 2 KB
  to a@far.test
    waits: far.test has put this recipient off for the moment; next attempt at once
    it said: 450 \x1b[2Jlater
  to b@far.test
    delivered
So far:
  (3 lines before)
  2026-03-01 14:21:00  a@far.test: put off: far.test has put this recipient off for the moment
    it said: 450 later
  2026-03-01 14:22:00  released by an administrator
`
	if got.out != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.out, want)
	}
}

func TestCancelSaysWhatCameOfIt(t *testing.T) {
	for state, want := range map[string]int{"cancelled": exOK, "partly": exOK, "pending": exTempFail, "too-late": exUnavailable} {
		r := newRig(t)
		var body []byte
		r.mine(proto.MineQmgr, func(w http.ResponseWriter, q *http.Request) {
			body, _ = io.ReadAll(q.Body)
			if q.Method != "POST" || q.URL.Path != "/v1/mine/cancel" {
				t.Errorf("%s %s", q.Method, q.URL)
			}
			fmt.Fprintf(w, `{"id":"35ANMPFBG00","state":%q,"said":"It is so.","cancelled":[],"too_late":[{"address":"b@far.test","state":"delivered"}]}`, state)
		})
		got := r.call("mailq", "", "--cancel", "35ANMPFBG00", "a@far.test", "b@far.test")
		if got.status != want || got.out != "It is so.\n    b@far.test: delivered\n" {
			t.Errorf("%s: exit status %d, stdout %q", state, got.status, got.out)
		}
		if string(body) != `{"id":"35ANMPFBG00","recipients":["a@far.test","b@far.test"]}` {
			t.Errorf("asked for %s", body)
		}
	}
}

func TestRefusalsHaveTheirStatus(t *testing.T) {
	for code, want := range map[int]int{403: exNoPerm, 404: exNoInput, 409: exUnavailable, 422: exDataErr, 429: exTempFail, 500: exUnavailable} {
		r := newRig(t)
		r.mine(proto.MineQmgr, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, `{"error":"not\u001b so","hint":"do this"}`)
		})
		got := r.call("mailq", "", "--cancel", "35ANMPFBG00")
		if got.status != want || got.err != "mailq: cancel the message: not\\x1b so (do this)\n" {
			t.Errorf("%d: exit status %d, stderr %q", code, got.status, got.err)
		}
	}
}

func TestOptionsOfMailqAreChecked(t *testing.T) {
	r := newRig(t)
	for _, args := range []string{"--trace", "--cancel", "--trace zzz", "--cancel ../x", "--history ../x", "--trace 35ANMPFBG00 --cancel 35ANMPFBG00", "--mine --all", "--nothing", "--json=yes"} {
		if got := r.call("mailq", "", strings.Fields(args)...); got.status != exUsage {
			t.Errorf("%s: exit status %d, %s", args, got.status, got.err)
		}
	}
	if got := r.call("sendmail", "", "--cancel", "35ANMPFBG00"); got.status != exUsage {
		t.Errorf("sendmail --cancel: exit status %d", got.status)
	}
}

func TestHistoryThatIsNotThereIsSaidSo(t *testing.T) {
	r := newRig(t)
	for range 2 {
		got := r.call("mailq", "", "--history")
		if got.status != exUnavailable || !strings.Contains(got.err, "the history is not available") {
			t.Errorf("exit status %d, stderr %q", got.status, got.err)
		}
		if _, err := os.Stat(filepath.Join(r.dir, "run/mine")); err != nil {
			r.mine(proto.MineMTADB, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		}
	}
}

func TestHistoryIsToldInPlainWords(t *testing.T) {
	r := newRig(t)
	r.now = day(14, 32)
	r.mine(proto.MineMTADB, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.String() != "/v1/mine/history?id=35ANMPFBG00" {
			t.Errorf("asked for %s", q.URL)
		}
		at := stamp(day(14, 20))
		fmt.Fprintf(w, `{"id":"35ANMPFBG00","events":[{"at":%[1]q,"what":"received","by":"cleanup"},`+
			`{"at":%[1]q,"what":"deferred","by":"dispatch","facts":{"to":"a@far.test","host":"mx.far.test","ip":"192.0.2.1","said":"450 later\u001b"}},`+
			`{"at":%[1]q,"what":"delivered","by":"dispatch","facts":{"to":"<b@here.test>","said":"into /home/b"}},`+
			`{"at":%[1]q,"what":"failed","by":"dispatch","facts":{"to":"<c@far.test>","kind":"cancelled","said":"uid 1001"}},`+
			`{"at":%[1]q,"what":"failed","by":"dispatch","facts":{"to":"<d@far.test>","kind":"expired"}},`+
			`{"at":%[1]q,"what":"scheduled","by":"qmgr"}]}`+"\n", at)
	})
	got := r.call("mailq", "", "--history", "35ANMPFBG00")
	r.want(got, exOK)
	want := `35ANMPFBG00
  2026-03-01 14:20:00  handed in
  2026-03-01 14:20:00  a@far.test: put off by mx.far.test [192.0.2.1]
    it said: 450 later\x1b
  2026-03-01 14:20:00  b@here.test: delivered
  2026-03-01 14:20:00  c@far.test: cancelled
  2026-03-01 14:20:00  d@far.test: given up
`
	if got.out != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.out, want)
	}
}

// Who is turned away before he has asked learns why.
func TestRefusalBeforeTheRequestIsRead(t *testing.T) {
	r := newRig(t)
	if err := os.MkdirAll(filepath.Join(r.dir, "run/mine"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(r.dir, "run/mine", proto.MineQmgr))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 16\r\n\r\n{\"error\":\"many\"}")
		c.Close()
	}()
	if got := r.call("mailq", "", "--mine"); got.status != exTempFail || !strings.Contains(got.err, "many") {
		t.Errorf("exit status %d, stderr %q", got.status, got.err)
	}
}

func FuzzMailqOptions(f *testing.F) {
	for _, s := range []string{"--trace X", "--cancel X y", "--history", "--json --mine", "-- --all"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := parseOptions("mailq", strings.Fields(s))
		if err == nil && (o.mailq.mode == mailqCancel || o.mailq.mode == mailqTrace) && o.mailq.id == "" {
			t.Errorf("%q: no id", s)
		}
	})
}

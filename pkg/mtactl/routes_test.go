package mtactl

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filbert/pkg/proto"
)

// serveRoutes answers questions about addresses as a suite would.
func serveRoutes(t *testing.T, leaves map[string][]proto.ExplainLeaf) string {
	t.Helper()
	dir, inst := mustInit(t)
	serveControl(t, inst, proto.ControlMaster, func(w http.ResponseWriter, r *http.Request) {
		var q proto.ExplainQuery
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		answer(t, w, 200, proto.ExplainAnswer{Leaves: leaves[q.Address+" "+q.Sender]})
	})
	return dir
}

func TestRoutesAreHeldAgainstWhatIsExpected(t *testing.T) {
	dir := serveRoutes(t, map[string][]proto.ExplainLeaf{
		"alice@a.test ": {{Address: "alice@a.test", Verdict: "deliver", Transport: "maildir", User: "alice", By: "users"}},
		"info@a.test ": {
			{Address: "alice@a.test", Verdict: "deliver", Transport: "maildir"},
			{Address: "x@b.test", Verdict: "deliver", Transport: "smtp", NextHop: "b.test", Hosts: []string{"mx.b.test[192.0.2.1]:25"}},
		},
		"no@a.test ":           {{Address: "no@a.test", Verdict: "failed", Status: "5.1.1", Reason: "there is no user"}},
		"x@c.test me@a.test":   {{Address: "x@c.test", Verdict: "deliver", Transport: "smtp", Login: "me"}},
		"late@a.test ":         {{Address: "late@a.test", Verdict: "deferred"}},
		"other@a.test ":        {{Address: "other@a.test", Verdict: "deliver", Transport: "mbox"}},
		"two@a.test ":          {{Address: "two@a.test", Verdict: "deliver", Transport: "mbox"}, {Address: "three@a.test", Verdict: "discarded"}},
		"alice@a.test me@a.te": nil,
	})
	good := `# a comment

alice@a.test = maildir user=alice by=users
info@a.test = x@b.test smtp hop=b.test host=mx.b.test; ALICE@a.test maildir
no@a.test = failed status=5.1.1
x@c.test from=me@a.test = smtp login=me
late@a.test = deferred
`
	for _, c := range []struct {
		name, file string
		code       int
		want       []string
	}{
		{"all as expected", good, 0, []string{"5 addresses as expected"}},
		{"another transport", "other@a.test = maildir\n", 1, []string{":1: other@a.test", "expected: maildir", "found:    other@a.test mbox"}},
		{"one too many", "alice@a.test = maildir\ntwo@a.test = mbox\n", 1, []string{":2: two@a.test", "found:    three@a.test discarded"}},
		{"one too few", "alice@a.test = maildir; b@a.test mbox\n", 1, []string{"expected: b@a.test mbox"}},
		{"no equals sign", "alice@a.test maildir\n", exDataErr, []string{":1:", "what is expected"}},
		{"an unknown word", "alice@a.test = maildir colour=red\n", exDataErr, []string{"colour=red"}},
		{"nothing", "# nothing\n", exDataErr, []string{"expects nothing"}},
	} {
		file := filepath.Join(t.TempDir(), "routes")
		if err := os.WriteFile(file, []byte(c.file), 0o644); err != nil {
			t.Fatal(err)
		}
		code, out, errs := run(t, dir, "check", "--routes", file)
		if code != c.code {
			t.Errorf("%s: exit %d\n%s%s", c.name, code, out, errs)
		}
		for _, w := range c.want {
			if !strings.Contains(out+errs, w) {
				t.Errorf("%s: no %q in\n%s%s", c.name, w, out, errs)
			}
		}
	}
}

func TestLookupPrintsValuesAndSaysWhenThereAreNone(t *testing.T) {
	dir, inst := mustInit(t)
	serveControl(t, inst, proto.ControlMaster, func(w http.ResponseWriter, r *http.Request) {
		var q proto.LookupQuestion
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Name != "people" {
			t.Errorf("%+v, %v", q, err)
		}
		answer(t, w, 200, map[string]proto.LookupAnswered{
			"alice":  {Found: true, Values: []string{"a@x.test", "b@x.test"}},
			"nosuch": {}, "down": {Trouble: "connection refused"},
		}[q.Key])
	})
	for _, c := range []struct {
		key, want string
		code      int
	}{{"alice", "a@x.test\nb@x.test\n", 0}, {"nosuch", "has nothing for nosuch", 1}, {"down", "connection refused", exTempFail}} {
		if code, out, errs := run(t, dir, "lookup", "people", c.key); code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%s: exit %d: %s%s", c.key, code, out, errs)
		}
	}
}

func FuzzParseRoute(f *testing.F) {
	for _, line := range []string{"a@b = maildir user=x", "a@b from=c@d client=192.0.2.1 size=1MB = failed status=5.1.1; x@y smtp", "a =", "= b", "a = ;"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if r, err := parseRoute(line); err == nil && (r.query.Address == "" || len(r.wants) == 0) {
			t.Errorf("%q asks or expects nothing", line)
		}
	})
}

func TestHostsAreRememberedByAddressPortAndLogin(t *testing.T) {
	for _, c := range [][3]string{
		{"mx.example[192.0.2.1]:25", "", "192.0.2.1:25"},
		{"mx.example[2001:db8::1]:587", "me", "[2001:db8::1]:587 as me"},
		{"192.0.2.1:25", "", "192.0.2.1:25"},
	} {
		if got := memoryKey(c[0], c[1]); got != c[2] {
			t.Errorf("%s as %q: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

func TestHostsAreKnownByEachWayOfComing(t *testing.T) {
	const host = "mx.example[192.0.2.1]:25"
	for _, c := range []struct {
		key, login, by string
		of             bool
	}{
		{"192.0.2.1:25", "", "", true},
		{"192.0.2.1:25 from 192.0.2.9 helo a.example", "", " from 192.0.2.9 helo a.example", true},
		{"192.0.2.1:25 as me", "me", "", true},
		{"192.0.2.1:25 from 192.0.2.9 as me", "me", " from 192.0.2.9", true},
		{"192.0.2.1:25 from 192.0.2.9 as me", "", "", false},
		{"192.0.2.1:25 as you", "me", "", false},
		{"192.0.2.1:25", "me", "", false},
		{"192.0.2.1:2525", "", "", false},
	} {
		if by, of := wayOf(c.key, host, c.login); of != c.of || of && by != c.by {
			t.Errorf("%q as %q: %q, %v", c.key, c.login, by, of)
		}
	}
}

package mtactl

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"filbert/pkg/proto"
)

const anID = "1HT0E1F3R00"

func TestQueueListStreamsAndCounts(t *testing.T) {
	dir, inst := mustInit(t)
	next := time.Now().Add(time.Hour)
	serveControl(t, inst, proto.ControlQmgr, func(w http.ResponseWriter, r *http.Request) {
		want := "/v1/queue?domain=%2A.example&older=2+days&sender=%3C%3E"
		if r.URL.String() != want {
			t.Errorf("asked for %s, want %s", r.URL, want)
		}
		for i := range 3 {
			b, _ := json.Marshal(proto.QueueItem{
				ID: fmt.Sprintf("1HT0E1F3R0%d", i), State: "deferred", Size: 1024, Arrived: time.Now(), NextAttempt: &next,
				Reason:     "connection refused\x1b]0;x\a",
				Recipients: []proto.QueueRecipient{{Address: "bob@remote.example"}},
			})
			fmt.Fprintf(w, "%s\n", b)
		}
	})
	args := []string{"queue", "list", "--domain", "*.example", "--older", "2 days", "--sender", "<>"}
	code, out, errs := run(t, dir, args...)
	for _, want := range []string{"1HT0E1F3R02", "bob@remote.example", "connection refused", "3 messages, 3.0 KB", "a report"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d: no %q in:\n%s%s", code, want, out, errs)
		}
	}
	if strings.ContainsAny(out, "\x1b\a") {
		t.Error("a peer's escape sequence reaches the terminal")
	}
	_, out, _ = run(t, dir, append(args, "--json")...)
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 3 || !json.Valid([]byte(lines[0])) {
		t.Errorf("not three lines of JSON: %s", out)
	}
}

// TestIDsThatAreNoneNeverLeave: nothing that looks like a path gets into a
// request.
func TestIDsThatAreNoneNeverLeave(t *testing.T) {
	dir, inst := mustInit(t)
	serveControl(t, inst, proto.ControlQmgr, func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was asked for", r.URL)
	})
	for _, id := range []string{"../../etc/passwd", "..", "", "1HT0E1F3R0", "1HT0E1F3R00/content", "1HT0E1F3R0I", "00000000000", "1HT0E1F3R0\n"} {
		for _, args := range [][]string{{"show", id}, {"cat", id}, {"delete", id}, {"list", "--id", id}} {
			if code, _, errs := run(t, dir, append([]string{"queue"}, args...)...); code != exUsage || !strings.Contains(errs, "is no queue id") {
				t.Errorf("%q: exit %d: %s", args, code, errs)
			}
		}
	}
}

func TestOrdersNeedTheirMessagesNamed(t *testing.T) {
	dir, inst := mustInit(t)
	serveControl(t, inst, proto.ControlQmgr, func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was asked for", r.URL)
	})
	for _, args := range [][]string{
		{"delete"},
		{"delete", anID, "--all"},
		{"delete", anID, "--domain", "a.test"},
		{"hold", "--all", "--domain", "a.test"},
		{"retry", "--domain", "user@a.test"},
		{"retry", "--older", "yesterday"},
		{"retry", "--state", "lost"},
	} {
		if code, _, errs := run(t, dir, append([]string{"queue"}, args...)...); code != exUsage || errs == "" {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
}

// orders answers orders and remembers them.
func orderServer(t *testing.T, res proto.QueueResult) (dir string, got *[]string) {
	t.Helper()
	dir, inst := mustInit(t)
	got = &[]string{}
	serveControl(t, inst, proto.ControlQmgr, func(w http.ResponseWriter, r *http.Request) {
		var q proto.QueueOrder
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil {
			t.Error(err)
		}
		*got = append(*got, fmt.Sprintf("%s ids=%v domain=%q state=%q all=%v dry=%v reason=%q", r.URL.Path, q.IDs, q.Filter.Domain, q.Filter.State, q.All, q.DryRun, q.Reason))
		answer(t, w, 200, res)
	})
	return dir, got
}

func TestOrdersAreSentAsMeant(t *testing.T) {
	dir, got := orderServer(t, proto.QueueResult{Matched: 2, Done: 2})
	code, out, errs := run(t, dir, "queue", "hold", strings.ToLower(anID), "--reason", "looks odd")
	if code != 0 || !strings.Contains(out, "2 messages held") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	run(t, dir, "queue", "retry", "--domain", "a.test", "--dry-run")
	run(t, dir, "queue", "delete", "--all", "--yes")
	run(t, dir, "queue", "release", "--all")
	want := []string{
		`/v1/queue/hold ids=[1HT0E1F3R00] domain="" state="" all=false dry=false reason="looks odd"`,
		`/v1/queue/retry ids=[] domain="a.test" state="" all=false dry=true reason=""`,
		`/v1/queue/delete ids=[] domain="" state="" all=true dry=false reason=""`,
		`/v1/queue/release ids=[] domain="" state="held" all=false dry=false reason=""`,
	}
	if strings.Join(*got, "\n") != strings.Join(want, "\n") {
		t.Errorf("sent:\n%s", strings.Join(*got, "\n"))
	}
}

func TestDeletingByFilterAsksFirst(t *testing.T) {
	dir, got := orderServer(t, proto.QueueResult{Matched: 9})
	code, _, errs := run(t, dir, "queue", "delete", "--domain", "a.test")
	if code != exUsage || !strings.Contains(errs, "9 messages would be deleted") || !strings.Contains(errs, "--yes") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if len(*got) != 1 || !strings.Contains((*got)[0], "dry=true") {
		t.Errorf("sent: %v", *got)
	}
}

func TestPartialSuccessIsNotSuccess(t *testing.T) {
	dir, _ := orderServer(t, proto.QueueResult{Matched: 2, Done: 1, Errors: []string{anID + ": an attempt is under way"}})
	code, out, errs := run(t, dir, "queue", "hold", anID)
	if code != exTempFail || !strings.Contains(out, "1 of 2 messages") || !strings.Contains(errs, "under way") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

func TestMessageThatIsNotThere(t *testing.T) {
	dir, inst := mustInit(t)
	serveControl(t, inst, proto.ControlQmgr, func(w http.ResponseWriter, r *http.Request) {
		answer(t, w, 404, proto.ControlError{Error: "no such message"})
	})
	code, _, errs := run(t, dir, "queue", "show", anID)
	if code != exDataErr || !strings.Contains(errs, "no such message") || !strings.Contains(errs, "trace") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestQueueCatIsByteForByte(t *testing.T) {
	dir, inst := mustInit(t)
	text := "Subject: x\r\n\r\n\x00\xff.\r\n"
	serveControl(t, inst, proto.ControlQmgr, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/queue/"+anID+"/content" {
			t.Errorf("asked for %s", r.URL)
		}
		fmt.Fprint(w, text)
	})
	if code, out, errs := run(t, dir, "queue", "cat", anID); code != 0 || out != text {
		t.Errorf("exit %d: %q %s", code, out, errs)
	}
}

func TestQueueShow(t *testing.T) {
	dir, inst := mustInit(t)
	serveControl(t, inst, proto.ControlQmgr, func(w http.ResponseWriter, r *http.Request) {
		answer(t, w, 200, proto.QueueMessage{
			QueueItem: proto.QueueItem{ID: anID, State: "held", Sender: "a@b.test", Attempts: 2, Reason: "held by root: odd",
				Recipients: []proto.QueueRecipient{{Address: "c@d.test", State: "waiting"}}},
			Log: []proto.QueueAttempt{{At: time.Now(), Recipient: "c@d.test", Result: "deferred", Status: "4.4.1", Text: "refused"}},
		})
	})
	code, out, errs := run(t, dir, "queue", "show", anID)
	for _, want := range []string{anID, "a@b.test", "c@d.test (waiting)", "4.4.1", "held by root"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d: no %q in:\n%s%s", code, want, out, errs)
		}
	}
}

package localdeliver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// throughMaildir is what a transport makes of a message of which job may be
// changed before.
func throughMaildir(t *testing.T, tr settings.Transport, text string, change func(*childJob)) string {
	t.Helper()
	dir := t.TempDir()
	tr.Driver, tr.Path = "maildir", dir+"/box"
	job := testJob(tr, text)
	if change != nil {
		change(job)
	}
	wantDelivered(t, deliverIn(t, testWorker(), job))
	return onlyMessage(t, filepath.Join(dir, "box"))
}

const front = "Return-Path: <ada@far.example>\nDelivered-To: bob@local.example\n"

func TestATransportTakesFieldsOutAndAddsSome(t *testing.T) {
	got := throughMaildir(t, settings.Transport{
		HeadersRemove: []string{"X-SPAM"},
		HeadersAdd:    []string{"X-For: {local_part} at {domain} ({recipient}) from {sender}"},
	}, "A: 1\r\nX-Spam: yes\r\n\tfolded\r\nB: 2\r\n\r\nX-Spam: body\r\n", nil)
	want := front + "A: 1\nB: 2\nX-For: bob at local.example (bob@local.example) from ada@far.example\n\nX-Spam: body\n"
	if got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestTheEditOfTheJobComesBeforeTheTransports(t *testing.T) {
	got := throughMaildir(t, settings.Transport{HeadersRemove: []string{"X-List"}, HeadersAdd: []string{"X-Two: 2"}},
		"A: 1\r\n\r\nbody\r\n", func(job *childJob) {
			job.Job.Edit = &envelope.Edit{Remove: []string{"a"}, Add: []string{"X-List: l", "X-One: {sender}"}}
		})
	if want := front + "X-One: {sender}\nX-Two: 2\n\nbody\n"; got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestFieldsAreAddedToEveryShapeOfHeader(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "X: 1\n",
		"\r\nbody\r\n":           "X: 1\n\nbody\n",
		"A: 1\r\n":               "A: 1\nX: 1\n",
		"A: 1":                   "A: 1\nX: 1\n",
		"A: 1\r\n\r\n":           "A: 1\nX: 1\n\n",
		"A: 1\r\n b\r\n\r\nc":    "A: 1\n b\nX: 1\n\nc",
		"A: 1\r\n\r\nB: 2\r\n\r": "A: 1\nX: 1\n\nB: 2\n\r",
	} {
		if got := throughMaildir(t, settings.Transport{HeadersAdd: []string{"X: 1"}}, text, nil); got != front+want {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// A sender's local part may hold anything, in quotes.
func TestNoValueEndsTheLineOfAnAddedField(t *testing.T) {
	sender, err := mailaddr.Parse(untrusted.From("\"a: b\\\\\"@far.example"))
	if err != nil {
		t.Fatal(err)
	}
	got := throughMaildir(t, settings.Transport{HeadersAdd: []string{"X: {sender}", "Y: a\r\nZ: b"}}, "A: 1\r\n\r\n",
		func(job *childJob) { job.Job.Sender = sender })
	_, got, _ = strings.Cut(got, "A: 1\n")
	if lines := strings.Split(got, "\n"); len(lines) != 4 || !strings.HasPrefix(lines[0], "X: ") || !strings.HasPrefix(lines[1], "Y: a") || strings.ContainsAny(got, "\t\r") {
		t.Errorf("%q", got)
	}
}

func TestAHeaderThatIsTooLongIsEditedWhereItWasRead(t *testing.T) {
	var b strings.Builder
	b.WriteString("X-Spam: yes\r\n")
	for i := 0; b.Len() < headerScan+(1<<10); i++ {
		fmt.Fprintf(&b, "A-%d: %s\r\n", i, strings.Repeat("x", 900))
	}
	got := throughMaildir(t, settings.Transport{HeadersRemove: []string{"x-spam"}, HeadersAdd: []string{"X: 1"}}, b.String()+"\r\nbody\r\n", nil)
	text := strings.ReplaceAll(strings.TrimPrefix(b.String(), "X-Spam: yes\r\n"), "\r\n", "\n")
	if got != front+"X: 1\n"+text+"\nbody\n" {
		t.Errorf("%.200q", got)
	}
}

func TestAFieldInWhichTheReadingEndedStaysWhole(t *testing.T) {
	long := "X-Spam: " + strings.Repeat("y", headerScan+chunk) + "\r\n"
	got := throughMaildir(t, settings.Transport{HeadersRemove: []string{"x-spam"}}, "A: 1\r\n"+long+"B: 2\r\n\r\n", nil)
	if got != front+"A: 1\n"+strings.ReplaceAll(long, "\r\n", "\n")+"B: 2\n\n" {
		t.Errorf("%.200q", got)
	}
}

func TestWithoutAnEditTheHeaderIsUntouched(t *testing.T) {
	text := "From nobody\r\njunk line\r\n  continued\r\nA : 1\r\n\r\n body\x00\xff\r\n"
	if got := throughMaildir(t, settings.Transport{}, text, nil); got != front+strings.ReplaceAll(text, "\r\n", "\n") {
		t.Errorf("%q", got)
	}
}

func TestABadTemplateOfAFieldDefers(t *testing.T) {
	for _, add := range []string{"X: {shell}", "no field"} {
		tr := settings.Transport{Driver: "maildir", Path: t.TempDir() + "/box", HeadersAdd: []string{add}}
		wantOutcome(t, deliverIn(t, testWorker(), testJob(tr, testMessage)), outcome.Deferred, outcome.Internal, "4.3.5")
	}
}

func withRules(rules ...settings.Rewrite) (settings.Transport, func(*childJob)) {
	var names []string
	for i := range rules {
		rules[i].Name = fmt.Sprint("rule", i)
		rules[i].Then = "continue"
		names = append(names, rules[i].Name)
	}
	encoded, err := json.Marshal(rules)
	if err != nil {
		panic(err)
	}
	return settings.Transport{Rewrites: names}, func(job *childJob) { job.Rules = encoded }
}

func TestATransportsRulesRewriteHeaderAndSender(t *testing.T) {
	tr, set := withRules(settings.Rewrite{Sources: []string{"all"}, Match: "*@*.far.example", To: "*@far.example"})
	tr.HeadersAdd = []string{"X-Sender: {sender}", "Reply-To: x@in.far.example"}
	got := throughMaildir(t, tr, "From: Ada (x) <ada@in.far.example>\r\nTo: bob@local.example\r\n\r\nada@in.far.example\r\n", func(job *childJob) {
		set(job)
		job.Job.Sender = mailaddr.MustParse("ada@in.far.example")
		job.Job.Edit = &envelope.Edit{Add: []string{"Sender: list@in.far.example"}}
	})
	want := front + "From: Ada (x) <ada@far.example>\nTo: bob@local.example\nSender: list@far.example\n" +
		"X-Sender: ada@far.example\nReply-To: x@in.far.example\n\nada@in.far.example\n"
	if got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestRulesThatCannotBeReadOrNeedALookupDefer(t *testing.T) {
	tr, set := withRules(settings.Rewrite{Sources: []string{"from"}, Match: "lookup:names", To: "x@y.example"})
	for _, spoil := range []func(*childJob){set, func(job *childJob) { job.Rules = []byte("{") }} {
		tr.Driver, tr.Path = "maildir", t.TempDir()+"/box"
		job := testJob(tr, testMessage)
		spoil(job)
		wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Deferred, outcome.Internal, "4.3.5")
	}
}

func TestTheParentHandsTheChildTheRulesOfTheTransport(t *testing.T) {
	s := testSettings(t)
	s.Rewrites = []settings.Rewrite{
		{Name: "other", Sources: []string{"from"}, Match: "*@far.example", To: "nobody@*", Then: "continue"},
		{Name: "mine", Sources: []string{"from"}, Match: "*@far.example", To: "*@near.example", Then: "continue"},
	}
	s.Transports["masked"] = settings.Transport{Driver: "maildir", Path: "{mail}/{user}", Rewrites: []string{"mine"}}
	srv := startServer(t, s)
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "masked", testMessage), nil))
	if got := onlyMessage(t, filepath.Join(s.Instance.Mail, "bob")); !strings.Contains(got, "From: Ada <ada@near.example>\n") {
		t.Errorf("%q", got)
	}
}

// FuzzEdit: whatever a message looks like, an edit that names none of its fields
// adds its own and changes no other octet, and the body stays where it is.
func FuzzEdit(f *testing.F) {
	for _, text := range []string{"", "\r\n", "A: 1\r\n\r\nbody", "A: 1", "junk\r\n\tA\r\n\r\n\r\n", "From x\r\nA : 1\r\n b\r\n\r\n", "a\nb\rc\r\n\r"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		job := testJob(settings.Transport{}, string(content)).Job
		plain, edited := newText(&job, nil), newText(&job, nil)
		if plain.begin() != nil || edited.begin() != nil {
			return
		}
		edited.edit(&envelope.Edit{Remove: []string{"x-none-of-these"}, Add: []string{"X-None-Of-These: 1"}})
		const field = "X-None-Of-These: 1\r\n"
		if bytes.Contains(bytes.ToLower(content), []byte("x-none-of-these")) {
			return
		}
		got := string(edited.header)
		if strings.Count(got, field) != 1 {
			t.Fatalf("%q", got)
		}
		before, after, _ := strings.Cut(got, field)
		if before != "" && !strings.HasSuffix(before, "\n") {
			t.Fatalf("the field does not begin a line: %q", got)
		}
		if before+after != string(plain.header) && strings.TrimSuffix(before, "\r\n")+after != string(plain.header) {
			t.Fatalf("%q became %q", plain.header, got)
		}
	})
}

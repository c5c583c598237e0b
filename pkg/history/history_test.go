package history

import (
	"bytes"
	"errors"

	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/queueid"
	"filbert/pkg/untrusted"
)

var at = time.Date(2026, 3, 1, 9, 30, 0, 7e6, time.UTC)

// written is what the log has of some events, a line each.
func written(t testing.TB, f event.Format, events ...event.Event) []string {
	t.Helper()
	var b bytes.Buffer
	l := event.New(&b, "cleanup", event.Options{Format: f, Direct: true, Now: func() time.Time { return at }})
	for _, e := range events {
		l.Emit(e)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func address(t testing.TB, s string) mailaddr.Address {
	t.Helper()
	a, err := mailaddr.Parse(untrusted.From(s))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func received(t testing.TB, msgid string) event.Received {
	return event.Received{
		Envelope: &envelope.Envelope{ID: 77 << 14, Source: envelope.FromLocal, Sender: address(t, "Ann@Example.org"),
			Recipients: make([]envelope.Recipient, 2), Size: 1234, Client: envelope.Client{Proto: "local", Login: "ann", UID: 1000}},
		MessageID: untrusted.From(msgid),
	}
}

func settledAs(t testing.TB, said string) event.Settled {
	e := event.SettledOf(77 << 14)
	e.To = address(t, "bob@far.test")
	e.Outcome = &outcome.Outcome{Class: outcome.Deferred, Code: 450, Remote: "mx.far.test", RemoteIP: "192.0.2.1", Text: untrusted.From(said)}
	e.Took, e.SinceRcv = 14930*time.Microsecond, 2*time.Second
	return e
}

// hostile are texts that would like to be something else in a line.
var hostile = []string{
	"plain", "two words", `say "hi"`, `back\slash`, `c:\dir "x" y`, "line\nend uid=0 by=cleanup", `" uid=0 by=cleanup`,
	`\" uid=0`, `\`, `\\`, `ends \`, "ünï", "\u202eevil", strings.Repeat("x", 1000), strings.Repeat("a b ", 300), "=", `"`,
}

func TestBothFormatsGiveTheSameEvent(t *testing.T) {
	for _, text := range hostile {
		events := []event.Event{received(t, text), settledAs(t, text), event.FinishedOf(77 << 14)}
		texts, jsons := written(t, event.Text, events...), written(t, event.JSON, events...)
		for i := range texts {
			a, err := Parse([]byte(texts[i]))
			if err != nil {
				t.Fatalf("%s: %v", texts[i], err)
			}
			b, err := Parse([]byte(jsons[i]))
			if err != nil {
				t.Fatalf("%s: %v", jsons[i], err)
			}
			// Only the log line is cut at 256 characters.
			if len(text) < 256 && !cmp.Equal(a, b) {
				t.Errorf("%s\n%s\n%s", texts[i], jsons[i], cmp.Diff(a, b))
			}
		}
	}
}

func TestNothingInAMessageIsTakenForTheKernelsWord(t *testing.T) {
	for _, f := range []event.Format{event.Text, event.JSON} {
		for _, text := range hostile {
			e, err := Parse([]byte(written(t, f, received(t, text))[0]))
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if e.Get("uid") != "1000" || e.By != "cleanup" || e.Get("login") != "ann" || e.Get("nrcpt") != "2" {
				t.Errorf("%s with %q: %+v", f, text, e)
			}
		}
	}
}

func TestValuesAreWhatWasWritten(t *testing.T) {
	e, err := Parse([]byte(written(t, event.Text, settledAs(t, `try "later" c:\x`))[0]))
	if err != nil {
		t.Fatal(err)
	}
	want := Event{At: at, ID: 77 << 14, Verb: "deferred", By: "cleanup", Fields: []Field{
		{"to", "<bob@far.test>"}, {"host", "mx.far.test"}, {"ip", "192.0.2.1"}, {"code", "450"},
		{"took", "14.9ms"}, {"age", "2000.0ms"}, {"said", `try "later" c:\x`}}}
	if d := cmp.Diff(want, e); d != "" {
		t.Error(d)
	}
}

func TestWhatIsNoLineIsRefused(t *testing.T) {
	good := written(t, event.Text, settledAs(t, "x y"))[0]
	bad := []string{
		"", " ", "x", "{", "{}", "[]", `{"t":1}`, good[:40], good[10:], good + " ", good + " x", good + " =", "panic: oh",
		strings.Replace(good, "deferred", "Deferred", 1), strings.Replace(good, "2026-03", "2026-13", 1), strings.Replace(good, "-01T", "-31T", 1)[:3],
		strings.Replace(good, "2026-03-01", "2026-02-30", 1),
		strings.Replace(good, " to=", " to", 1), strings.Replace(good, `said="`, `said=`, 1),
		good[:len(good)-len(" by=cleanup")], strings.Repeat("a", MaxLine+1),
		`{"t":"2026-03-01T09:30:00.007Z","by":"x","ev":"received","uid":1,"uid":2}`,
		`{"t":"2026-03-01T09:30:00.007Z","by":"x","ev":"received","a":{}}`,
		`{"t":"2026-03-01T09:30:00.007Z","by":"x","ev":"received"} {}`,
		`{"t":"2026-03-01T09:30:00.007Z","by":"x","by":"cleanup","ev":"received"}`,
		good + strings.Repeat(" k=v", 100),
	}
	for _, line := range bad {
		if e, err := Parse([]byte(line)); !errors.Is(err, ErrNotOurs) {
			t.Errorf("%.80q gave %+v, %v", line, e, err)
		}
	}
}

func TestCodecGivesBackWhatItTook(t *testing.T) {
	c := NewCodec()
	var want []Event
	var b []byte
	for _, line := range written(t, event.Text, received(t, "<1@x>"), settledAs(t, "try later"), event.FinishedOf(77<<14),
		event.NoteOf(77<<14, "odd-word", untrusted.From("x"))) {
		e, err := Parse([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, e)
		b = c.Append(b, &e)
	}
	got, err := c.Decode(b, 77<<14)
	if err != nil || len(got) < 3 {
		t.Fatal(got, err)
	}
	for i := range want {
		if len(want[i].Fields) == 0 {
			want[i].Fields = nil
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for n := range len(b) {
		if list, err := c.Decode(b[:n], 1); err == nil && len(list) >= len(got) {
			t.Errorf("%d of %d octets decode as a whole", n, len(b))
		}
	}
}

func TestAMessageIsFoundByEachOfItsNames(t *testing.T) {
	var events []Event
	for _, line := range written(t, event.Text, received(t, "<Mixed.Case@Host>"), settledAs(t, "later")) {
		e, err := Parse([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	for kind, text := range map[TermKind]string{
		BySender: "ann@EXAMPLE.org", ByRecipient: "<Bob@far.test>", ByDomain: "FAR.test.", ByHost: "MX.far.test",
		ByMessageID: "Mixed.Case@Host", ByUID: "1000", ByLogin: "ann",
	} {
		if !Matches(events, Normal(kind, text)) {
			t.Errorf("not found by %c %s", kind, text)
		}
	}
	for kind, text := range map[TermKind]string{
		BySender: "bob@far.test", ByRecipient: "ann@example.org", ByDomain: "example.org", ByUID: "100", ByHost: "far.test",
	} {
		if Matches(events, Normal(kind, text)) {
			t.Errorf("found by %c %s", kind, text)
		}
	}
}

func events(list ...Event) []Event { return list }

func TestAUserSeesOnlyHisOwn(t *testing.T) {
	his := Event{At: at, ID: 1, Verb: "received", By: "cleanup", Fields: []Field{{"from", "<a@b>"}, {"uid", "1000"}, {"client", "192.0.2.1"}}}
	bySMTP := Event{At: at, ID: 1, Verb: "received", By: "cleanup", Fields: []Field{{"from", "<a@b>"}, {"login", "ann"}}}
	forged := Event{At: at, ID: 1, Verb: "received", By: "smtpd", Fields: []Field{{"uid", "1000"}}}
	later := Event{At: at, ID: 1, Verb: "delivered", By: "dispatch", Fields: []Field{{"to", "<x@y>"}, {"uid", "1000"}}}
	if _, ok := ForSubmitter(events(his, later), 1000); !ok {
		t.Error("his own is not shown")
	}
	for name, list := range map[string][]Event{
		"another's": events(his), "by SMTP": events(bySMTP), "forged": events(forged), "without a beginning": events(later), "both": events(his, bySMTP), "none": nil,
	} {
		uid := uint32(1000)
		if name == "another's" {
			uid = 100
		}
		if seen, ok := ForSubmitter(list, uid); ok {
			t.Errorf("%s: he sees %+v", name, seen)
		}
	}
}

func TestWhereAnAliasLedIsNotToldToTheSender(t *testing.T) {
	his := Event{At: at, ID: 1, Verb: "received", By: "cleanup", Fields: []Field{{"from", "<a@b>"}, {"uid", "1000"}, {"port", "x"}}}
	list := events(his,
		Event{Verb: "failed", By: "dispatch", Fields: []Field{{"to", "<secret@elsewhere>"}, {"orig", "<list@here>"}, {"host", "mx.elsewhere"},
			{"ip", "192.0.2.9"}, {"via", "smtp"}, {"code", "550"}, {"status", "5.1.1"}, {"said", "no secret@elsewhere"}}},
		Event{Verb: "delivered", By: "dispatch", Fields: []Field{{"to", "<bob@here>"}, {"target", "|/home/bob/secret"}, {"said", "secret"}}},
		Event{Verb: "rewritten", By: "cleanup", Fields: []Field{{"new", "<secret@x>"}}},
		Event{Verb: "trouble", By: "dispatch", Fields: []Field{{"err", "secret"}}},
		Event{Verb: "held", By: "qmgr", Fields: []Field{{"who", "secret admin"}, {"reason", "policy"}}},
		Event{Verb: "reported", By: "bounce", Fields: []Field{{"what", "failure"}, {"to", "<secret@owner>"}, {"report", "SECRET"}}},
		Event{Verb: "expanded", By: "dispatch", Fields: []Field{{"to", "<list@here>"}, {"said", "secret"}}},
	)
	seen, ok := ForSubmitter(list, 1000)
	if !ok || len(seen) != 6 {
		t.Fatalf("he sees %d: %+v", len(seen), seen)
	}
	for _, e := range seen {
		for _, f := range e.Fields {
			if strings.Contains(strings.ToLower(f.Value), "secret") || f.Key == "host" || f.Key == "ip" {
				t.Errorf("he sees %s %s=%s", e.Verb, f.Key, f.Value)
			}
		}
	}
	if seen[1].Get("to") != "<list@here>" || seen[1].Get("status") != "5.1.1" {
		t.Errorf("of his own address he sees %+v", seen[1])
	}
}

func FuzzParse(f *testing.F) {
	f.Add(written(f, event.Text, received(f, "<1@x>"))[0])
	f.Add(written(f, event.JSON, settledAs(f, `a "b" c`))[0])
	f.Add(`2026-03-01T09:30:00.000Z - state now="a\"b" by=master`)
	c := NewCodec()
	f.Fuzz(func(t *testing.T, line string) {
		e, err := Parse([]byte(line))
		if err != nil {
			return
		}
		again, err := c.Decode(c.Append(nil, &e), e.ID)
		if err != nil || len(again) != 1 || len(again[0].Fields) != len(e.Fields) {
			t.Fatalf("%q: %+v came back as %+v (%v)", line, e, again, err)
		}
		Terms(nil, &e)
		ForSubmitter(again, 0)
	})
}

func FuzzDecode(f *testing.F) {
	c := NewCodec()
	e := Event{At: at, Verb: "received", By: "cleanup", Fields: []Field{{"from", "<>"}, {"odd", "x"}}}
	f.Add(c.Append(nil, &e))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = c.Decode(b, queueid.ID(1)) })
}

func BenchmarkParse(b *testing.B) {
	line := []byte(written(b, event.Text, settledAs(b, "250 2.0.0 Ok: queued as 12345"))[0])
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(line); err != nil {
			b.Fatal(err)
		}
	}
}

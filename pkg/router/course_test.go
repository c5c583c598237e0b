package router_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// What is filed with a recipient comes back at the next attempt: the director adds its
// fields then as it did before.
func TestADirectorThatSendsOnAddsItsFieldsOnce(t *testing.T) {
	l := newLab(t, "example.org. IN MX 10 mx.example.org.\nmx.example.org. IN A 192.0.2.7\n", nil)
	l.set.Directors = []settings.Director{{Name: "old", Driver: "route", Course: settings.Course{HeadersAdd: []string{"X-By: old"}}}}
	l.start()
	m := to("bob@example.org")
	for attempt := range 3 {
		leaf := l.ask(m).Leaves[0]
		if diff := cmp.Diff(&envelope.Edit{Add: []string{"X-By: old"}}, leaf.Edit); diff != "" {
			t.Errorf("attempt %d: %s", attempt, diff)
		}
		m.Recipients[0] = leaf.Recipient
	}
}

// missing is a director whose file can't be read.
func missing(c settings.Course) settings.Director {
	return settings.Director{Name: "missing", Driver: "aliasfile", File: "/nonexistent/aliases", Course: c}
}

func TestOnDeferSaysWhatFollowsWhenADirectorCannotTell(t *testing.T) {
	for on, want := range map[string]string{
		"":        "alice@example.org deferred 4.3.5 internal",
		"defer":   "alice@example.org deferred 4.3.5 internal",
		"decline": "alice@example.org maildir alice",
		"fail":    "alice@example.org failed 5.3.5 internal",
	} {
		newLab(t, "", nil).with(missing(settings.Course{OnDefer: on})).start().expect([][2]string{{"alice@example.org", want}})
	}
}

// A lookup that is away never makes an unknown user, also where others may go on
// without it.
func TestWhoWasPassedOverLeavesADoubt(t *testing.T) {
	l := newLab(t, "", nil).with(missing(settings.Course{OnDefer: "decline"})).start()
	l.expect([][2]string{
		{"stranger@example.org", "stranger@example.org deferred 4.3.5 internal"},
		{"alice@example.org", "alice@example.org maildir alice"},
	})
}

func TestARouterThatWasPassedOverLeavesADoubt(t *testing.T) {
	l := newLab(t, "", nil)
	l.tables = fakeTables{"routes": {}}
	table := settings.Router{Name: "table", Driver: "table", Lookup: "broken", Transport: "smtp", Course: settings.Course{OnDefer: "decline"}}
	rest := settings.Router{Name: "rest", Driver: "smarthost", Hosts: []string{"[192.0.2.1]"}, Transport: "smtp",
		Conditions: settings.Conditions{Domains: []string{"a.example"}}}
	l.set.Routers = []settings.Router{table, rest}
	l.start().expect([][2]string{
		{"x@b.example", "x@b.example deferred 4.3.5 internal"},
		{"x@a.example", "x@a.example smtp via [192.0.2.1]: [192.0.2.1]/192.0.2.1:25"},
	})
}

func TestWithoutMoreADeclineIsTheEnd(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "info: alice\n"})
	l.with(settings.Director{Driver: "aliasfile", File: l.dir + "/aliases", Course: settings.Course{More: flag(false)},
		Conditions: settings.Conditions{Domains: []string{"example.org"}}}).start().expect([][2]string{
		{"info@example.org", "alice@example.org failed 5.1.1 unknown-user"},
		{"bob@example.org", "bob@example.org failed 5.1.1 unknown-user"},
		{"bob@sub.example.org", "bob@sub.example.org maildir bob"}, // the conditions do not hold
	})
}

func TestPassNamesWhoIsAskedNext(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "info: alice\n"})
	catch := accepting(settings.Conditions{})
	l.with(
		settings.Director{Driver: "aliasfile", File: l.dir + "/aliases", Course: settings.Course{Pass: "users"}, Conditions: settings.Conditions{Domains: []string{"example.org"}}},
		catch,
	).start().expect([][2]string{
		{"bob@example.org", "bob@example.org maildir bob"},
		{"info@example.org", "alice@example.org maildir alice"},
		{"nobody@example.org", "nobody@example.org failed 5.1.1 unknown-user"},
		{"bob@sub.example.org", "bob@sub.example.org discard"}, // it was not asked, so it did not pass
	})
}

func TestPassIsFollowedWhenADirectorIsPassedOver(t *testing.T) {
	newLab(t, "", nil).with(missing(settings.Course{OnDefer: "decline", Pass: "users"}), accepting(settings.Conditions{})).start().expect([][2]string{
		{"bob@example.org", "bob@example.org maildir bob"},
	})
}

func TestVerifyKeepsEntriesOutOfVerification(t *testing.T) {
	d := accepting(settings.Conditions{})
	d.Verify = flag(false)
	l := newLab(t, "", nil).with(d).start()
	m := to("nobody@example.org")
	if got := shows(l.ask(m)); got != "nobody@example.org discard" {
		t.Errorf("to deliver: got %s", got)
	}
	m.Verify = proto.VerifyRoute
	if got := shows(l.ask(m)); got != "nobody@example.org failed 5.1.1 unknown-user" {
		t.Errorf("to verify: got %s", got)
	}
}

func TestVerifyOnlyKeepsEntriesOutOfDelivery(t *testing.T) {
	d := accepting(settings.Conditions{})
	d.VerifyOnly = true
	l := newLab(t, "", nil).with(d).start()
	m := to("alice@example.org")
	if got := shows(l.ask(m)); got != "alice@example.org maildir alice" {
		t.Errorf("to deliver: got %s", got)
	}
	m.Verify = proto.VerifyRoute
	if got := shows(l.ask(m)); got != "alice@example.org discard" {
		t.Errorf("to verify: got %s", got)
	}
}

func TestErrorsToIsTheReturnAddress(t *testing.T) {
	d := accepting(settings.Conditions{})
	d.ErrorsTo = "keeper"
	l := newLab(t, "", nil).with(d).start()
	m := to("alice@example.org")
	if got := shows(l.ask(m)); got != "alice@example.org discard errors keeper@mail.example.org" {
		t.Errorf("got %s", got)
	}
	m.Sender = mailaddr.Address{}
	if got := shows(l.ask(m)); got != "alice@example.org discard" {
		t.Errorf("of a report: got %s", got)
	}
}

func TestWithoutRetryAFailureForTheMomentIsFinal(t *testing.T) {
	d := accepting(settings.Conditions{LocalParts: []string{"once"}})
	d.Retry = flag(false)
	l := newLab(t, "", map[string]string{"aliases": "p: |/bin/x\n"}).with(d)
	l.set.Directors = append(l.set.Directors, settings.Director{Name: "a", Driver: "aliasfile", File: l.dir + "/aliases", AllowPipes: true,
		PipeTransport: "pipe", FileTransport: "file", Course: settings.Course{Retry: flag(false)}})
	l.start()
	for addr, want := range map[string]bool{"once@example.org": true, "alice@example.org": false, "p@example.org": true} {
		if got := l.ask(to(addr)).Leaves[0].Once; got != want {
			t.Errorf("%s: once is %v", addr, got)
		}
	}
}

func TestHeadersAreEditedOnceOnTheWholeWay(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "team: alice, |/bin/x\n"})
	course := settings.Course{HeadersAdd: []string{"X-For: {local_part} at {domain} from {sender}"}, HeadersRemove: []string{"X-Spam"}}
	taker := accepting(settings.Conditions{LocalParts: []string{"alice"}})
	taker.HeadersAdd = []string{"X-By: {recipient}"}
	l.with(settings.Director{Driver: "aliasfile", File: l.dir + "/aliases", AllowPipes: true, Course: course}, taker).start()
	a := l.ask(to("team@example.org"))
	first := "X-For: team at example.org from sender@elsewhere.example"
	for i, want := range []*envelope.Edit{
		{Remove: []string{"x-spam"}, Add: []string{first, "X-By: alice@example.org"}},
		{Remove: []string{"x-spam"}, Add: []string{first}},
	} {
		if diff := cmp.Diff(want, a.Leaves[i].Edit); diff != "" {
			t.Errorf("%s: %s", show(a.Leaves[i]), diff)
		}
		again := l.ask(&proto.RouteQuery{Recipients: []envelope.Recipient{a.Leaves[i].Recipient}})
		if diff := cmp.Diff(want, again.Leaves[0].Edit); diff != "" {
			t.Errorf("%s, tried again: %s", show(a.Leaves[i]), diff)
		}
	}
}

func TestAnAddressCannotMakeALineOfAHeader(t *testing.T) {
	d := accepting(settings.Conditions{})
	d.HeadersAdd = []string{"X-For: {recipient}" + strings.Repeat(" {recipient}", 40)}
	l := newLab(t, "", nil).with(d).start()
	a := l.ask(to(`"` + strings.Repeat(`x: y `, 12) + `"@example.org`))
	field := a.Leaves[0].Edit.Add[0]
	if len(field) > 998 || strings.ContainsAny(field, "\r\n") {
		t.Errorf("a field of %d octets: %q", len(field), field)
	}
}

func TestTheExplanationSaysWhyEachEntryWasPassedBy(t *testing.T) {
	l := newLab(t, "", nil)
	l.tables = fakeTables{"people": {"alice": "bob"}}
	skipped := accepting(settings.Conditions{Domains: []string{"other.example"}})
	l.with(skipped,
		settings.Director{Name: "silent", Driver: "accept", Transport: "discard", Course: settings.Course{VerifyOnly: true}},
		missing(settings.Course{OnDefer: "decline"}),
		settings.Director{Name: "aliases", Driver: "aliasfile", Lookup: "people"}).start()
	m := to("alice@example.org")
	m.Explain = true
	var got []string
	for _, s := range l.ask(m).Trace {
		if s.Kind == "director" {
			got = append(got, s.Name+" "+s.Did+" "+s.Why)
		}
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{
		"probe skipped domains does not match", "silent skipped for verification alone", "missing declined it can't tell, and is passed over (on_defer)",
		"aliases redirected alice stands for bob (db of people)", "users took an account of the system",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s\n%s", want, text)
		}
	}
}

package router_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// users is the director behind the one that is tested.
var users = settings.Director{Name: "users", Driver: "user", Users: "system", Transport: "maildir", Separator: "+"}

// with puts a director in front of the users of the system.
func (l *lab) with(d ...settings.Director) *lab {
	for i := range d {
		if d[i].Name == "" {
			d[i].Name = d[i].Driver
		}
		if d[i].PipeTransport == "" {
			d[i].PipeTransport, d[i].FileTransport = "pipe", "file"
		}
	}
	l.set.Directors = append(d, users)
	return l
}

// verdict is the text of the only leaf of an address.
func (l *lab) verdict(addr string) string {
	l.t.Helper()
	a := l.ask(to(addr))
	if len(a.Leaves) != 1 {
		l.t.Fatalf("%s: %s", addr, shows(a))
	}
	return a.Leaves[0].Verdict.Text.ForTerminal()
}

func TestAliasesComeFromALookup(t *testing.T) {
	l := newLab(t, "", nil)
	l.tables = fakeTables{"people": {
		"team": "alice, bob|||carol", "team@sub.example.org": "carol", "gone": ":fail: moved away, sorry", "mad": "a b",
		"run": `"|/bin/cat -n"`, "empty": " ", "list": "alice", "owner-list": "bob",
	}}
	l.with(settings.Director{Driver: "aliasfile", Lookup: "people", Separator: "+"}).start().expect([][2]string{
		{"Team@example.org", "alice@example.org maildir alice; bob@example.org maildir bob; carol@example.org maildir carol"},
		{"team@sub.example.org", "carol@sub.example.org maildir carol"},
		{"team+x@example.org", "alice@example.org maildir alice; bob@example.org maildir bob; carol@example.org maildir carol"},
		{"gone@example.org", "gone@example.org failed 5.7.1 policy"},
		{"mad@example.org", "mad@example.org deferred 4.3.5 internal"},
		{"run@example.org", "run@example.org deferred 4.3.5 policy"},
		{"empty@example.org", "empty@example.org deferred 4.2.4 policy"},
		{"list@example.org", "alice@example.org maildir alice errors owner-list@example.org"},
		{"alice@example.org", "alice@example.org maildir alice"},
	})
	if !strings.Contains(l.warnings(), "reading mad of lookup people") {
		t.Errorf("the administrator was told %q", l.warnings())
	}
	if got := l.verdict("gone@example.org"); got != "moved away, sorry" {
		t.Errorf("got %q", got)
	}
}

func TestALookupThatDoesNotAnswerDefers(t *testing.T) {
	for _, d := range []settings.Director{
		{Driver: "aliasfile", Lookup: "broken"}, {Driver: "virtual", Lookup: "broken"}, {Driver: "list", Lookup: "broken"},
		{Driver: "relocated", Lookup: "broken"}, {Driver: "forwardfile", Lookup: "broken"},
		{Driver: "user", Users: "lookup", Lookup: "broken", Transport: "maildir"},
	} {
		t.Run(d.Driver, func(t *testing.T) {
			l := newLab(t, "", nil)
			l.tables, l.agents = fakeTables{}, &fakeAgents{}
			l.with(d).start().expect([][2]string{{"alice@example.org", "alice@example.org deferred 4.3.5 internal"}})
			d.OnDefer = "decline"
			l = newLab(t, "", nil)
			l.tables, l.agents = fakeTables{}, &fakeAgents{}
			l.with(d).start().expect([][2]string{{"alice@example.org", "alice@example.org maildir alice"}})
			d.OnDefer = "fail"
			l = newLab(t, "", nil)
			l.tables, l.agents = fakeTables{}, &fakeAgents{}
			l.with(d).start().expect([][2]string{{"alice@example.org", "alice@example.org failed 5.3.5 internal"}})
		})
	}
}

func TestAClassOfUsersGoesToOneScript(t *testing.T) {
	l := newLab(t, "", nil)
	l.tables = fakeTables{"cancelled": {"bob": " ", "carol@example.org": "x"}}
	l.with(settings.Director{Driver: "aliasfile", Lookup: "cancelled", Transport: "script", User: "alice", Group: "mail", Separator: "+"}).start()
	a := l.ask(to("bob+x@example.org"))
	if diff := cmp.Diff(&proto.User{Name: "alice", Group: "mail", UID: 1000, GID: 100, Home: "/home/alice"}, a.Leaves[0].User); diff != "" {
		t.Error(diff)
	}
	l.expect([][2]string{
		{"bob+x@example.org", "bob+x@example.org script alice detail x"},
		{"carol@example.org", "carol@example.org script alice"},
		{"carol@sub.example.org", "carol@sub.example.org maildir carol"},
	})
}

func TestUsersOfALookup(t *testing.T) {
	l := newLab(t, "", nil)
	l.tables = fakeTables{"people": {
		"ann@example.org": "ann:/srv/ann", "ben": "ben", "@sub.example.org": "box", "two": "a|||b", "mad": "../x", "none": " ",
	}}
	l.with(settings.Director{Driver: "user", Users: "lookup", Lookup: "people", Transport: "maildir", Separator: "+", Group: "mail"}).start()
	l.expect([][2]string{
		{"ann@example.org", "ann@example.org maildir ann"},
		{"Ann+x@example.org", "Ann+x@example.org maildir ann detail x"},
		{"ben@example.org", "ben@example.org maildir ben"},
		{"any+x@sub.example.org", "any+x@sub.example.org maildir box"},
		{"two@example.org", "two@example.org deferred 4.3.5 internal"},
		{"mad@example.org", "mad@example.org deferred 4.3.5 internal"},
		{"none@example.org", "none@example.org deferred 4.3.5 internal"},
		{"alice@example.org", "alice@example.org maildir alice"},
	})
	if u := l.ask(to("ann@example.org")).Leaves[0].User; u.Home != "/srv/ann" || u.Group != "mail" {
		t.Errorf("got %+v", u)
	}
	if u := l.ask(to("ben@example.org")).Leaves[0].User; u.Home != "/mail/ben" {
		t.Errorf("got %+v", u)
	}
}

const virtualText = `info@sub.example.org: alice, bob@sub.example.org, x@remote.example
sales+west@sub.example.org: carol
sales@sub.example.org: bob
@sub.example.org: carol
@two.example.org: @sub.example.org
boss@three.example.org: boss@three.example.org
run@sub.example.org: |/bin/cat
bad@sub.example.org: :fail: not here
`

func TestVirtualDomains(t *testing.T) {
	l := newLab(t, "remote.example. A 192.0.2.1\n", map[string]string{"virtual": virtualText})
	l.with(settings.Director{Driver: "virtual", File: l.dir + "/virtual", Separator: "+"}).start().expect([][2]string{
		{"info@sub.example.org", "alice@mail.example.org maildir alice; carol@mail.example.org maildir carol; " +
			"x@remote.example smtp via remote.example: remote.example/192.0.2.1:25"},
		{"sales+west@sub.example.org", "carol@mail.example.org maildir carol"},
		{"sales+east@sub.example.org", "bob@mail.example.org maildir bob"},
		{"anybody@sub.example.org", "carol@mail.example.org maildir carol"},
		{"SALES@two.example.org", "bob@mail.example.org maildir bob"},
		{"boss@three.example.org", "boss@three.example.org failed 5.4.6 loop"},
		{"run@sub.example.org", "run@sub.example.org deferred 4.3.5 policy"},
		{"bad@sub.example.org", "bad@sub.example.org failed 5.7.1 policy"},
		{"alice@example.org", "alice@example.org maildir alice"},
		{"info@example.org", "info@example.org failed 5.1.1 unknown-user"},
	})
}

func TestVirtualDomainsComeFromALookup(t *testing.T) {
	l := newLab(t, "", nil)
	l.tables = fakeTables{"domains": {"info@sub.example.org": "alice", "@sub.example.org": "@two.example.org", "alice": "bob"}}
	l.with(settings.Director{Driver: "virtual", Lookup: "domains"}).start().expect([][2]string{
		{"info@sub.example.org", "alice@mail.example.org maildir alice"},
		{"carol@sub.example.org", "carol@two.example.org maildir carol"},
		{"alice@example.org", "alice@example.org maildir alice"},
	})
}

func TestAcceptTakesEveryone(t *testing.T) {
	l := newLab(t, "", nil).with(
		settings.Director{Driver: "accept", Name: "all", Transport: "discard", Separator: "+", Conditions: settings.Conditions{Domains: []string{"sub.example.org"}}},
		settings.Director{Driver: "accept", Name: "bobs", Transport: "pipe", User: "bob", Group: "mail", Conditions: settings.Conditions{LocalParts: []string{"x-*"}}})
	l.start().expect([][2]string{
		{"any+x@sub.example.org", "any+x@sub.example.org discard detail x"},
		{"x-y@example.org", "x-y@example.org pipe bob"},
		{"alice@example.org", "alice@example.org maildir alice"},
	})
	if u := l.ask(to("x-1@example.org")).Leaves[0].User; u.Group != "mail" || u.UID != 1001 {
		t.Errorf("got %+v", u)
	}
}

func TestRelocatedPeopleAreRefusedWithTheirNewAddress(t *testing.T) {
	l := newLab(t, "", map[string]string{"moved": "bob  bob@new.example\ncarol@sub.example.org  ask at the desk\ndave\n"})
	l.with(settings.Director{Driver: "relocated", File: l.dir + "/moved", Separator: "+"}).start().expect([][2]string{
		{"bob+x@example.org", "bob+x@example.org failed 5.1.6 unknown-user"},
		{"carol@sub.example.org", "carol@sub.example.org failed 5.1.6 unknown-user"},
		{"carol@example.org", "carol@example.org maildir carol"},
		{"alice@example.org", "alice@example.org maildir alice"},
	})
	for addr, want := range map[string]string{
		"BOB@example.org":       "BOB@example.org has moved; the new address is bob@new.example",
		"carol@sub.example.org": "carol@sub.example.org has moved: ask at the desk",
		"dave@example.org":      "dave@example.org has moved",
	} {
		if got := l.verdict(addr); got != want {
			t.Errorf("got %q", got)
		}
	}
}

func TestAProgramDirects(t *testing.T) {
	answers := map[string]string{
		"accept": "accept\nmore\n", "decline": "DECLINE", "fail": "fail no such person, try bob", "fail0": "fail", "defer": "defer tomorrow\r\n",
		"two": "redirect alice, x@remote.example", "self": "redirect self, alice", "selfonly": "redirect selfonly",
		"pipe": "redirect |/bin/sh", "file": "redirect /etc/passwd", "none": "redirect", "odd": "maybe", "empty": "", "trouble": "!it ended with status 3",
		"acceptx": "accept all", "many": "redirect " + strings.Repeat("a@remote.example, ", 60) + "b@remote.example",
	}
	l := newLab(t, "remote.example. A 192.0.2.1\n", nil)
	l.set.Limits.Expansion = 50
	l.agents = &fakeAgents{program: func(q *proto.ConsultQuery) (string, error) {
		if q.LocalPart == "away" {
			return "", errors.New("no connection")
		}
		if text, ok := answers[q.LocalPart]; ok {
			return text, nil
		}
		return "decline", nil
	}}
	l.with(settings.Director{Driver: "command", Command: []string{"/bin/ask"}, Transport: "pipe", User: "bob", Separator: "+"}).start().expect([][2]string{
		{"accept+d@example.org", "accept+d@example.org pipe bob detail d"},
		{"decline@example.org", "decline@example.org failed 5.1.1 unknown-user"},
		{"alice@example.org", "alice@example.org maildir alice"},
		{"fail@example.org", "fail@example.org failed 5.7.1 policy"},
		{"defer@example.org", "defer@example.org deferred 4.7.1 policy"},
		{"two@example.org", "alice@example.org maildir alice; x@remote.example smtp via remote.example: remote.example/192.0.2.1:25"},
		{"self@example.org", "self@example.org failed 5.4.6 loop; alice@example.org maildir alice"},
		{"selfonly@example.org", "selfonly@example.org failed 5.4.6 loop"},
		{"pipe@example.org", "pipe@example.org deferred 4.3.5 internal"},
		{"file@example.org", "file@example.org deferred 4.3.5 internal"},
		{"none@example.org", "none@example.org deferred 4.3.5 internal"},
		{"odd@example.org", "odd@example.org deferred 4.3.5 internal"},
		{"empty@example.org", "empty@example.org deferred 4.3.5 internal"},
		{"trouble@example.org", "trouble@example.org deferred 4.3.5 internal"},
		{"away@example.org", "away@example.org deferred 4.3.5 internal"},
		{"acceptx@example.org", "acceptx@example.org deferred 4.3.5 internal"},
		{"many@example.org", "many@example.org deferred 4.3.5 internal"},
	})
	for addr, want := range map[string]string{
		"fail@example.org": "no such person, try bob", "fail0@example.org": "mail for fail0@example.org is not taken",
		"defer@example.org": "tomorrow", "trouble@example.org": "director command: it ended with status 3",
	} {
		if got := l.verdict(addr); got != want {
			t.Errorf("%s: got %q", addr, got)
		}
	}
}

func TestAProgramIsToldWhomItIsAboutAndAskedOnce(t *testing.T) {
	l := newLab(t, "", nil)
	l.agents = &fakeAgents{program: func(*proto.ConsultQuery) (string, error) { return "decline", nil }}
	l.with(settings.Director{Driver: "command", Command: []string{"/bin/ask"}, Transport: "pipe", Separator: "+"}).start()
	l.ask(to("alice+x@example.org", "alice+x@example.org"))
	want := []string{"command alice example.org x sender@elsewhere.example alice+x@example.org"}
	if diff := cmp.Diff(want, l.agents.asked); diff != "" {
		t.Error(diff)
	}
}

func TestForwardFiles(t *testing.T) {
	l := newLab(t, "remote.example. A 192.0.2.1\n", nil)
	l.agents = &fakeAgents{
		forward: map[string]string{
			"alice":   "# mine\n\\alice, a@remote.example\n\"|/bin/cat -n\"\n/home/alice/box\n",
			"bob":     "carol\n",
			"carol":   "# nothing\n\n",
			"dave":    "!the home directory /home/dave is not there",
			"dave+x":  "dave+x",
			"root":    "bob",
			"alice+x": "alice",
		},
	}
	l.with(settings.Director{Driver: "forwardfile", Separator: "+", AllowPipes: true, AllowFiles: true}).start().expect([][2]string{
		{"alice@example.org", "alice@example.org maildir alice; a@remote.example smtp via remote.example: remote.example/192.0.2.1:25; " +
			"|/bin/cat -n pipe as alice; /home/alice/box file as alice"},
		{"alice+x@example.org", "alice@example.org maildir alice"},
		{"bob@example.org", "carol@example.org maildir carol"},
		{"carol@example.org", "carol@example.org maildir carol"},
		{"dave@example.org", "dave@example.org deferred 4.3.5 internal"},
		{"dave+x@example.org", "dave+x@example.org maildir dave+x"},
		{"nobody@example.org", "nobody@example.org failed 5.1.1 unknown-user"},
	})
	if got := l.verdict("dave@example.org"); !strings.Contains(got, "/home/dave is not there") {
		t.Errorf("got %q", got)
	}
	for _, asked := range l.agents.asked {
		if strings.HasPrefix(asked, "root") {
			t.Error("root's forward file was asked for")
		}
	}
}

func TestWhatAForwardFileMayNot(t *testing.T) {
	l := newLab(t, "", nil)
	l.agents = &fakeAgents{forward: map[string]string{
		"alice": "|/bin/sh", "bob": "/home/bob/box", "carol": ":include:list", "dave": "bob\na b\n", "dave+x": ":fail: go away"}}
	l.with(settings.Director{Driver: "forwardfile", Separator: ""}).start()
	for addr, want := range map[string]string{
		"alice@example.org":  "does not allow commands (allow_pipes)",
		"bob@example.org":    "does not allow files (allow_files)",
		"carol@example.org":  "does not allow :include: (allow_includes)",
		"dave@example.org":   "/home/dave/.forward:2: no comma behind",
		"dave+x@example.org": "cannot stand in a forward file",
	} {
		a := l.ask(to(addr))
		if len(a.Leaves) != 1 || !a.Leaves[0].Verdict.Temporary() || !strings.Contains(l.verdict(addr), want) {
			t.Errorf("%s: %s: %s", addr, shows(a), a.Leaves[0].Verdict.Text.ForTerminal())
		}
	}
	if strings.Count(l.warnings(), "reading the forward file of dave:") != 1 {
		t.Errorf("the administrator was told %q", l.warnings())
	}
}

func TestForwardFilesInclude(t *testing.T) {
	l := newLab(t, "", nil)
	l.agents = &fakeAgents{
		forward:  map[string]string{"alice": ":include:friends\n\\alice\n", "bob": ":include:absent"},
		includes: map[string]string{"/home/alice/friends": "bob, :include:more\n", "/home/alice/more": "carol\n"},
	}
	l.with(settings.Director{Driver: "forwardfile", AllowIncludes: true}).start().expect([][2]string{
		{"alice@example.org", "bob@example.org deferred 4.3.5 internal; carol@example.org maildir carol; alice@example.org maildir alice"},
	})
}

// Without a bound these would be a hundred million files, with nobody in them.
func TestListsThatIncludeListsManyTimesOverHoldUpTheirOwnerAlone(t *testing.T) {
	l := newLab(t, "", nil)
	l.agents = &fakeAgents{
		forward:  map[string]string{"alice": strings.Repeat(":include:b\n", 10_000)},
		includes: map[string]string{"/home/alice/b": strings.Repeat(":include:c\n", 10_000), "/home/alice/c": ""},
	}
	l.with(settings.Director{Driver: "forwardfile", AllowIncludes: true}).start()
	if got := l.verdict("alice@example.org"); !strings.Contains(got, "more than 1000 times :include:") {
		t.Error(got)
	}
}

func TestAForwardFileHasItsTurnAfterAnAliasAndOnce(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "bob: bob, carol\nquiet: \\bob\n"})
	l.agents = &fakeAgents{forward: map[string]string{"bob": "\\bob, alice", "carol": "dave", "dave": "carol"}}
	l.with(settings.Director{Driver: "aliasfile", File: l.dir + "/aliases"}, settings.Director{Driver: "forwardfile"}).start()
	l.expect([][2]string{
		{"bob@example.org", "bob@example.org maildir bob; alice@example.org maildir alice; carol@example.org maildir carol"},
		{"quiet@example.org", "bob@example.org maildir bob"},
		{"carol@example.org", "carol@example.org maildir carol"},
	})
	for _, leaf := range l.ask(to("bob@example.org")).Leaves {
		again := l.ask(&proto.RouteQuery{Recipients: []envelope.Recipient{leaf.Recipient}})
		if len(again.Leaves) != 1 || again.Leaves[0].Transport != "maildir" {
			t.Errorf("%s, tried again: %s", leaf.Recipient.Address, shows(again))
		}
	}
}

func TestTargetsOfAForwardFileAreTriedAgainAsTheirUser(t *testing.T) {
	l := newLab(t, "", nil)
	l.agents = &fakeAgents{forward: map[string]string{"alice": "|/bin/cat"}}
	l.with(settings.Director{Driver: "forwardfile", Separator: "+", AllowPipes: true}).start()
	first := l.ask(to("alice+x@example.org")).Leaves[0].Recipient
	if got := shows(l.ask(&proto.RouteQuery{Recipients: []envelope.Recipient{first}})); got != "|/bin/cat pipe as alice" {
		t.Errorf("got %s", got)
	}
	first.User = "bob"
	if got := shows(l.ask(&proto.RouteQuery{Recipients: []envelope.Recipient{first}})); !strings.Contains(got, "deferred") {
		t.Errorf("as somebody else: got %s", got)
	}
	first.User = ""
	if got := shows(l.ask(&proto.RouteQuery{Recipients: []envelope.Recipient{first}})); !strings.Contains(got, "deferred") {
		t.Errorf("as nobody: got %s", got)
	}
}

// Else a user's command could have itself tried again as those of the administrator
// are run.
func TestTargetsOfAForwardFileAreTriedAgainByItsTransport(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "staff: \"|/bin/cat -n\"\n"})
	l.agents = &fakeAgents{forward: map[string]string{"alice": "|/bin/cat", "carol": "alice+x"}}
	l.set.Transports["people"] = l.set.Transports["pipe"]
	l.with(
		settings.Director{Driver: "aliasfile", File: l.dir + "/aliases", AllowPipes: true, User: "bob"},
		settings.Director{Driver: "forwardfile", Separator: "+", AllowPipes: true, PipeTransport: "people", FileTransport: "file"},
	).start()
	for addr, want := range map[string]string{
		"alice@example.org":   "|/bin/cat people as alice",
		"alice+x@example.org": "|/bin/cat people as alice",
		"carol@example.org":   "|/bin/cat people as alice",
		"staff@example.org":   "|/bin/cat -n pipe as bob",
	} {
		a := l.ask(to(addr))
		again := l.ask(&proto.RouteQuery{Recipients: []envelope.Recipient{a.Leaves[0].Recipient}})
		if shows(a) != want || shows(again) != want {
			t.Errorf("%s: %s, then %s; want %s", addr, shows(a), shows(again), want)
		}
	}
}

func TestForwardFilesOfUsersOfALookup(t *testing.T) {
	l := newLab(t, "", nil)
	l.tables = fakeTables{"people": {"ann@example.org": "ann:/srv/ann"}}
	l.agents = &fakeAgents{forward: map[string]string{"ann": "bob"}}
	l.with(settings.Director{Driver: "forwardfile", Lookup: "people", Separator: "+"}).start().expect([][2]string{
		{"ann+y@example.org", "bob@example.org maildir bob"},
		{"ann@sub.example.org", "ann@sub.example.org failed 5.1.1 unknown-user"},
	})
	if diff := cmp.Diff([]string{"ann+y at /srv/ann"}, l.agents.asked); diff != "" {
		t.Error(diff)
	}
}

func TestAListHasItsMembersAndItsOwner(t *testing.T) {
	l := newLab(t, "remote.example. A 192.0.2.1\n", map[string]string{"staff": "alice\nbob@example.org, x@remote.example\n", "bad": "|/bin/sh\n", "none": "# nobody\n"})
	l.with(
		settings.Director{Driver: "list", Name: "s", List: "Staff", File: l.dir + "/staff", Separator: "+", Course: settings.Course{ErrorsTo: "carol"}},
		settings.Director{Driver: "list", Name: "o", List: "own@example.org", File: l.dir + "/staff"},
		settings.Director{Driver: "list", Name: "b", List: "bad", File: l.dir + "/bad"},
		settings.Director{Driver: "list", Name: "n", List: "none", File: l.dir + "/none"},
	).start().expect([][2]string{
		{"staff@example.org", "alice@example.org maildir alice errors carol@mail.example.org; bob@example.org maildir bob errors carol@mail.example.org; " +
			"x@remote.example smtp via remote.example: remote.example/192.0.2.1:25 errors carol@mail.example.org"},
		{"owner-STAFF@example.org", "carol@mail.example.org maildir carol"},
		{"own@example.org", "alice@example.org maildir alice errors owner-own@example.org; bob@example.org maildir bob errors owner-own@example.org; " +
			"x@remote.example smtp via remote.example: remote.example/192.0.2.1:25 errors owner-own@example.org"},
		{"owner-own@example.org", "owner-own@example.org failed 5.1.1 unknown-user"},
		{"own@sub.example.org", "own@sub.example.org failed 5.1.1 unknown-user"},
		{"bad@example.org", "bad@example.org deferred 4.3.5 internal"},
		{"none@example.org", "none@example.org deferred 4.2.4 policy"},
		{"owner-alice@example.org", "owner-alice@example.org failed 5.1.1 unknown-user"},
	})
	for _, leaf := range l.ask(to("staff@sub.example.org")).Leaves {
		if diff := cmp.Diff(&envelope.Edit{Remove: []string{"list-id"}, Add: []string{"List-Id: <staff.sub.example.org>"}}, leaf.Edit); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAReportToAListGoesToItsMembersWithoutASender(t *testing.T) {
	l := newLab(t, "", map[string]string{"staff": "alice\n"})
	l.with(settings.Director{Driver: "list", List: "staff", File: l.dir + "/staff", VERP: true, Course: settings.Course{ErrorsTo: "carol"}}).start()
	m := to("staff@example.org")
	m.Sender = mailaddr.Address{}
	if got := shows(l.ask(m)); got != "alice@example.org maildir alice" {
		t.Errorf("got %s", got)
	}
}

func TestEachMemberHasAReturnAddressWithVERP(t *testing.T) {
	long := strings.Repeat("x", 60)
	l := newLab(t, "remote.example. A 192.0.2.1\n", map[string]string{"staff": "alice\nx@remote.example\n" + long + "@remote.example\n"})
	l.with(settings.Director{Driver: "list", List: "staff", File: l.dir + "/staff", VERP: true, Course: settings.Course{ErrorsTo: "carol"}}).start().expect([][2]string{
		{"staff@example.org", "alice@example.org maildir alice errors owner-staff+alice=example.org@example.org; " +
			"x@remote.example smtp via remote.example: remote.example/192.0.2.1:25 errors owner-staff+x=remote.example@example.org; " +
			long + "@remote.example smtp via remote.example: remote.example/192.0.2.1:25 errors owner-staff@example.org"},
	})
	m := to("owner-staff+x=remote.example@example.org")
	m.Sender = mailaddr.Address{}
	a := l.ask(m)
	if got := shows(a); got != "carol@mail.example.org maildir carol" {
		t.Fatalf("got %s", got)
	}
	want := &envelope.Edit{Add: []string{"X-Original-To: owner-staff+x=remote.example@example.org"}}
	if diff := cmp.Diff(want, a.Leaves[0].Edit); diff != "" {
		t.Error(diff)
	}
}

func TestListsOfALookup(t *testing.T) {
	l := newLab(t, "", nil)
	l.tables = fakeTables{"lists": {"staff": "alice|||bob", "staff@sub.example.org": "carol", "owner-staff": "bob", "run": "|/bin/sh", "void": " "}}
	l.with(settings.Director{Driver: "list", Lookup: "lists"}).start().expect([][2]string{
		{"staff@example.org", "alice@example.org maildir alice errors owner-staff@example.org; bob@example.org maildir bob errors owner-staff@example.org"},
		{"staff@sub.example.org", "carol@sub.example.org maildir carol errors owner-staff@sub.example.org"},
		{"owner-staff@example.org", "bob@example.org maildir bob"},
		{"run@example.org", "run@example.org deferred 4.3.5 internal"},
		{"void@example.org", "void@example.org deferred 4.2.4 policy"},
		{"alice@example.org", "alice@example.org maildir alice"},
	})
}

func TestAListInAListHasTheInnerOnesIdentity(t *testing.T) {
	l := newLab(t, "", map[string]string{"outer": "inner\nouter\n", "inner": "alice\n"})
	l.with(
		settings.Director{Driver: "list", Name: "o", List: "outer", File: l.dir + "/outer", Course: settings.Course{HeadersAdd: []string{"X-O: {recipient}"}}},
		settings.Director{Driver: "list", Name: "i", List: "inner", File: l.dir + "/inner", Course: settings.Course{HeadersAdd: []string{"list-id: mine"}}},
	).start()
	a := l.ask(to("outer@example.org"))
	want := &envelope.Edit{Remove: []string{"list-id"}, Add: []string{"X-O: outer@example.org", "list-id: mine"}}
	if diff := cmp.Diff(want, a.Leaves[0].Edit); diff != "" {
		t.Error(diff)
	}
}

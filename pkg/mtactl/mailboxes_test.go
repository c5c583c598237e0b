package mtactl

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filbert/pkg/lookup"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// someAccounts are those of a system.
func someAccounts(t *testing.T) *lookup.Passwd {
	t.Helper()
	p, err := lookup.ParsePasswd("passwd", []byte("root:x:0:0::/root:/bin/sh\nann:x:1001:1001::/home/ann:/bin/sh\nbob:x:1002:1002::/home/bob:/bin/sh\nvmail:x:900:900::/srv/vmail:/bin/false\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// found is what findMailboxes finds, a line each.
func found(l *mailboxList) []string {
	var out []string
	for m := range l.found {
		out = append(out, fmt.Sprintf("%s as %s by %s: %s %s", m.user, m.actor, m.transport, m.where.Driver, m.where.Pattern))
	}
	slices.Sort(out)
	return out
}

func TestMailboxesAreThoseThatDirectorsDeliverTo(t *testing.T) {
	dir := t.TempDir()
	table := filepath.Join(dir, "users")
	if err := os.WriteFile(table, []byte("ann@one.test ann\n@two.test bob\ncarl dave:/srv/dave\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := settings.Default()
	s.Instance.Separate, s.Instance.Mail = true, "/var/mail/filbert"
	s.Transports = map[string]settings.Transport{
		"home": {Driver: "maildir", Path: "{home}/Maildir"}, "spool": {Driver: "mbox", Path: "/var/mail/{user}"},
		"virtual": {Driver: "maildir", Path: "{mail}/{domain}/{local_part}", User: "vmail"}, "smtp": {Driver: "smtp"},
		"odd": {Driver: "maildir", Path: "/srv/[a]*/{user}"},
	}
	for _, c := range []struct {
		name string
		d    settings.Director
		want []string
	}{
		{"accounts", settings.Director{Driver: "user", Users: "system", Transport: "home"}, []string{
			"ann as ann by home: maildir /home/ann/Maildir", "bob as bob by home: maildir /home/bob/Maildir", "vmail as vmail by home: maildir /srv/vmail/Maildir"}},
		{"some accounts", settings.Director{Driver: "user", Transport: "spool", Conditions: settings.Conditions{LocalParts: []string{"a*"}}}, []string{
			"ann as ann by spool: mbox /var/mail/ann"}},
		{"a table", settings.Director{Driver: "user", Users: "table", File: table, Transport: "virtual"}, []string{
			"ann as vmail by virtual: maildir /var/mail/filbert/one.test/ann", "bob as vmail by virtual: maildir /var/mail/filbert/two.test/*",
			"dave as vmail by virtual: maildir /var/mail/filbert/*/carl"}},
		{"a table for a domain", settings.Director{Driver: "user", Users: "table", File: table, Transport: "virtual", Conditions: settings.Conditions{Domains: []string{"one.test"}}}, []string{
			"ann as vmail by virtual: maildir /var/mail/filbert/one.test/ann", "dave as vmail by virtual: maildir /var/mail/filbert/*/carl"}},
		{"a table with homes", settings.Director{Driver: "user", Users: "table", File: table, Transport: "home"}, []string{
			"ann as ann by home: maildir /home/ann/Maildir", "bob as bob by home: maildir /home/bob/Maildir", "dave as dave by home: maildir /srv/dave/Maildir"}},
		{"whoever", settings.Director{Driver: "accept", Transport: "virtual"}, []string{"vmail as vmail by virtual: maildir /var/mail/filbert/*/*"}},
		{"what patterns mean", settings.Director{Driver: "user", Transport: "odd", Conditions: settings.Conditions{LocalParts: []string{"ann"}}}, []string{
			`ann as ann by odd: maildir /srv/\[a]\*/ann`}},
		{"other machines", settings.Director{Driver: "user", Transport: "smtp"}, nil},
		{"other names", settings.Director{Driver: "aliasfile", File: table}, nil},
	} {
		s.Directors = []settings.Director{c.d}
		if got := found(findMailboxes(s, someAccounts(t))); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s", c.name, strings.Join(got, "\n"))
		}
	}
}

func TestUsersWhoCannotBeListedAreTold(t *testing.T) {
	s := settings.Default()
	s.Transports = settings.DefaultTransports()
	s.Directors = []settings.Director{
		{Name: "ldap", Driver: "user", Users: "lookup", Lookup: "people", Transport: "maildir"},
		{Name: "gone", Driver: "user", Users: "table", File: "/nonexistent/users", Transport: "maildir"},
	}
	l := findMailboxes(s, someAccounts(t))
	if len(l.found) != 0 || len(l.notes) != 2 || !strings.Contains(l.notes[0], "lookup people") || !strings.Contains(l.notes[1], "/nonexistent/users") {
		t.Errorf("%v %v", found(l), l.notes)
	}
}

// The process that answers is the user's.
func TestAnAnswerIsAboutWhatWasAsked(t *testing.T) {
	list := []mailboxOf{{where: proto.MeasureMailbox{Pattern: "/home/ann/Maildir"}}, {where: proto.MeasureMailbox{Pattern: "/var/mail/*"}}}
	for answer, good := range map[string]bool{
		`{"query":0,"path":"/home/ann/Maildir","bytes":5,"messages":1}`: true,
		`{"query":1,"path":"/var/mail/x","bytes":5,"messages":-1}`:      true,
		``:  true,
		`{`: false,
		`{"query":0,"path":"/home/bob/Maildir","bytes":5,"messages":1}`:    false,
		`{"query":1,"path":"/var/mail/x/y","bytes":5,"messages":1}`:        false,
		`{"query":2,"path":"/home/ann/Maildir","bytes":5,"messages":1}`:    false,
		`{"query":-1,"path":"/home/ann/Maildir","bytes":5,"messages":1}`:   false,
		`{"query":0,"path":"/home/ann/Maildir","bytes":-5,"messages":1}`:   false,
		`{"query":0,"path":"/home/ann/Maildir","bytes":5,"messages":-2}`:   false,
		`{"query":0,"path":"/home/ann/Maildir","bytes":1e30,"messages":1}`: false,
	} {
		if _, err := readMeasured([]byte(answer), list); (err == nil) != good {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

func TestAMailboxIsOverFromItsWarningLevelOn(t *testing.T) {
	level := func(n int) *int { return &n }
	for _, c := range []struct {
		t       settings.Transport
		m       proto.Measured
		percent int // -1: none
		over    bool
	}{
		{settings.Transport{}, proto.Measured{Bytes: 1 << 40, Messages: 5}, -1, false},
		{settings.Transport{MailboxLimit: 1000}, proto.Measured{Bytes: 799, Messages: 5}, 79, false},
		{settings.Transport{MailboxLimit: 1000}, proto.Measured{Bytes: 800, Messages: 5}, 80, true},
		{settings.Transport{MailboxLimit: 1000, MailboxMessages: 5}, proto.Measured{Bytes: 1, Messages: 5}, 100, true},
		{settings.Transport{MailboxLimit: 1000, MailboxWarn: level(50)}, proto.Measured{Bytes: 500, Messages: -1}, 50, true},
		{settings.Transport{MailboxLimit: 1000, MailboxWarn: level(0)}, proto.Measured{Bytes: 999}, 99, false},
		{settings.Transport{MailboxLimit: 1000, MailboxWarn: level(0)}, proto.Measured{Bytes: 1000}, 100, true},
		{settings.Transport{MailboxLimit: 1000}, proto.Measured{Trouble: "away"}, -1, false},
	} {
		c.t.Driver = "maildir"
		r := rowOf(&mailboxOf{transport: "x"}, &c.m, map[string]settings.Transport{"x": c.t})
		if settings.Or(r.Percent, -1) != c.percent || r.Over != c.over {
			t.Errorf("%+v %+v: %d %%, %v", c.t.MailboxLimit, c.m, settings.Or(r.Percent, -1), r.Over)
		}
	}
}

// What a user calls his directories ends up on the administrator's terminal.
func TestNamesOfMailboxesAreHarmlessOnATerminal(t *testing.T) {
	var out strings.Builder
	a := &app{Stdio: Stdio{Out: &out}, now: time.Now}
	a.printMailboxes([]mailboxRow{{User: "ann", Path: "/srv/\x1b[2Jx\n", Trouble: "\x1b]0;x\a"}}, false)
	if strings.ContainsAny(out.String(), "\x1b\a") || strings.Count(out.String(), "\n") != 3 {
		t.Errorf("%q", out.String())
	}
}

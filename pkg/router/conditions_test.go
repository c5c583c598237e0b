package router_test

import (
	"net/netip"
	"strings"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// accepting is a director that takes everyone whom its conditions let through.
func accepting(c settings.Conditions) settings.Director {
	return settings.Director{Name: "probe", Driver: "accept", Transport: "discard", Conditions: c}
}

// took tells whether the director that is tested got the mail.
func took(a *proto.RouteAnswer) bool { return len(a.Leaves) == 1 && a.Leaves[0].By == "probe" }

func flag(b bool) *bool { return &b }

// question is one of a table: what is asked about.
type question struct {
	rcpt, sender string
	origin       proto.Origin
}

func (q question) query(t *testing.T) *proto.RouteQuery {
	t.Helper()
	if q.rcpt == "" {
		q.rcpt = "alice@example.org"
	}
	m := to(q.rcpt)
	m.Origin = q.origin
	switch q.sender {
	case "":
	case "<>":
		m.Sender = mailaddr.Address{}
	default:
		m.Sender = mailaddr.MustParse(q.sender)
	}
	return m
}

func TestEachConditionLetsThroughWhatItSays(t *testing.T) {
	client := func(ip string) proto.Origin {
		return proto.Origin{Source: envelope.FromSMTP, Client: netip.MustParseAddr(ip), Listener: "mx"}
	}
	tables := fakeTables{
		"people":   {"alice": "x", "alice@example.org": "x", "sub.example.org": "x", "sender@elsewhere.example": "x", "192.0.2.1": "x", "example.org/alice": "x"},
		"networks": {"192.0.2.7": "x"},
	}
	for _, c := range []struct {
		name    string
		set     settings.Conditions
		yes, no []question
	}{
		{"domains", settings.Conditions{Domains: []string{"!a.example.org", "*.example.org"}},
			[]question{{rcpt: "alice@b.example.org"}}, []question{{rcpt: "alice@example.org"}, {rcpt: "alice@A.example.org"}}},
		{"domains by lookup", settings.Conditions{Domains: []string{"lookup:people"}},
			[]question{{rcpt: "x@SUB.example.org"}}, []question{{rcpt: "x@example.org"}}},
		{"local_parts", settings.Conditions{LocalParts: []string{"al*"}},
			[]question{{rcpt: "ALICE@example.org"}}, []question{{rcpt: "bob@example.org"}}},
		{"local_parts by lookup", settings.Conditions{LocalParts: []string{"!lookup:people", "*"}},
			[]question{{rcpt: "bob@example.org"}}, []question{{rcpt: "Alice@example.org"}}},
		{"senders", settings.Conditions{Senders: []string{"*@elsewhere.example"}},
			[]question{{}, {sender: "X@Elsewhere.Example"}}, []question{{sender: "a@b.example"}, {sender: "<>"}}},
		{"null sender", settings.Conditions{Senders: []string{"<>"}},
			[]question{{sender: "<>"}}, []question{{}}},
		{"senders by lookup", settings.Conditions{Senders: []string{"lookup:people"}},
			[]question{{}}, []question{{sender: "a@b.example"}, {sender: "<>"}}},
		{"clients", settings.Conditions{Clients: []string{"192.0.2.0/24"}},
			[]question{{origin: client("192.0.2.1")}, {origin: client("::ffff:192.0.2.1")}},
			[]question{{}, {origin: client("198.51.100.1")}, {origin: proto.Origin{Source: envelope.FromLocal}}}},
		{"clients by lookup", settings.Conditions{Clients: []string{"lookup:networks"}},
			[]question{{origin: client("192.0.2.7")}}, []question{{}, {origin: client("192.0.2.8")}}},
		{"listeners", settings.Conditions{Listeners: []string{"mx", "other"}},
			[]question{{origin: client("192.0.2.1")}}, []question{{}, {origin: proto.Origin{Listener: "submission"}}}},
		{"source", settings.Conditions{Source: []string{"local", "bounce"}},
			[]question{{origin: proto.Origin{Source: envelope.FromLocal}}, {origin: proto.Origin{Source: envelope.FromBounce}}},
			[]question{{}, {origin: client("192.0.2.1")}}},
		{"larger_than", settings.Conditions{LargerThan: 1000},
			[]question{{origin: proto.Origin{Size: 1001}}}, []question{{}, {origin: proto.Origin{Size: 1000}}}},
		{"smaller_than", settings.Conditions{SmallerThan: 1000},
			[]question{{}, {origin: proto.Origin{Size: 999}}}, []question{{origin: proto.Origin{Size: 1000}}}},
		{"if_user_exists", settings.Conditions{IfUserExists: flag(true)},
			[]question{{}, {rcpt: "BOB@sub.example.org"}, {rcpt: "root@example.org"}}, []question{{rcpt: "nobody@example.org"}}},
		{"if_user_exists = false", settings.Conditions{IfUserExists: flag(false)},
			[]question{{rcpt: "nobody@example.org"}}, []question{{}, {rcpt: "Alice@example.org"}}},
		{"if_lookup", settings.Conditions{IfLookup: "people"},
			[]question{{rcpt: "Alice@example.org"}}, []question{{rcpt: "alice@sub.example.org"}}},
		{"if_lookup with !", settings.Conditions{IfLookup: "!people"},
			[]question{{rcpt: "alice@sub.example.org"}}, []question{{}}},
		{"if_lookup by sender", settings.Conditions{IfLookup: "people:{sender}"},
			[]question{{}}, []question{{sender: "a@b.example"}, {sender: "<>"}}},
		{"if_lookup by client", settings.Conditions{IfLookup: "people:{client}"},
			[]question{{origin: client("192.0.2.1")}}, []question{{}, {origin: client("192.0.2.2")}}},
		{"if_lookup by a key of parts", settings.Conditions{IfLookup: "people:{domain}/{local_part}"},
			[]question{{}}, []question{{rcpt: "bob@example.org"}}},
		{"all of them", settings.Conditions{Domains: []string{"example.org"}, Senders: []string{"*@elsewhere.example"}, SmallerThan: 10},
			[]question{{}}, []question{{sender: "<>"}, {rcpt: "alice@sub.example.org"}, {origin: proto.Origin{Size: 11}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, "", nil)
			l.tables = tables
			l.with(accepting(c.set)).start()
			for _, q := range c.yes {
				if a := l.ask(q.query(t)); !took(a) {
					t.Errorf("%+v is not let through: %s", q, shows(a))
				}
			}
			for _, q := range c.no {
				if a := l.ask(q.query(t)); took(a) {
					t.Errorf("%+v is let through", q)
				}
			}
		})
	}
}

func TestAConditionThatCannotBeAskedDefers(t *testing.T) {
	for name, c := range map[string]settings.Conditions{
		"domains":     {Domains: []string{"lookup:broken"}},
		"local_parts": {LocalParts: []string{"!lookup:broken", "*"}},
		"senders":     {Senders: []string{"lookup:broken"}},
		"if_lookup":   {IfLookup: "broken"},
		"!if_lookup":  {IfLookup: "!broken:{sender}"},
	} {
		l := newLab(t, "", nil)
		l.tables = fakeTables{}
		l.with(accepting(c)).start()
		a := l.ask(to("alice@example.org"))
		if got := shows(a); got != "alice@example.org deferred 4.3.5 internal" {
			t.Errorf("%s: got %s", name, got)
			continue
		}
		if text := a.Leaves[0].Verdict.Text.ForTerminal(); !strings.Contains(text, "the server is away") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestAPatternInFrontOfABrokenLookupDecides(t *testing.T) {
	l := newLab(t, "", nil)
	l.tables = fakeTables{}
	l.with(accepting(settings.Conditions{LocalParts: []string{"alice", "lookup:broken"}})).start()
	if a := l.ask(to("alice@example.org")); !took(a) {
		t.Errorf("got %s", shows(a))
	}
}

func TestConditionsLookAtTheAddressThatAnAliasGave(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "info: alice@sub.example.org\n"})
	l.with(settings.Director{Driver: "aliasfile", File: l.dir + "/aliases"},
		accepting(settings.Conditions{Domains: []string{"sub.example.org"}})).start().expect([][2]string{
		{"info@example.org", "alice@sub.example.org discard"},
	})
}

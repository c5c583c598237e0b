package router_test

import (
	"fmt"
	"strings"
	"testing"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

const secret = "open sesame"

// withLogin is a lab with a smart host that wants a password, which is for those who
// have one.
func withLogin(t *testing.T) *lab {
	l := newLab(t, "", nil)
	l.tables = fakeTables{"login": {"sender@elsewhere.example": "me " + secret}}
	l.set.Routers = []settings.Router{{
		Name: "provider", Driver: "smarthost", Hosts: []string{"[192.0.2.1]:587"}, Credentials: "login", Transport: "smtp",
		Conditions: settings.Conditions{Senders: []string{"lookup:login"}},
	}}
	return l.start()
}

func (l *lab) as(caller proto.Service) *lab {
	l.client = l.suite.Client(string(caller), proto.Router, ipc.ClientOptions{})
	return l
}

func TestDispatchAloneHearsPasswords(t *testing.T) {
	l := withLogin(t)
	for caller, want := range map[proto.Service]string{proto.Dispatch: secret, proto.SMTPD: "", proto.Master: ""} {
		c := l.as(caller).ask(to("x@far.example")).Leaves[0].Credentials
		if c == nil || c.Username != "me" || c.Password != want {
			t.Errorf("%s hears %+v", caller, c)
		}
	}
	// What others hear is a copy: the route is remembered with its password.
	if c := l.as(proto.Dispatch).ask(to("x@far.example")).Leaves[0].Credentials; c.Password != secret {
		t.Errorf("then dispatch hears %+v", c)
	}
}

func TestAnExplanationShowsNoPassword(t *testing.T) {
	l := withLogin(t).as(proto.Master)
	m := to("x@far.example")
	m.Explain = true
	a := l.ask(m)
	if text := fmt.Sprintf("%+v", a.Trace); !strings.Contains(text, "not shown") || strings.Contains(text, secret) {
		t.Error(text)
	}
}

func TestALookupOfPasswordsIsAnsweredWithoutThem(t *testing.T) {
	l := withLogin(t).as(proto.Master)
	var a proto.LookupAnswer
	if err := l.client.Call(t.Context(), &proto.LookupQuery{Name: "login", Key: "sender@elsewhere.example"}, &a); err != nil {
		t.Fatal(err)
	}
	if !a.Found || strings.Contains(strings.Join(a.Values, " "), secret) {
		t.Errorf("%+v", a)
	}
}

// The password of a transport goes to hosts that the administrator named, not to those
// that MX records name.
func TestAPasswordGoesWhereNoMXRecordsLead(t *testing.T) {
	l := newLab(t, "relay.example. IN MX 10 elsewhere.example.\nelsewhere.example. IN A 192.0.2.66\nhost.example. IN A 192.0.2.5\n", nil)
	smtp := l.set.Transports["smtp"]
	smtp.Username = "me"
	l.set.Transports["smtp"] = smtp
	l.tables = fakeTables{"routes": {"a.example": "relay.example", "b.example": "[host.example]"}}
	l.set.Routers = []settings.Router{{Name: "table", Driver: "table", Lookup: "routes", Transport: "smtp"}}
	l.start().expect([][2]string{
		{"x@a.example", "x@a.example deferred 4.3.5 internal"},
		{"x@b.example", "x@b.example smtp via [host.example]: host.example/192.0.2.5:25"},
	})
	m := to("x@b.example")
	m.Override = "relay.example"
	if got := shows(l.ask(m)); got != "x@b.example deferred 4.3.5 internal" {
		t.Errorf("by a standing order: %s", got)
	}
}

package dispatch

import (
	"maps"
	"net/netip"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

func TestRouterHearsWhereTheMessageCameFrom(t *testing.T) {
	r := newRig(t)
	var got proto.Origin
	routes := r.d.router
	r.d.router = agent(func(req, reply ipc.Message) error {
		got = req.(*proto.RouteQuery).Origin
		return routes.Call(t.Context(), req, reply)
	})
	f := r.accept("a@x.example")
	f.env.Client = envelope.Client{Addr: netip.MustParseAddr("192.0.2.7"), Port: "submission", Login: "ann"}
	want := proto.OriginOf(f.env)
	if r.first(f); got != want || got.Login != "ann" {
		t.Errorf("router heard %+v, want %+v", got, want)
	}
}

// leavesBy gives each recipient the leaf that its local part names.
func (r *rig) leavesBy(leaves map[string]proto.Leaf) {
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		l := leaves[rc.Address.Local()]
		l.Recipient = rc
		if l.Transport == "" {
			l.Transport, l.NextHop = "smtp", "x.example"
		}
		return []proto.Leaf{l}
	}
}

func adds(field string) *envelope.Edit { return &envelope.Edit{Add: []string{field}} }

func TestWhatIsSentDifferentlyIsAnotherTransaction(t *testing.T) {
	ann, bob := &proto.Credentials{Username: "ann", Password: "1"}, &proto.Credentials{Username: "bob", Password: "1"}
	r := newRig(t)
	r.leavesBy(map[string]proto.Leaf{
		"a": {Edit: adds("X-A: 1")}, "b": {Edit: adds("X-A: 1")}, "c": {Edit: adds("X-A: 2")}, "d": {},
		"e": {Credentials: ann}, "f": {Credentials: &proto.Credentials{Username: "ann", Password: "1"}}, "g": {Credentials: bob},
		"h": {Credentials: &proto.Credentials{}}, "i": {Credentials: ann, Edit: adds("X-A: 1")},
	})
	r.first(r.accept("a@x.example", "b@x.example", "c@x.example", "d@x.example", "e@x.example", "f@x.example", "g@x.example",
		"h@x.example", "i@x.example"))
	want := map[string]proto.RemoteJob{
		"ab": {Edit: adds("X-A: 1")}, "c": {Edit: adds("X-A: 2")}, "d": {},
		"ef": {Credentials: ann}, "g": {Credentials: bob}, "h": {Credentials: &proto.Credentials{}},
		"i": {Credentials: ann, Edit: adds("X-A: 1")},
	}
	for _, j := range r.jobs {
		name := ""
		for _, rc := range j.Recipients {
			name += rc.Address.Local()
		}
		w, ok := want[name]
		if !ok {
			t.Errorf("%q in one transaction", name)
			continue
		}
		if j.Edit.Key() != w.Edit.Key() || (j.Credentials == nil) != (w.Credentials == nil) || w.Credentials != nil && *j.Credentials != *w.Credentials {
			t.Errorf("%q with %+v and %+v", name, j.Edit, j.Credentials)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("not sent: %v", want)
	}
}

// Two routers may know the same domain by different hosts or ports.
func TestWhatGoesToOtherHostsIsAnotherTransaction(t *testing.T) {
	at := func(port uint16) []proto.Host {
		return []proto.Host{{Name: "mx.x.example", Addr: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), port)}}
	}
	r := newRig(t)
	r.leavesBy(map[string]proto.Leaf{
		"a": {By: "old", Hosts: at(25)}, "b": {By: "new", Hosts: at(2525)}, "c": {By: "old", Hosts: at(25)},
	})
	r.first(r.accept("a@x.example", "b@x.example", "c@x.example"))
	got := map[string]uint16{}
	for _, j := range r.jobs {
		for _, rc := range j.Recipients {
			got[rc.Address.Local()] = j.Hosts[0].Addr.Port()
		}
	}
	if want := (map[string]uint16{"a": 25, "b": 2525, "c": 25}); !maps.Equal(got, want) || len(r.jobs) != 2 {
		t.Errorf("%d transactions: %v, want %v", len(r.jobs), got, want)
	}
}

func TestLocalDeliveryHasItsEdit(t *testing.T) {
	r := newRig(t)
	r.leavesBy(map[string]proto.Leaf{"a": {Transport: "maildir", User: &proto.User{Name: "a"}, Edit: adds("X-A: 1")}})
	r.first(r.accept("a@x.example"))
	if len(r.locals) != 1 || r.locals[0].Edit.Key() != adds("X-A: 1").Key() {
		t.Errorf("delivered %+v", r.locals)
	}
}

// The director that has added something is asked again at the next attempt.
func TestWhatIsFiledHasTheInheritedEditAlone(t *testing.T) {
	r := newRig(t)
	inherited := adds("X-Inherited: 1")
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		rc.Edit = inherited
		return []proto.Leaf{{Recipient: rc, Transport: "smtp", NextHop: "x.example", Edit: inherited.Then(adds("X-Own: 1"))}}
	}
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	id := f.env.ID
	r.first(f)
	e, err := r.d.spool.Open(spool.Deferred, id)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	env, err := envelope.Unmarshal(e.Envelope)
	if err != nil || env.Recipients[0].Edit.Key() != inherited.Key() {
		t.Errorf("filed %+v, %v", env, err)
	}
	r.again(id, proto.DueAttempt)
	if last := r.jobs[len(r.jobs)-1]; len(r.jobs) != 2 || len(last.Edit.Add) != 2 {
		t.Errorf("tried again with %+v", last.Edit)
	}
}

func TestOnceIsNotTriedAgain(t *testing.T) {
	status := smtp.Status{Class: 4, Subject: 2, Detail: 1}
	for name, c := range map[string]struct {
		was  outcome.Outcome
		ends bool
	}{
		"refused":    {outcome.Outcome{Class: outcome.Deferred, Kind: outcome.RcptRefused, Code: 450, Status: status, Text: untrusted.From("450 later")}, true},
		"no text":    {outcome.Outcome{Class: outcome.Deferred, Kind: outcome.TimedOut, Status: status}, true},
		"our limits": {outcome.Defer(outcome.Busy, status, "too many"), false},
		"our fault":  {outcome.Defer(outcome.Internal, status, "away"), false},
	} {
		r := newRig(t)
		r.leavesBy(map[string]proto.Leaf{"a": {Once: true}})
		r.verdict["a@x.example"] = c.was
		got := r.first(r.accept("a@x.example"))
		if !c.ends {
			if got.State != proto.SettledWaiting || len(r.reports) != 0 {
				t.Errorf("%s: state %d, %d reports", name, got.State, len(r.reports))
			}
			continue
		}
		if got.State != proto.SettledGone || len(r.reports) != 1 {
			t.Errorf("%s: state %d, %d reports", name, got.State, len(r.reports))
			continue
		}
		o := r.reports[0].Outcomes[0]
		if want := (smtp.Status{Class: 5, Subject: 2, Detail: 1}); o.Status != want || o.Kind != c.was.Kind || o.Code != c.was.Code {
			t.Errorf("%s: reported %+v", name, o)
		}
		if !untrusted.From("450 later - not tried again, as is configured for this address (retry = false)").Equal(o.Text.ForReport()) &&
			!untrusted.From("not tried again, as is configured for this address (retry = false)").Equal(o.Text.ForReport()) {
			t.Errorf("%s: says %q", name, o.Text.ForTerminal())
		}
	}
}

func TestOutputOfATransportThatReportsIsWords(t *testing.T) {
	for returns, want := range map[string]bool{"": false, "report": true} {
		r := newRig(t)
		s := *r.d.settings.Load()
		s.Transports["teller"] = settings.Transport{Driver: "pipe", Returns: returns, MaxOutput: 8}
		r.d.settings.Store(&s)
		r.d.limits.apply(&s)
		r.leavesBy(map[string]proto.Leaf{"a": {Transport: "teller"}})
		r.d.local = agent(func(_, reply ipc.Message) error {
			done := reply.(*proto.LocalDone)
			done.Outcome = outcome.Fail(outcome.UnknownUser, smtp.Status{Class: 5, Subject: 1, Detail: 1}, "no such user")
			done.Output = untrusted.From("Bob has moved")
			return nil
		})
		r.first(r.accept("a@x.example"))
		if len(r.reports) != 1 || len(r.reports[0].Words) != 1 || r.reports[0].Words[0] != want || !r.reports[0].Output[0].Equal("Bob has ") {
			t.Errorf("returns = %q: reported %+v", returns, r.reports)
		}
	}
}

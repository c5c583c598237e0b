package dispatch

import (
	"strings"
	"testing"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/spool"
	"filbert/pkg/standing"
)

func recipient(address string) envelope.Recipient {
	return envelope.Recipient{Address: mailaddr.MustParse(address)}
}

func hold(number uint64, target string) proto.StandingOrder {
	return proto.StandingOrder{Number: number, Kind: proto.OrderHold, Target: target, Who: "root", Reason: "because"}
}

func TestFirstAttemptObeysOrdersAndServesTheOthers(t *testing.T) {
	r := newRig(t)
	r.d.takeOrders([]proto.StandingOrder{hold(4, "far.example")})
	f := r.accept("a@far.example", "b@near.example")
	done := r.first(f)
	if done.State != proto.SettledWaiting || !done.Summary.Ordered || done.Summary.Order != 4 || done.Summary.Waiting != 1 {
		t.Fatalf("%+v", done)
	}
	if len(r.jobs) != 1 || r.jobs[0].NextHop != "near.example" {
		t.Errorf("jobs %+v", r.jobs)
	}
	last := r.book(f.env.ID).States[0].Last
	if last.Kind != outcome.Ordered || !strings.HasPrefix(last.Text.ForLog(), `"order 4 (hold far.example)`) {
		t.Errorf("%s %s", last.Kind, last.Text.ForLog())
	}
	r.d.takeOrders(nil)
	if done := r.again(f.env.ID, proto.DueAttempt); done.State != proto.SettledGone || len(r.jobs) != 2 {
		t.Errorf("afterwards %+v, %d jobs", done, len(r.jobs))
	}
}

func TestLastAttemptReturnsNothingThatAnOrderKeeps(t *testing.T) {
	r := newRig(t)
	r.d.takeOrders([]proto.StandingOrder{hold(1, "far.example")})
	f := r.accept("a@far.example")
	r.first(f)
	if done := r.again(f.env.ID, proto.DueFinal); done.State != proto.SettledWaiting || len(r.reports) != 0 {
		t.Errorf("%+v, %d reports", done, len(r.reports))
	}
}

func TestHeldDomainIsHeldThoughRouterRefusesIt(t *testing.T) {
	r := newRig(t)
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		return []proto.Leaf{{Recipient: rc, Verdict: outcome.Fail(outcome.NoDomain, statusInternal, "no such domain")}}
	}
	r.d.takeOrders([]proto.StandingOrder{hold(1, "far.example")})
	if done := r.first(r.accept("a@far.example")); done.State != proto.SettledWaiting || len(r.reports) != 0 {
		t.Errorf("%+v", done)
	}
}

func TestSeveralOrdersAreToldAsNone(t *testing.T) {
	r := newRig(t)
	r.d.takeOrders([]proto.StandingOrder{hold(1, "x.example"), hold(2, "y.example")})
	if done := r.first(r.accept("a@x.example", "a@y.example")); !done.Summary.Ordered || done.Summary.Order != 0 {
		t.Errorf("%+v", done.Summary)
	}
	r.verdict["a@z.example"] = outcome.Defer(outcome.Refused, statusInternal, "away")
	if done := r.first(r.accept("a@x.example", "a@z.example")); done.Summary.Ordered || done.Summary.Order != 1 {
		t.Errorf("with another that waits: %+v", done.Summary)
	}
}

func TestOrdersAreReadAtTheStart(t *testing.T) {
	r := newRig(t)
	if err := durable.MkdirAll(r.d.fs, standing.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := standing.Save(r.d.fs, 2, []proto.StandingOrder{{Number: 1, Kind: proto.OrderSuspend, Target: proto.TargetAll, Made: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	r.d.openOrders()
	if done := r.first(r.accept("a@far.example")); done.State != proto.SettledWaiting || len(r.jobs) != 0 {
		t.Errorf("%+v", done)
	}
}

// reroutes answers queries with an override as router does.
func (r *rig) reroutes() {
	routes := r.d.router
	r.d.router = agent(func(req, reply ipc.Message) error {
		q := req.(*proto.RouteQuery)
		if q.Override == "" {
			return routes.Call(r.t.Context(), req, reply)
		}
		for i, rc := range q.Recipients {
			reply.(*proto.RouteAnswer).Leaves = append(reply.(*proto.RouteAnswer).Leaves,
				proto.Leaf{Parent: i, Recipient: rc, Transport: "smtp", NextHop: q.Override})
		}
		return nil
	})
}

func TestReroutedRecipientsGoToTheOtherHost(t *testing.T) {
	r := newRig(t)
	r.reroutes()
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		if rc.Address.Local() == "list" { // one member is rerouted, one is not
			return []proto.Leaf{
				{Recipient: recipient("a@far.example"), Expanded: true, Transport: "smtp", NextHop: "far.example"},
				{Recipient: recipient("b@near.example"), Expanded: true, Transport: "smtp", NextHop: "near.example"},
			}
		}
		return []proto.Leaf{{Recipient: rc, Verdict: outcome.Fail(outcome.UnknownUser, statusInternal, "nobody")}}
	}
	r.d.takeOrders([]proto.StandingOrder{
		{Number: 1, Kind: proto.OrderReroute, Target: "far.example", To: "[192.0.2.1]"},
		{Number: 2, Kind: proto.OrderReroute, Target: "c@home.example", To: "[192.0.2.2]"},
	})
	if done := r.first(r.accept("list@home.example", "c@home.example")); done.State != proto.SettledGone || len(r.reports) != 0 {
		t.Fatalf("%+v, %d reports", done, len(r.reports))
	}
	got := map[string]string{}
	for _, j := range r.jobs {
		for _, rc := range j.Recipients {
			got[rc.Address.String()] = j.NextHop
		}
	}
	for address, hop := range map[string]string{
		"a@far.example": "[192.0.2.1]", "b@near.example": "near.example", "c@home.example": "[192.0.2.2]",
	} {
		if got[address] != hop {
			t.Errorf("%s goes to %q, not %q", address, got[address], hop)
		}
	}
}

func TestLimitsOfOrdersAreInForceUntilTheyEnd(t *testing.T) {
	r := newRig(t)
	most := r.d.settings.Load().Limits.Deliveries
	r.d.takeOrders([]proto.StandingOrder{
		{Number: 1, Kind: proto.OrderLimit, Target: proto.TargetDeliveries, Value: 2},
		{Number: 2, Kind: proto.OrderLimit, Target: proto.TargetLocal, Value: 1},
	})
	l := r.d.limits
	if l.maxTotal != 2 || l.maxLocal != 1 {
		t.Errorf("%d in all, %d local", l.maxTotal, l.maxLocal)
	}
	if err := l.take(t.Context(), at("maildir", "ann"), usual, 0); err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() { second <- l.take(t.Context(), at("mbox", "bob"), usual, 0) }()
	if err := l.take(t.Context(), at("smtp", "far.example"), usual, 0); err != nil { // which waits for no mailbox
		t.Fatal(err)
	}
	l.give(at("smtp", "far.example"))
	select {
	case <-second:
		t.Error("a second local delivery")
	default:
	}
	r.d.takeOrders(nil)
	if err := <-second; err != nil || l.maxTotal != most || l.maxLocal != 0 {
		t.Errorf("%v; %d in all, %d local", err, l.maxTotal, l.maxLocal)
	}
	l.give(at("maildir", "ann"))
	l.give(at("mbox", "bob"))
}

func TestRecipientIsSentToAnotherAddress(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = outcome.Defer(outcome.RcptRefused, statusInternal, "later")
	f := r.accept("b@x.example", "a@x.example")
	r.first(f)
	req := &proto.Due{ID: f.env.ID, Action: proto.DueRedirect, Recipients: []uint32{1}, To: recipient("c@y.example").Address, Reason: "ann: moved"}
	if done := r.d.attemptDeferred(t.Context(), req); done.State != proto.SettledWaiting {
		t.Fatalf("%+v", done)
	}
	if done := r.again(f.env.ID, proto.DueAttempt); done.State != proto.SettledGone {
		t.Fatalf("%+v", done)
	}
	if last := r.jobs[len(r.jobs)-1]; len(last.Recipients) != 1 || last.Recipients[0].Address.String() != "c@y.example" {
		t.Errorf("%+v", last.Recipients)
	}
}

func TestReturningOneRecipientLeavesTheOthersInTheQueue(t *testing.T) {
	r := newRig(t)
	for _, a := range []string{"a@x.example", "b@x.example"} {
		r.verdict[a] = outcome.Defer(outcome.RcptRefused, statusInternal, "later")
	}
	f := r.accept("a@x.example", "b@x.example")
	r.first(f)
	jobs := len(r.jobs)
	done := r.d.attemptDeferred(t.Context(), &proto.Due{ID: f.env.ID, Action: proto.DueBounce, Recipients: []uint32{1}, Reason: "gone"})
	if done.State != proto.SettledWaiting || len(r.reports) != 1 || len(r.jobs) != jobs || !r.filedInSpool(f.env.ID) {
		t.Fatalf("%+v, %d reports, %d jobs", done, len(r.reports), len(r.jobs)-jobs)
	}
	if left := r.book(f.env.ID).Waiting(); len(left) != 1 || left[0] != 0 {
		t.Errorf("waiting %v", left)
	}
	if _, err := r.d.spool.Open(spool.Hold, f.env.ID); err == nil {
		t.Error("it was held")
	}
}

package qmgr

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/settings"
)

// turnRig has messages that wait for hours: two for far.test, one below it, one for
// another domain and one for a host with a port.
func turnRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	s := settings.Default()
	s.ETRN = []settings.ETRN{{Clients: []string{"*"}, Domains: []string{"*"}}}
	r.q.settings.Store(s)
	r.q.loaded.Store(true)
	for i, hop := range []string{"far.test", "Far.Test", "sub.far.test", "notfar.test", "mx.near.test:2525 other.test", "bücher.test"} {
		r.q.sched.put(&proto.Summary{ID: queueid.ID(i + 1), Arrived: noon.Unix(), Attempts: 1, NextHop: hop, Waiting: 1,
			Due: noon.Add(5 * time.Hour).UnixMilli()}, noon, 0)
	}
	return r
}

// due is what would be tried now, with what dispatch is told.
func (r *rig) due() map[queueid.ID]bool {
	out := map[queueid.ID]bool{}
	for {
		e, _ := r.q.sched.next(r.q.now())
		if e == nil {
			return out
		}
		out[e.id] = r.q.sched.action(e, r.q.now()).Now
	}
}

var here, there = netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.1")

func TestATurnMakesDueWhatWaitsForTheDomain(t *testing.T) {
	for _, x := range []struct {
		ask  proto.Turn
		want []queueid.ID
	}{
		{proto.Turn{Client: there, Domain: "far.test"}, []queueid.ID{1, 2}},
		{proto.Turn{Client: there, Domain: "far.test", Subdomains: true}, []queueid.ID{1, 2, 3}},
		{proto.Turn{Client: there, Domain: "mx.near.test"}, []queueid.ID{5}},
		{proto.Turn{Client: there, Domain: "gw.near.test"}, []queueid.ID{11}},
		{proto.Turn{Client: there, Domain: "xn--bcher-kva.test"}, []queueid.ID{6}},
		{proto.Turn{Client: there, Domain: "test"}, nil},
		{proto.Turn{Client: here, Domain: "far.test"}, []queueid.ID{1, 2, 12}}, // routed to its address
		{proto.Turn{Client: netip.MustParseAddr("2001:db8::7"), Domain: "x.test"}, []queueid.ID{13}},
		{proto.Turn{Client: netip.MustParseAddr("::ffff:192.0.2.9"), Domain: "x.test"}, []queueid.ID{12}},
	} {
		r := turnRig(t)
		for i, hop := range []string{"[gw.near.test]:2525", "[192.0.2.9]:26 [192.0.2.7]:25", "[IPv6:2001:db8::7]"} {
			r.q.sched.put(&proto.Summary{ID: queueid.ID(11 + i), Arrived: noon.Unix(), Attempts: 1, NextHop: hop, Waiting: 1,
				Due: noon.Add(5 * time.Hour).UnixMilli()}, noon, 0)
		}
		if done := r.q.turn(&x.ask); done.State != proto.TurnStarted || int(done.Count) != len(x.want) || done.UnderWay != 0 {
			t.Errorf("%+v: %+v", x.ask, done)
		}
		due := r.due()
		if len(due) != len(x.want) {
			t.Errorf("%+v: due are %v, want %v", x.ask, due, x.want)
		}
		for _, id := range x.want {
			if now, is := due[id]; !is || !now {
				t.Errorf("%+v: %v is not tried now, whatever is known of the host", x.ask, id)
			}
		}
	}
}

func TestATurnLeavesAloneWhatIsHeldOrUnderWay(t *testing.T) {
	r := turnRig(t)
	r.q.sched.hold(&proto.Summary{ID: 1, NextHop: "far.test"})
	e := r.q.sched.all.get(2)
	r.q.sched.unqueue(e)
	e.state = active
	if done := r.q.turn(&proto.Turn{Client: here, Domain: "far.test"}); done.Count != 0 || done.UnderWay != 1 {
		t.Errorf("%+v", done)
	}
	if due := r.due(); len(due) != 0 {
		t.Errorf("due are %v", due)
	}
}

func TestATurnIsForOnePerClientDomainAndMinute(t *testing.T) {
	r := turnRig(t)
	far := proto.Turn{Client: here, Domain: "far.test"}
	states := func(want ...proto.TurnState) {
		t.Helper()
		for _, w := range want {
			if done := r.q.turn(&far); done.State != w {
				t.Errorf("%v, want %v", done.State, w)
			}
		}
	}
	states(proto.TurnStarted, proto.TurnTooSoon)
	far.Domain = "near.test"
	states(proto.TurnStarted, proto.TurnTooSoon)
	far.Client = netip.MustParseAddr("192.0.2.8")
	states(proto.TurnStarted)
	r.now = r.now.Add(proto.TurnPause)
	states(proto.TurnStarted, proto.TurnTooSoon)
}

// Whatever smtpd says, as strangers talk to it.
func TestTurnsAreBoundedInAll(t *testing.T) {
	r := turnRig(t)
	for i := range proto.TurnsAtATime {
		if done := r.q.turn(&proto.Turn{Client: here, Domain: fmt.Sprint("d", i)}); done.State != proto.TurnStarted {
			t.Fatalf("number %d: %+v", i, done)
		}
	}
	if done := r.q.turn(&proto.Turn{Client: here, Domain: "far.test"}); done.State != proto.TurnTooSoon || len(r.q.asked.at) != proto.TurnsAtATime {
		t.Errorf("%+v, %d are remembered", done, len(r.q.asked.at))
	}
}

func TestATurnWhileTheQueueIsReadSaysSo(t *testing.T) {
	r := turnRig(t)
	r.q.loaded.Store(false)
	if done := r.q.turn(&proto.Turn{Client: here, Domain: "far.test"}); done.State != proto.TurnUnknown || done.Count != 2 {
		t.Errorf("%+v", done)
	}
}

func TestNoTurnWithoutARule(t *testing.T) {
	r := turnRig(t)
	r.q.settings.Store(settings.Default())
	if done := r.q.turn(&proto.Turn{Client: here, Domain: "far.test"}); done.State != proto.TurnRefused {
		t.Errorf("%+v", done)
	}
	if due := r.due(); len(due) != 0 {
		t.Errorf("due are %v", due)
	}
}

// smtpd says who asks and for what, and strangers talk to smtpd: in other clients' names, and
// for domains above, the mail of one next hop is not tried more often for it.
func TestTurnsInOtherNamesDoNotHaveMailTriedAgain(t *testing.T) {
	r := turnRig(t)
	far := proto.Turn{Client: here, Domain: "far.test"}
	if done := r.q.turn(&far); done.State != proto.TurnStarted || done.Count != 2 {
		t.Fatalf("%+v", done)
	}
	for id := range r.due() { // they were tried, and wait again
		e := r.q.sched.all.get(id)
		r.q.sched.ended(e.nextHop)
		r.q.sched.put(&proto.Summary{ID: id, Arrived: noon.Unix(), Attempts: 2, NextHop: e.nextHop, Waiting: 1,
			Due: noon.Add(5 * time.Hour).UnixMilli()}, noon, 0)
	}
	far.Client = netip.MustParseAddr("192.0.2.8")
	if done := r.q.turn(&far); done.State != proto.TurnTooSoon || done.Count != 0 {
		t.Errorf("in another's name: %+v", done)
	}
	if done := r.q.turn(&proto.Turn{Client: here, Domain: "test", Subdomains: true}); done.State != proto.TurnStarted || done.Count != 4 {
		t.Errorf("with the domain above: %+v, want the other next hops below it", done)
	}
	if due := r.due(); len(due) != 4 {
		t.Errorf("due are %v", due)
	}
	r.now = r.now.Add(proto.TurnPause)
	if done := r.q.turn(&far); done.State != proto.TurnStarted || done.Count != 2 {
		t.Errorf("a minute later: %+v", done)
	}
}

// A million next hops take half a second to look through, and nobody else can do
// anything meanwhile.
func TestLookingForWhoAsksTakesASmallShareOfTheTime(t *testing.T) {
	a := asked{at: map[asker]time.Time{}}
	may := func(domain string, at time.Time) bool { return a.mayAsk(asker{here, domain, false}, at) }
	if !may("a.test", noon) {
		t.Fatal("the first may not ask")
	}
	ended := noon.Add(100 * time.Millisecond)
	a.looked(noon, ended)
	if may("b.test", ended.Add(time.Second)) || !may("b.test", ended.Add(2*time.Second)) {
		t.Errorf("behind 100 ms of looking the next may ask at %v", a.rest)
	}
	a.looked(noon, noon.Add(24*time.Hour)) // a clock that was set ahead, and back again
	if !may("c.test", noon.Add(2*proto.TurnPause)) {
		t.Errorf("nobody may ask until %v", a.rest)
	}
}

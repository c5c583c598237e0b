package standing

import (
	"net/netip"
	"testing"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func order(kind proto.OrderKind, target string) proto.StandingOrder {
	return proto.StandingOrder{Number: 1, Kind: kind, Target: target, Who: "root", Made: noon}
}

func compiled(t *testing.T, list ...proto.StandingOrder) *Set {
	t.Helper()
	s, err := Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func delivery() *Where {
	return &Where{
		Address: mailaddr.MustParse("bob@far.example"), Original: mailaddr.MustParse("list@home.example"), Remote: true,
		Transport: "smtp", NextHop: "far.example",
		Hosts: []proto.Host{{Name: "mx1.far.example.", Addr: netip.MustParseAddrPort("192.0.2.7:25")}},
	}
}

func TestOrdersMatchAddressesDomainsAndHosts(t *testing.T) {
	for _, c := range []struct {
		kind   proto.OrderKind
		target string
		stops  bool
	}{
		{proto.OrderHold, "bob@far.example", true},
		{proto.OrderHold, "BOB@Far.Example", true},
		{proto.OrderHold, "ann@far.example", false},
		{proto.OrderHold, "*@far.example", true},
		{proto.OrderHold, "list@home.example", true}, // as it was before aliases
		{proto.OrderHold, "far.example", true},
		{proto.OrderHold, "home.example", true},
		{proto.OrderHold, "example", false},
		{proto.OrderHold, "mx1.far.example", true},
		{proto.OrderHold, "mx?.far.example", true},
		{proto.OrderHold, "[192.0.2.7]", true},
		{proto.OrderHold, "192.0.2.0/24", true},
		{proto.OrderHold, "[192.0.2.8]", false},
		{proto.OrderSuspend, proto.TargetAll, true},
		{proto.OrderSuspend, proto.TargetRemote, true},
		{proto.OrderSuspend, proto.TargetLocal, false},
		{proto.OrderSuspend, proto.TargetReception, false},
		{proto.OrderSuspend, "transport:smtp", true},
		{proto.OrderSuspend, "transport:lmtp", false},
		{proto.OrderSuspend, "destination:far.example", true},
		{proto.OrderSuspend, "destination:other.example", false},
	} {
		got := compiled(t, order(c.kind, c.target)).Stops(delivery(), noon)
		if (got != nil) != c.stops {
			t.Errorf("%s %s: stops it: %v", c.kind, c.target, got != nil)
		}
	}
}

func TestWhatHasNoTransportIsNotLocal(t *testing.T) {
	w := &Where{Address: mailaddr.MustParse("x@gone.example")}
	if compiled(t, order(proto.OrderSuspend, proto.TargetLocal)).Stops(w, noon) != nil {
		t.Error("an address that nobody delivers is taken for a mailbox")
	}
}

func TestExpiredOrderDoesNothing(t *testing.T) {
	o := order(proto.OrderHold, "far.example")
	o.Until = noon.Add(time.Hour)
	s := compiled(t, o)
	if s.Stops(delivery(), noon.Add(time.Hour-time.Millisecond)) == nil || s.Stops(delivery(), noon.Add(time.Hour)) != nil {
		t.Error("it does not end when it says")
	}
	if end := s.NextEnd(noon); !end.Equal(o.Until) {
		t.Errorf("next end at %v", end)
	}
	if end := s.NextEnd(noon.Add(2 * time.Hour)); !end.IsZero() {
		t.Errorf("an end at %v when all have ended", end)
	}
}

func TestTheLatestRerouteAndLimitCount(t *testing.T) {
	a, b := order(proto.OrderReroute, "far.example"), order(proto.OrderReroute, "*.example")
	a.To, b.To, b.Number = "one.example", "two.example", 2
	c, d := order(proto.OrderLimit, proto.TargetDeliveries), order(proto.OrderLimit, proto.TargetDeliveries)
	c.Value, d.Value = 5, 7
	s := compiled(t, a, b, c, d)
	if o := s.Reroutes(delivery(), noon); o == nil || o.Number != 2 {
		t.Errorf("rerouted by %+v", o)
	}
	if n := s.Limit(proto.TargetDeliveries, noon); n != 7 {
		t.Errorf("limit %d", n)
	}
}

func TestNilSetHasNoOrders(t *testing.T) {
	var s *Set
	if !s.Empty() || s.Stops(delivery(), noon) != nil || s.Limit(proto.TargetLocal, noon) != 0 || s.AnyReroute(noon) {
		t.Error("it has")
	}
}

func TestOrdersThatSayNothingAreRefused(t *testing.T) {
	reroute := order(proto.OrderReroute, "far.example")
	nowhere := reroute
	nowhere.To = "[no"
	limit := order(proto.OrderLimit, proto.TargetLocal)
	other := order(proto.OrderLimit, "nonsense")
	other.Value = 1
	for _, o := range []proto.StandingOrder{
		order(proto.OrderHold, ""), order(proto.OrderHold, "[mx]"), order(proto.OrderHold, "/(/"), order("bake", "cake"),
		order(proto.OrderSuspend, ""), order(proto.OrderSuspend, "everything"), order(proto.OrderSuspend, "transport:"),
		order(proto.OrderSuspend, "destination:"), reroute, nowhere, limit, other,
	} {
		if Check(&o) == nil {
			t.Errorf("%s %q to %q: taken", o.Kind, o.Target, o.To)
		}
	}
}

func TestOneBadOrderLeavesTheOthersInForce(t *testing.T) {
	s, err := Compile([]proto.StandingOrder{order("bake", "cake"), order(proto.OrderHold, "far.example")})
	if err == nil || s.Stops(delivery(), noon) == nil {
		t.Errorf("err %v", err)
	}
}

package dispatch

import (
	"testing"

	"filbert/pkg/proto"
)

// The other host would send it to all of the list, and some have it already.
func TestListThatIsPartlyServedIsNotReroutedAsAWhole(t *testing.T) {
	r := newRig(t)
	r.route = nil // router is away
	f := r.accept("list@x.example")
	id := f.env.ID
	r.first(f)
	r.expands("list@x.example", "one@y.example", "two@z.example", "three@y.example")
	r.verdict["two@z.example"], r.verdict["three@y.example"] = later, later
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledWaiting {
		t.Fatalf("%+v", got)
	}
	r.reroutes()
	delete(r.verdict, "two@z.example")
	delete(r.verdict, "three@y.example")
	r.d.takeOrders([]proto.StandingOrder{
		{Number: 1, Kind: proto.OrderReroute, Target: "x.example", To: "[192.0.2.1]"},
		{Number: 2, Kind: proto.OrderReroute, Target: "two@z.example", To: "[192.0.2.2]"},
	})
	r.jobs = nil
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone {
		t.Fatalf("%+v", got)
	}
	got := map[string]string{}
	for _, j := range r.jobs {
		for _, rc := range j.Recipients {
			got[rc.Address.String()] = j.NextHop
		}
	}
	if len(got) != 2 || got["two@z.example"] != "[192.0.2.2]" || got["three@y.example"] != "y.example" {
		t.Errorf("the rest of the list goes to %v", got)
	}
}

package service

import (
	"testing"

	"filbert/pkg/proto"
)

func TestOrdersOfTheStartAreObeyedAndThenLaterOnes(t *testing.T) {
	one := []proto.StandingOrder{{Number: 1}}
	p := New(Wiring{Start: proto.Start{Orders: one}})
	var got []uint64
	heed := func(list []proto.StandingOrder) {
		n := uint64(0)
		if len(list) > 0 {
			n = list[0].Number
		}
		got = append(got, n)
	}
	p.OnOrders(heed)
	p.TakeOrders([]proto.StandingOrder{{Number: 2}})
	p.TakeOrders(nil)
	if len(got) != 3 || got[0] != 1 || got[1] != 2 || got[2] != 0 {
		t.Errorf("heard %v", got)
	}
}

// What master sends between the start frame and the daemon's first look counts.
func TestOrdersThatComeBeforeAnybodyListensAreNotLost(t *testing.T) {
	p := New(Wiring{Start: proto.Start{Orders: []proto.StandingOrder{{Number: 1}}}})
	p.TakeOrders(nil)
	p.OnOrders(func(list []proto.StandingOrder) {
		if len(list) != 0 {
			t.Errorf("heard %v, which was taken back", list)
		}
	})
}

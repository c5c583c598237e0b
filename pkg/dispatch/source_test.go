package dispatch

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

func addrs(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, t := range texts {
		list = append(list, netip.MustParseAddr(t))
	}
	return list
}

func TestEachSourceAddressGetsItsShareAndKeepsIt(t *testing.T) {
	three, count := addrs("192.0.2.1", "192.0.2.2", "192.0.2.3"), map[netip.Addr]int{}
	for i := range 3000 {
		about := fmt.Sprintf("x%d.example", i)
		first := inTurn(three, about)[0]
		count[first]++
		if less := inTurn(three[:2], about)[0]; first != three[2] && less != first {
			t.Fatalf("%s goes from %v, and from %v when another is gone", about, first, less)
		}
	}
	for a, n := range count {
		if n < 900 || n > 1100 {
			t.Errorf("%v has %d of 3000", a, n)
		}
	}
}

func TestSourceWhoseRateIsUsedUpIsPassedOver(t *testing.T) {
	r := newRig(t)
	r.pace(func(tr *settings.Transport) {
		tr.Rate = "1 per day"
		tr.SourceAddresses = []string{"192.0.2.1", "192.0.2.2", "2001:db8::1"}
	})
	f := &flight{leaves: []proto.Leaf{{Transport: "smtp", NextHop: "x.example", Hosts: []proto.Host{{Addr: netip.MustParseAddrPort("198.51.100.1:25")}}}}}
	choose := func() *job {
		j := job{leaves: []int{0}, transport: "smtp", remote: true, sender: mailaddr.MustParse("a@b.example"), dest: at("smtp", "x.example")}
		r.d.chooseSource(f, &j)
		return &j
	}
	one := choose()
	if two := choose(); !slices.Equal(one.sources, two.sources) || one.dest != two.dest || len(one.sources) != 2 || !one.sources[1].Is6() {
		t.Fatalf("%v and %v", one, two)
	}
	if err := r.d.limits.take(t.Context(), one.dest, usual, 0); err != nil {
		t.Fatal(err)
	}
	if two := choose(); two.dest == one.dest || two.sources[0] == one.sources[0] {
		t.Errorf("again from %v", two.sources[0])
	}
	r.d.limits.give(one.dest)
}

// An address that needs no warm-up does not wait for another's.
func TestWarmUpOfOneFamilyLeavesTheOtherAlone(t *testing.T) {
	r := newRig(t)
	r.pace(func(tr *settings.Transport) {
		tr.Rate = "100 per minute"
		tr.WarmUp = &settings.WarmUp{From: r.d.limits.now().Format(time.DateOnly), Days: 30, First: "1 per day", Sources: []string{"2001:db8::1"}}
		tr.SourceAddresses = []string{"192.0.2.1", "2001:db8::1"}
	})
	for host, free := range map[string]bool{"198.51.100.1:25": true, "[2001:db8:1::1]:25": false} {
		f := &flight{leaves: []proto.Leaf{{Transport: "smtp", NextHop: host, Hosts: []proto.Host{{Addr: netip.MustParseAddrPort(host)}}}}}
		j := job{leaves: []int{0}, transport: "smtp", remote: true, sender: mailaddr.MustParse("a@b.example"), dest: at("smtp", host)}
		r.d.chooseSource(f, &j)
		if err := r.d.limits.take(t.Context(), j.dest, usual, 0); err != nil {
			t.Fatal(err)
		}
		err := r.d.limits.take(t.Context(), j.dest, usual, 0)
		if (err == nil) != free {
			t.Errorf("the second to %s from %q: %v", host, j.dest.source, err)
		}
	}
}

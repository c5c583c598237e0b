package router

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func smart(t *testing.T, choose string, hosts ...string) *smartHost {
	t.Helper()
	rt := &remote{}
	rt.set.Hosts, rt.set.Choose = hosts, choose
	s, err := newSmartHost(rt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHostsTakeTurns(t *testing.T) {
	pick := smart(t, "turn", "a.example", "b.example", "c.example").picker()
	for _, want := range [][]int{{0, 1, 2}, {1, 2, 0}, {2, 0, 1}, {0, 1, 2}} {
		if got := pick(nil); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// The chance of being the first goes by the weights: 3 to 1 within what 10,000
// draws of a fair coin may be off by.
func TestHostsAreDrawnByWeight(t *testing.T) {
	s := smart(t, "weight", "a.example*3", "b.example")
	dice := rand.New(rand.NewPCG(1, 2))
	first := 0
	for range 10_000 {
		order := s.byWeight(dice)
		if len(order) != 2 || order[0] == order[1] {
			t.Fatalf("order %v", order)
		}
		if order[0] == 0 {
			first++
		}
	}
	if first < 7300 || first > 7700 {
		t.Errorf("the host of weight 3 of 4 came first %d times of 10,000", first)
	}
}

func TestASenderHasAlwaysTheSameHostAndKeepsItWhenOthersGo(t *testing.T) {
	three := smart(t, "sender", "a.example", "b.example", "c.example")
	two := smart(t, "sender", "a.example", "b.example") // c has gone
	count := make([]int, 3)
	for i := range 3000 {
		sender := fmt.Sprintf("user%d@example.org", i)
		order := three.bySender(sender)
		if !slices.Equal(order, three.bySender(sender)) {
			t.Fatal("not the same twice")
		}
		count[order[0]]++
		left := slices.DeleteFunc(slices.Clone(order), func(i int) bool { return i == 2 })
		if got := two.bySender(sender); !slices.Equal(got, left) {
			t.Errorf("%s: %v with three hosts, %v with two", sender, order, got)
		}
	}
	for i, n := range count {
		if n < 850 || n > 1150 {
			t.Errorf("host %d has %d of 3,000 senders", i, n)
		}
	}
}

func TestWeightsThatAreNone(t *testing.T) {
	for _, host := range []string{"a.example*", "a.example*0", "a.example*101", "a.example*x", "a.example*-1"} {
		rt := &remote{}
		rt.set.Hosts = []string{host}
		if _, err := newSmartHost(rt); err == nil {
			t.Errorf("%s is taken", host)
		}
	}
}

func TestKeysOfADomainInALookup(t *testing.T) {
	want := []string{"a.b.example", "*.b.example", "*.example", "*"}
	if got := domainKeys("a.b.example"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

package service

import "testing"

func TestMuchThatIsAliveLeavesLittleRoomForGarbage(t *testing.T) {
	for _, x := range []struct {
		alive uint64
		want  int
	}{
		{0, gcPercent}, {12 << 20, gcPercent}, {24 << 20, 100}, {48 << 20, 50}, {96 << 20, 25}, {1 << 40, 25},
	} {
		if got := percentFor(x.alive); got != x.want {
			t.Errorf("%d bytes alive: %d percent, want %d", x.alive, got, x.want)
		}
	}
}

func TestWhoAsksTheCollectorForSomethingKeepsIt(t *testing.T) {
	percent := gcPercent
	set := func(p int) int {
		was := percent
		percent = p
		return was
	}
	c := &collector{percent: gcPercent, set: set}
	if !c.ask(50) || percent != 50 || !c.ask(200) {
		t.Fatalf("%d percent", percent)
	}
	set(40) // somebody else
	if c.ask(100) || percent != 40 {
		t.Errorf("%d percent", percent)
	}
}

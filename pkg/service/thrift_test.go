package service

import "testing"

func TestNoDaemonTakesEveryCore(t *testing.T) {
	for cores, want := range map[int]int{1: 1, 2: 1, 3: 1, 4: 2, 16: 8} {
		if got := shareOf(cores); got != want {
			t.Errorf("%d of %d cores for one daemon, not %d", got, cores, want)
		}
	}
}

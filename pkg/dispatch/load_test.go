package dispatch

import "testing"

func TestLoadTakesPartOfDeliveriesAndLocalProcesses(t *testing.T) {
	r := newRig(t)
	whole := r.d.limits.maxTotal
	r.d.takeLoad(10)
	if l := r.d.limits; l.maxTotal != max(1, whole/10) || l.maxLocal != max(1, r.d.settings.Load().Limits.LocalChildren/10) {
		t.Errorf("%d deliveries, %d local", l.maxTotal, l.maxLocal)
	}
	r.d.takeLoad(100)
	if l := r.d.limits; l.maxTotal != whole || l.maxLocal != 0 {
		t.Errorf("afterwards %d deliveries, %d local", l.maxTotal, l.maxLocal)
	}
}

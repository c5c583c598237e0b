package smtpclient

import (
	"testing"

	"filbert/pkg/proto"
	"filbert/pkg/smtpclient/smtptest"
	"filbert/pkg/tally"
)

func TestKeptConnectionsAreCounted(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t)
	var set tally.Set
	c.figures = newFigures(&set)
	for range 5 {
		want(t, deliver(t, c, newJob(to(sink.Addr()))), "delivered 250 2.0.0")
	}
	for name, want := range map[string]uint64{
		proto.FigureOpened: 1, proto.FigureReused: 4, proto.FigureTransactions: 5, proto.FigureRecipients: 5,
	} {
		if n := set.Figure(name).Count(); n != want {
			t.Errorf("%s: %d, want %d", name, n, want)
		}
	}
	if commands, turns := set.Figure(proto.FigureCommands).Count(), set.Figure(proto.FigureTurns).Count(); turns == 0 || commands < turns {
		t.Errorf("%d replies with %d waits", commands, turns)
	}
	for _, r := range set.Read() {
		if timed := r.Name == proto.FigureOpened || r.Name == proto.FigureTurns; timed != (r.Time > 0) {
			t.Errorf("%+v", r)
		}
	}
}

package router_test

import (
	"testing"
	"time"

	"filbert/pkg/proto"
)

// One routing for each domain of a message, and none for what is known (paper,
// section 17).
func TestKnownRoutesAreCounted(t *testing.T) {
	l := newLab(t, `
far.example.    MX 10 mx.far.example.
near.example.   MX 10 mx.far.example.
mx.far.example. A 192.0.2.1
`, nil).start()
	want := func(known, made, recipients, domains uint64) {
		t.Helper()
		for name, want := range map[string]uint64{
			proto.FigureRoutesKnown: known, proto.FigureRoutesMade: made,
			proto.FigureRouteRecipients: recipients, proto.FigureRouteDomains: domains,
		} {
			if n := l.process.Tally.Figure(name).Count(); n != want {
				t.Errorf("%s: %d, want %d", name, n, want)
			}
		}
	}
	l.ask(to("a@far.example", "b@far.example", "c@far.example", "alice@example.org"))
	want(0, 1, 3, 1)
	l.ask(to("d@far.example", "e@near.example"))
	want(1, 2, 5, 3)
	asked := l.process.Tally.Figure(proto.FigureDNSAsked).Count()
	if known := l.process.Tally.Figure(proto.FigureDNSKnown).Count(); known == 0 || asked == 0 {
		t.Errorf("%d questions to the DNS, and %d answers were known: the two domains have one host", asked, known)
	}
	l.wait(24 * time.Hour) // longer than any of it is kept
	l.ask(to("a@far.example"))
	want(1, 3, 6, 4)
	if l.process.Tally.Figure(proto.FigureDNSAsked).Count() <= asked {
		t.Error("the DNS was not asked again")
	}
}

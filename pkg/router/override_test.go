package router_test

import (
	"context"
	"testing"

	"filbert/pkg/outcome"
)

func TestOrderedHostsAreLookedUpAndNobodyElseIsAsked(t *testing.T) {
	l := newLab(t, "new.example. MX 10 a.new.example.\na.new.example. A 192.0.2.1\nb.example. A 192.0.2.2\n!servfail broken.example.\n", nil).start()
	for override, want := range map[string]string{
		"new.example":        "192.0.2.1:25",
		"[b.example]:2525":   "192.0.2.2:2525",
		"[192.0.2.3]":        "192.0.2.3:25",
		"[b.example] [gone]": "192.0.2.2:25",
	} {
		m := to("x@no.such.domain.example", "y@example.org") // neither of which has any mail
		m.Override = override
		a := l.daemon.Answer(context.Background(), m)
		if len(a.Leaves) != 2 {
			t.Fatalf("%s: %d leaves", override, len(a.Leaves))
		}
		for i, leaf := range a.Leaves {
			if leaf.Parent != i || leaf.Verdict.Class != 0 || len(leaf.Hosts) != 1 || leaf.Hosts[0].Addr.String() != want ||
				leaf.Transport != "smtp" || leaf.NextHop == "" || leaf.Recipient.Address != m.Recipients[i].Address {
				t.Errorf("%s: %+v", override, leaf)
			}
		}
	}
}

func TestOrderedHostsThatAreNotFoundDefer(t *testing.T) {
	l := newLab(t, "!servfail broken.example.\n", nil).start()
	for _, override := range []string{"[gone.example]", "broken.example", "[no"} {
		m := to("x@far.example")
		m.Override = override
		a := l.daemon.Answer(context.Background(), m)
		if len(a.Leaves) != 1 || a.Leaves[0].Verdict.Class != outcome.Deferred {
			t.Errorf("%s: %+v", override, a.Leaves)
		}
	}
}

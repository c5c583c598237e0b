package dispatch

import (
	"net/netip"
	"testing"

	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/quirk"
	"filbert/pkg/tally"
)

func TestWhatMemoryAnswersIsCounted(t *testing.T) {
	r := newRig(t)
	r.d.figures = newFigures(new(tally.Set))
	f := comes("smtp", "a@b.example", "192.0.2.1:25", "192.0.2.2:25")
	f.env.ID = 1
	l := &f.leaves[0]
	l.Recipient.Address = mailaddr.MustParse("c@x.example")
	r.d.hints(l, "smtp", l.Hosts)
	j := &job{leaves: []int{0}, transport: "smtp", remote: true}
	r.d.learnQuirks(f, j, []proto.HostTried{{Addr: netip.MustParseAddrPort("192.0.2.1:25"), Seen: &quirk.Seen{Greeted: true}}})
	r.d.hints(l, "smtp", l.Hosts)
	if known, other := r.d.figures.knownHosts.Count(), r.d.figures.otherHosts.Count(); known != 1 || other != 3 {
		t.Errorf("%d known, %d others", known, other)
	}
}

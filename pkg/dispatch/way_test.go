package dispatch

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// comes is a flight of one message that comes to hosts by a transport.
func comes(transport, sender string, hosts ...string) *flight {
	f := &flight{
		env:    &envelope.Envelope{Sender: mailaddr.MustParse(sender)},
		leaves: []proto.Leaf{{Transport: transport, NextHop: "x.example"}},
	}
	for _, h := range hosts {
		f.leaves[0].Hosts = append(f.leaves[0].Hosts, proto.Host{Addr: netip.MustParseAddrPort(h)})
	}
	return f
}

func (r *rig) transports(m map[string]settings.Transport) {
	s := *r.d.settings.Load()
	s.Transports = m
	r.d.settings.Store(&s)
}

func TestWhatIsKnownOfAHostIsOfThoseWhoComeAlike(t *testing.T) {
	r := newRig(t)
	r.transports(map[string]settings.Transport{
		"smtp": {Driver: "smtp"}, "other": {Driver: "smtp", TLS: "off", HELO: r.d.settings.Load().Hostname},
		"from": {Driver: "smtp", SourceAddresses: []string{"192.0.2.9", "2001:db8::9"}},
		"also": {Driver: "smtp", SourceAddresses: []string{"192.0.2.9"}},
		"name": {Driver: "smtp", HELO: "a.example"},
		"lmtp": {Driver: "lmtp", SourceAddresses: []string{"192.0.2.9"}, Username: "me"},
	})
	const v4, v6 = "192.0.2.1:25", "[2001:db8::1]:25"
	for _, c := range [][3]string{
		{"smtp", v4, v4}, {"other", v4, v4}, // as they were always kept
		{"from", v4, v4 + " from 192.0.2.9"}, {"also", v4, v4 + " from 192.0.2.9"},
		{"from", v6, v6 + " from 2001:db8::9"}, {"also", v6, v6},
		{"name", v4, v4 + " helo a.example"},
		{"lmtp", v4, v4 + " from 192.0.2.9 by LMTP as me of transport lmtp"},
	} {
		if got := r.d.hostKeyOf(comes(c[0], "a@b.example", c[1]), 0, netip.MustParseAddrPort(c[1]), nil).name; got != c[2] {
			t.Errorf("%s to %s: %q, want %q", c[0], c[1], got, c[2])
		}
	}
	if got := r.d.hostKeyOf(comes("from", "a@b.example"), 0, netip.MustParseAddrPort(v4), nil).name; got != "transport from" {
		t.Errorf("a transport's own server: %q", got)
	}
}

func TestHostIsAskedForTheSourceThatASendersMailComesFrom(t *testing.T) {
	r := newRig(t)
	r.transports(map[string]settings.Transport{"smtp": {Driver: "smtp", SourceAddresses: []string{"192.0.2.8", "192.0.2.9"}}})
	at := netip.MustParseAddrPort("198.51.100.1:25")
	seen := map[string]int{}
	for i := range 20 {
		f := comes("smtp", fmt.Sprintf("a%d@b.example", i), at.String())
		before := r.d.hostKeyOf(f, 0, at, nil)
		j := job{leaves: []int{0}, transport: "smtp", remote: true, sender: f.env.Sender, dest: r.d.destOf(&f.leaves[0])}
		r.d.chooseSource(f, &j)
		if behind := r.d.hostKeyOf(f, 0, at, j.sources); behind != before || !strings.HasSuffix(before.name, " from "+j.sources[0].String()) {
			t.Errorf("%q, and then %q from %v", before.name, behind.name, j.sources)
		}
		seen[before.name]++
	}
	if len(seen) != 2 {
		t.Errorf("%v", seen)
	}
}

func TestTurnPassesOverASourceThatTheHostHasRefused(t *testing.T) {
	r := newRig(t)
	r.pace(func(tr *settings.Transport) {
		tr.Rate = "1 per day"
		tr.SourceAddresses = []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}
	})
	f := comes("smtp", "a@b.example", "198.51.100.1:25")
	choose := func() *job {
		j := job{leaves: []int{0}, transport: "smtp", remote: true, sender: f.env.Sender, dest: at("smtp", "x.example")}
		r.d.chooseSource(f, &j)
		return &j
	}
	one := choose()
	if err := r.d.limits.take(t.Context(), one.dest, usual, 0); err != nil {
		t.Fatal(err)
	}
	defer r.d.limits.give(one.dest)
	two := choose()
	k := r.d.hostKeyOf(f, 0, f.leaves[0].Hosts[0].Addr, two.sources)
	r.d.failings.change(k, func(st *failing) { st.state.Next = r.d.now().Add(1e9) })
	three := choose()
	if three.sources[0] == one.sources[0] || three.sources[0] == two.sources[0] {
		t.Errorf("from %v, %v, %v", one.sources, two.sources, three.sources)
	}
}

package dispatch

import (
	"net/netip"
	"testing"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

func TestWhatIsKnownOfAHostIsOfThoseWhoLogInAlike(t *testing.T) {
	r := newRig(t)
	s := *r.d.settings.Load()
	s.Transports = map[string]settings.Transport{"smtp": {Driver: "smtp"}, "office": {Driver: "smtp", Username: "office"}}
	r.d.settings.Store(&s)
	at := netip.MustParseAddrPort("192.0.2.1:587")
	seen := map[failKey]string{}
	for what, l := range map[string]proto.Leaf{
		"nobody":    {Transport: "smtp"},
		"ann":       {Transport: "smtp", Credentials: &proto.Credentials{Username: "ann", Password: "a"}},
		"ben":       {Transport: "smtp", Credentials: &proto.Credentials{Username: "ben", Password: "b"}},
		"transport": {Transport: "office"},
	} {
		l.Hosts = []proto.Host{{Addr: at}}
		k := r.d.hostKeyOf(&flight{leaves: []proto.Leaf{l}}, 0, at, nil)
		if other, twice := seen[k]; twice {
			t.Errorf("%s and %s share what is known of the host", what, other)
		}
		seen[k] = what
	}
	ann := proto.Leaf{Transport: "office", Hosts: []proto.Host{{Addr: at}}, Credentials: &proto.Credentials{Username: "ann", Password: "new"}}
	if what := seen[r.d.hostKeyOf(&flight{leaves: []proto.Leaf{ann}}, 0, at, nil)]; what != "ann" {
		t.Errorf("by another transport ann is %q", what)
	}
}

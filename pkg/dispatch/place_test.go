package dispatch

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/pace"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// withProviders has the transport smtp of a rig know two providers.
func (r *rig) withProviders(change func(*settings.Provider)) {
	big := settings.Provider{MX: []string{"*.big.example"}}
	change(&big)
	s := *r.d.settings.Load()
	s.Transports = map[string]settings.Transport{}
	for name, t := range settings.DefaultTransports() {
		s.Transports[name] = t.Complete()
	}
	s.Providers = map[string]settings.Provider{"big": big, "other": {MX: []string{"*.other.example"}}}
	r.d.settings.Store(&s)
	r.d.limits.apply(&s)
}

// hostsByDomain makes the hosts of each recipient's domain: those of the provider in its name.
func hostsByDomain(rc envelope.Recipient) []proto.Leaf {
	host := "mx1." + rc.Address.Domain() + "."
	if strings.HasPrefix(rc.Address.Domain(), "big") {
		host = "mx7.big.example."
	}
	return []proto.Leaf{{
		Recipient: rc, Transport: "smtp", NextHop: rc.Address.Domain(),
		Hosts: []proto.Host{{Name: host, Addr: netip.MustParseAddrPort("192.0.2.1:25")}},
	}}
}

func TestDomainsOfOneProviderShareItsPause(t *testing.T) {
	r := newRig(t)
	r.withProviders(func(p *settings.Provider) {
		p.BackOffReplies, p.BackOffPause = []string{"421"}, settings.Duration(time.Hour)
	})
	r.route = hostsByDomain
	r.verdict["a@big1.example"] = tooMany()
	if one := r.first(r.accept("a@big1.example")); one.State != proto.SettledWaiting {
		t.Fatalf("%v", one.State)
	}
	two := r.first(r.accept("b@big2.example"))
	if two.State != proto.SettledWaiting || len(r.jobs) != 1 {
		t.Errorf("%v, %d jobs", two.State, len(r.jobs))
	}
	if three := r.first(r.accept("c@far.example")); three.State == proto.SettledWaiting {
		t.Error("a domain of nobody waits, too")
	}
}

func TestProviderHasWhatItsTableSaysAndElseWhatTheTransportSays(t *testing.T) {
	s := settings.Default()
	s.Transports = map[string]settings.Transport{"smtp": {
		Driver: "smtp", ConnectionsPerHost: 3, Shape: settings.Shape{Rate: "7 per day", StartConcurrency: 1},
	}}
	s.Providers = map[string]settings.Provider{"big": {MX: []string{"*"}, Deliveries: 50, Shape: settings.Shape{StartConcurrency: 40}}}
	l := newLimits(s)
	view := func(k destKey) pace.View { return (&pace.State{}).View(l.policyLocked(k), began) }
	if v := view(destKey{transport: "smtp", provider: "big"}); v.Width != 40 || v.Most != 50 || v.Rate.String() != "7 per day" {
		t.Errorf("of the provider: %+v", v)
	}
	if v := view(at("smtp", "x.example")); v.Width != 1 || v.Most != 3 {
		t.Errorf("of a domain: %+v", v)
	}
	// A provider that a reload has taken away.
	if v := view(destKey{transport: "smtp", provider: "gone"}); v.Most != 3 {
		t.Errorf("of one that is gone: %+v", v)
	}
}

func TestPacesShowWhatIsUnderWayAndWhatIsHeldUp(t *testing.T) {
	l := paced(settings.Transport{Shape: settings.Shape{Rate: "60 per minute", BackOffPause: settings.Duration(time.Minute)}})
	for range 2 {
		if !taken(t, l, "smtp", "busy") || !taken(t, l, "smtp", "tired") {
			t.Fatal("no place")
		}
	}
	l.learn(at("smtp", "tired"), func(p *pace.Policy, s *pace.State, now time.Time) { s.Paused(p, untrusted.From("421 no"), now) })
	for range 2 {
		l.give(at("smtp", "tired"))
	}
	rows := l.paces()
	if len(rows) != 2 || rows[0].Destination != "busy" || rows[0].Deliveries != 2 || rows[0].Allowed != 2 || rows[0].Most != 4 ||
		rows[0].Used != 2 || rows[0].Rate != "60 per minute" || rows[0].Held != "" {
		t.Errorf("%+v", rows)
	}
	if r := rows[1]; r.Held != "pause" || r.Reply != "421 no" || r.Until.IsZero() || r.Allowed != 1 {
		t.Errorf("%+v", r)
	}
}

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

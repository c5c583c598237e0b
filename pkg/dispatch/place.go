package dispatch

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"filbert/pkg/pace"
	"filbert/pkg/pattern"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// destKey is what has a pace of its own, and places.
type destKey struct {
	transport string
	// place is whose limits count: the next hop, the user of a mailbox, or "" where
	// a provider has the mail of many next hops.
	place    string
	provider string
	// source is the address that connections come from, where the transport has several.
	source string
}

// String names the destination in a text.
func (k destKey) String() string {
	name := k.name()
	if k.source != "" {
		name += " (from " + k.source + ")"
	}
	return name
}

func (k destKey) name() string {
	if k.provider != "" {
		return "provider " + k.provider
	}
	return k.place
}

// rateWords is why a delivery waits for the rate.
func (k destKey) rateWords() string {
	whose := "transport " + k.transport
	if k.provider != "" {
		whose = "it"
	}
	return fmt.Sprintf("%s gets mail at the rate that is configured for %s only", k, whose)
}

// provider is one of settings.Providers.
type provider struct {
	name  string
	hosts pattern.List
}

// providersOf compiles the patterns of all providers. They were checked before they came
// here: what can't be read is left out.
func providersOf(s *settings.Settings) []provider {
	var list []provider
	for _, name := range slices.Sorted(maps.Keys(s.Providers)) {
		if hosts, err := pattern.CompileList(s.Providers[name].MX, pattern.Domains); err == nil {
			list = append(list, provider{name, hosts})
		}
	}
	return list
}

// providerOf is who has these hosts: the first of a route decides, as it is the one that
// gets the mail if all is well.
func (l *limits) providerOf(hosts []proto.Host) string {
	if len(hosts) == 0 {
		return ""
	}
	name := strings.TrimSuffix(hosts[0].Name, ".")
	if name == "" || name[0] == '[' {
		return ""
	}
	l.mu.Lock()
	list := l.providers
	l.mu.Unlock()
	for i := range list {
		if list[i].hosts.Match(name) {
			return list[i].name
		}
	}
	return ""
}

// destOf is the destination of a remote leaf.
func (d *Dispatcher) destOf(leaf *proto.Leaf) destKey {
	if name := d.limits.providerOf(leaf.Hosts); name != "" {
		return destKey{transport: leaf.Transport, provider: name}
	}
	return destKey{transport: leaf.Transport, place: leaf.NextHop}
}

// settlePlaces says where the limits of remote jobs count.
func (d *Dispatcher) settlePlaces(f *flight, jobs []job) {
	for i := range jobs {
		if j := &jobs[i]; j.remote {
			j.dest = d.destOf(&f.leaves[j.leaves[0]])
			d.chooseSource(f, j)
		}
	}
}

// paces are the policies of a transport.
type paces struct {
	usual     *pace.Policy // nil: deliveries on this machine
	providers map[string]*pace.Policy
}

// pacesOf is what is configured for the destinations of a transport; nothing for those on
// this machine. It was checked before it came here: what can't be read is left out.
func pacesOf(s *settings.Settings, t *settings.Transport) paces {
	var p paces
	if !isRemote(t.Driver) {
		return p
	}
	if usual, err := pace.Compile(t, s.Limits.PerDestination); err == nil {
		p.usual = usual
	}
	for name, who := range s.Providers {
		if policy, err := pace.CompileProvider(&who, t, s.Limits.PerDestination); err == nil {
			if p.providers == nil {
				p.providers = map[string]*pace.Policy{}
			}
			p.providers[name] = policy
		}
	}
	return p
}

// of is the policy for a destination.
func (p *paces) of(k destKey) *pace.Policy {
	if policy := p.providers[k.provider]; policy != nil {
		return policy.For(k.source)
	}
	return p.usual.For(k.source)
}

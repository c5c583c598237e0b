package route

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// Bounds of one route. RFC 1123, section 5.3.4 wants at least two addresses
// tried; beyond these more would only make a message wait.
const (
	MaxExchangers = 8  // whose addresses are asked for
	MaxPerHost    = 4  // addresses of one of them
	MaxHosts      = 16 // in the end
)

// The verdicts' enhanced statuses.
var (
	statusNoDomain = smtp.Status{Class: 5, Subject: 1, Detail: 2}
	statusNullMX   = smtp.Status{Class: 5, Subject: 1, Detail: 10}
	statusNoRoute  = smtp.Status{Class: 5, Subject: 4, Detail: 4}
	statusLoop     = smtp.Status{Class: 5, Subject: 4, Detail: 6}
	statusDNS      = smtp.Status{Class: 4, Subject: 4, Detail: 3}
	statusConfig   = smtp.Status{Class: 4, Subject: 3, Detail: 5}
)

// Chance shuffles; *rand.Rand of math/rand/v2 does.
type Chance interface {
	Shuffle(n int, swap func(i, j int))
}

// Exchanger is one host that may have a domain's mail.
type Exchanger struct {
	Host string // lower case
	Pref uint16
}

// Choose makes the list of exchangers to ask addresses for: by preference, in
// random order among equals, each host once, at most MaxExchangers. When this
// machine is among them, it and all that are not better are dropped (RFC
// 5321, section 5.1): they would send the mail back here. A verdict (Class not
// 0) ends it: there was nobody but us.
func Choose(domain string, list []Exchanger, own *Own, rng Chance) ([]Exchanger, outcome.Outcome) {
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b Exchanger) int {
		return cmp.Or(cmp.Compare(a.Pref, b.Pref), cmp.Compare(a.Host, b.Host))
	})
	if i := slices.IndexFunc(out, func(e Exchanger) bool { return own.IsName(e.Host) }); i >= 0 {
		limit := out[i].Pref
		out = slices.DeleteFunc(out, func(e Exchanger) bool { return e.Pref >= limit })
	}
	if len(out) == 0 && len(list) > 0 {
		return nil, Loop(domain)
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	slices.SortStableFunc(out, func(a, b Exchanger) int { return cmp.Compare(a.Pref, b.Pref) })
	seen := make(map[string]bool, len(out))
	out = slices.DeleteFunc(out, func(e Exchanger) bool {
		twice := seen[e.Host]
		seen[e.Host] = true
		return twice
	})
	return out[:min(len(out), MaxExchangers)], outcome.Outcome{}
}

// Found is what was learned of one exchanger's addresses.
type Found struct {
	Exchanger
	V4, V6 []netip.Addr
	// Err is set when there are none; Unsure tells that they may exist.
	Err    error
	Unsure bool
}

// Host is one address to connect to.
type Host struct {
	Name string
	Addr netip.AddrPort
	Pref uint16
	MX   MX
}

// MX says how a host was found. The values are those of pkg/proto.
type MX uint8

// The ways.
const (
	NotAsked MX = 0 // named by the configuration, or an address literal
	Record   MX = 1
	Implied  MX = 2 // the domain has no MX records: it is its own mail server
)

// Plan is the hosts of a domain before chance orders equals. It is never
// changed after it was made, and may be shared.
type Plan struct {
	// hosts are sorted by preference; the addresses of one exchanger stand
	// together, in the order in which they are to be tried.
	hosts []Host
}

// Make makes the plan of a domain of what was found of its exchangers, in the
// order of Choose. An address of this machine's own ends the list at its
// preference, like its name.
func Make(domain string, found []Found, port uint16, own *Own) (Plan, outcome.Outcome) {
	var p Plan
	var unsure error
	here := false
	for i := 0; i < len(found) && !here; i++ {
		f := found[i]
		if f.Unsure && unsure == nil {
			unsure = f.Err
		}
		for _, a := range interleave(f, own) {
			to := netip.AddrPortFrom(a, port)
			if own.IsHere(to) {
				p.hosts = slices.DeleteFunc(p.hosts, func(h Host) bool { return h.Pref >= f.Pref })
				here = true
				break
			}
			p.hosts = append(p.hosts, Host{Name: f.Host, Addr: to, Pref: f.Pref})
		}
	}
	p.hosts = p.hosts[:min(len(p.hosts), MaxHosts)]
	switch {
	case len(p.hosts) > 0:
		return p, outcome.Outcome{}
	case here:
		return p, Loop(domain)
	case unsure != nil:
		return p, TemporaryDNS(domain, unsure)
	}
	return p, NoHosts(domain, found)
}

// interleave takes addresses of both families in turn, so that a network
// without one of them costs one failed attempt and not four. The better family
// of this machine goes first.
func interleave(f Found, own *Own) []netip.Addr {
	first, second := f.V6, f.V4
	if !own.IPv6 {
		first, second = f.V4, f.V6
	}
	var out []netip.Addr
	for i := 0; i < max(len(first), len(second)) && len(out) < MaxPerHost; i++ {
		if i < len(first) && usable(first[i]) {
			out = append(out, first[i])
		}
		if i < len(second) && usable(second[i]) && len(out) < MaxPerHost {
			out = append(out, second[i])
		}
	}
	return out
}

// FoundBy is the plan with how its hosts were found.
func (p Plan) FoundBy(way MX) Plan {
	out := Plan{hosts: slices.Clone(p.hosts)}
	for i := range out.hosts {
		out.hosts[i].MX = way
	}
	return out
}

// Join makes one plan of several that are to be tried one after the other.
func Join(plans ...Plan) Plan {
	var out Plan
	next := uint16(0)
	for _, p := range plans {
		for i, h := range p.hosts {
			if len(out.hosts) == MaxHosts {
				return out
			}
			if i > 0 && h.Pref != p.hosts[i-1].Pref {
				next++
			}
			h.Pref = next
			out.hosts = append(out.hosts, h)
		}
		next++
	}
	return out
}

// Len is the number of hosts.
func (p Plan) Len() int { return len(p.hosts) }

// Order gives the hosts in an order to try: by preference, exchangers of equal
// preference in random order (RFC 5321, section 5.1), so that a list of equals
// shares the load. each is called once for each host.
func (p Plan) Order(rng Chance, each func(Host)) {
	for start := 0; start < len(p.hosts); {
		end := start + 1
		for end < len(p.hosts) && p.hosts[end].Pref == p.hosts[start].Pref {
			end++
		}
		p.orderEquals(p.hosts[start:end], rng, each)
		start = end
	}
}

func (p Plan) orderEquals(hosts []Host, rng Chance, each func(Host)) {
	var starts [MaxHosts]int // of the exchangers
	n := 0
	for i := range hosts {
		if i == 0 || hosts[i].Name != hosts[i-1].Name {
			starts[n] = i
			n++
		}
	}
	if n > 1 {
		rng.Shuffle(n, func(i, j int) { starts[i], starts[j] = starts[j], starts[i] })
	}
	for _, start := range starts[:n] {
		for i := start; i < len(hosts) && hosts[i].Name == hosts[start].Name; i++ {
			each(hosts[i])
		}
	}
}

// Loop is the verdict on a domain whose mail would come back here.
func Loop(domain string) outcome.Outcome {
	return outcome.Fail(outcome.Loop, statusLoop, "mail for %s loops back to this machine, which does not take it (is it missing in domains.local?)", show(domain))
}

// NullMX is the verdict on a domain that takes no mail (RFC 7505).
func NullMX(domain string) outcome.Outcome {
	return outcome.Fail(outcome.NullMX, statusNullMX, "the domain %s takes no mail (null MX)", show(domain))
}

// NoDomain is the verdict on a name that does not exist.
func NoDomain(domain string) outcome.Outcome {
	return outcome.Fail(outcome.NoDomain, statusNoDomain, "the domain %s does not exist", show(domain))
}

// NoMX is the verdict on a domain without mail exchangers where only such will do.
func NoMX(domain string) outcome.Outcome {
	return outcome.Fail(outcome.NoMX, statusNoRoute, "the domain %s has no MX record, and nothing else will do for it here (mx_only)", show(domain))
}

// BadMX is the verdict on a domain whose MX records are all no host names.
func BadMX(domain string) outcome.Outcome {
	return outcome.Fail(outcome.NoMX, statusNoRoute, "the MX records of the domain %s name no usable host", show(domain))
}

// NoAddress is the verdict on a domain with neither MX nor address.
func NoAddress(domain string) outcome.Outcome {
	return outcome.Fail(outcome.NoMX, statusNoRoute, "the domain %s has no MX record and no address", show(domain))
}

// NoHosts is the verdict on exchangers none of which has an address.
func NoHosts(domain string, found []Found) outcome.Outcome {
	hosts := ""
	for i, f := range found {
		if i > 0 {
			hosts += ", "
		}
		hosts += f.Host
	}
	return outcome.Fail(outcome.NoMX, statusNoRoute, "no mail server of the domain %s has a usable address (%s)", show(domain), hosts)
}

// TemporaryDNS is the verdict on a domain about which DNS did not answer.
func TemporaryDNS(domain string, err error) outcome.Outcome {
	return outcome.Defer(outcome.DNS, statusDNS, "the mail servers of %s could not be found out: %v", show(domain), err)
}

// Unconfigured is the verdict on mail for a host of our own configuration
// that does not exist: the sender is not to blame, and mail waits for whoever is.
func Unconfigured(router, host string, err error) outcome.Outcome {
	return outcome.Defer(outcome.DNS, statusConfig, "router %s: host %s: %v", router, show(host), err)
}

// NoRouter is the verdict on a domain that no router takes.
func NoRouter(domain string) outcome.Outcome {
	return outcome.Fail(outcome.NoMX, statusNoRoute, "there is no route to %s", show(domain))
}

// show makes a domain fit for a line of text; it has the form of one anyway.
func show(domain string) string {
	return fmt.Sprintf("%.255s", untrusted.From(domain).ForTerminal())
}

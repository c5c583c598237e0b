package dispatch

import (
	"net/netip"
	"slices"

	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// way is what a server sees of us before any message, where a transport has it otherwise
// than usual: one that refuses an address because it stands on a list, or a name, or that
// is no LMTP server, is no reason to keep the mail waiting that comes another way. Whether
// there may be TLS is no part of it: what a server says to that it says of messages, and a
// login, which needs it, is told apart by itself. The zero value is the usual way.
type way struct {
	source netip.Addr
	helo   string
	lmtp   bool
}

// maxHELO is what a key has of a name: it has to fit into a record.
const maxHELO = 255

// String is for keys, which are on disk: the usual way has none, as all had once.
func (w way) String() string {
	s := ""
	if w.source.IsValid() {
		s += " from " + w.source.String()
	}
	if w.helo != "" {
		s += " helo " + w.helo[:min(len(w.helo), maxHELO)]
	}
	if w.lmtp {
		s += " by LMTP"
	}
	return s
}

// wayOf is how the mail of a leaf comes to an address. It comes from what was chosen for
// its job; before there is one, from where its sender's mail comes as far as rates allow.
func (d *Dispatcher) wayOf(f *flight, i int, addr netip.Addr, chosen []netip.Addr) way {
	l, s := &f.leaves[i], d.settings.Load()
	t := s.Transports[l.Transport]
	w := way{lmtp: t.IsLMTP()}
	if t.HELO != s.Hostname {
		w.helo = t.HELO
	}
	family := familyOf(addr)
	if n := slices.IndexFunc(chosen, func(a netip.Addr) bool { return familyOf(a) == family }); n >= 0 {
		w.source = chosen[n]
		return w
	}
	switch list := sourcesOf(&t)[family]; len(list) {
	case 0:
	case 1:
		w.source = list[0]
	default:
		w.source = inTurn(list, sourceTurn(d.destOf(l), f.sender(i)))[0]
	}
	return w
}

// familyOf is 0 for IPv4 and 1 for IPv6.
func familyOf(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 0
	}
	return 1
}

// sourcesOf are the source addresses of a transport, by family.
func sourcesOf(t *settings.Transport) (families [2][]netip.Addr) {
	for _, text := range t.SourceAddresses {
		if a, err := netip.ParseAddr(text); err == nil {
			n := familyOf(a)
			families[n] = append(families[n], a)
		}
	}
	return families
}

// sourceTurn is by what the source addresses of a transport share its mail.
func sourceTurn(dest destKey, sender mailaddr.Address) string {
	return dest.String() + "\x00" + sender.String()
}

// refusedFrom tells whether a host is not due for the mail that would come from an address.
func (d *Dispatcher) refusedFrom(f *flight, i int, host *proto.Host, source netip.Addr) bool {
	if d.failings.none() {
		return false
	}
	s := d.failings.state(d.hostKeyOf(f, i, host.Addr, []netip.Addr{source}))
	return s.Next.After(d.now())
}

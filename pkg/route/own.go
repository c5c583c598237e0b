package route

import (
	"net/netip"
	"slices"
	"strings"
)

// smtpPort is where mail between domains goes (RFC 5321, section 4.5.4.2).
const smtpPort = 25

// Own is what the rules know of this machine.
type Own struct {
	Names []string     // host names in lower case
	Addrs []netip.Addr // of all interfaces
	Ports []uint16     // on which it takes mail; 25 always counts
	IPv6  bool         // it has an IPv6 address of more than link scope

	anywhere bool
}

// Anywhere is o for hosts that the administrator named himself: a filter on
// this machine is one. Only the unspecified address is still refused.
func (o *Own) Anywhere() *Own { return &Own{IPv6: o.IPv6, anywhere: true} }

// IsName tells whether a host name is this machine's.
func (o *Own) IsName(host string) bool { return slices.Contains(o.Names, strings.ToLower(host)) }

// IsHere tells whether connecting there would reach this machine's own mail
// service: an address of its own with a port that it listens on. The
// unspecified address counts with any port, since nobody means what connect(2)
// makes of it.
func (o *Own) IsHere(to netip.AddrPort) bool {
	a := to.Addr().Unmap()
	if a.IsUnspecified() {
		return true
	}
	if o.anywhere || to.Port() != smtpPort && !slices.Contains(o.Ports, to.Port()) {
		return false
	}
	return a.IsLoopback() || slices.Contains(o.Addrs, a.WithZone(""))
}

// usable tells whether mail can go to an address at all.
func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && a.Zone() == ""
}

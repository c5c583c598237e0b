package smtpclient

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"filbert/pkg/message"
	"filbert/pkg/proto"
	"filbert/pkg/quirk"
	"filbert/pkg/rewrite"
	"filbert/pkg/settings"
)

// tlsPolicy is settings.Transport.TLS, or verified.
type tlsPolicy string

const (
	opportunistic tlsPolicy = "opportunistic"
	// verified is for servers that get a password: TLS with a certificate for the
	// server's name, or nothing.
	verified tlsPolicy = "verified"
)

// portSubmissions is where TLS comes before anything else (RFC 8314, section
// 3.3).
const portSubmissions = 465

// A route is a transport of the configuration, made ready.
type route struct {
	name     string
	conf     settings.Transport
	to       timeouts
	helo     string
	loopPort uint16 // where our own name in the server's mouth means a loop; 0: nowhere
	source4  netip.Addr
	source6  netip.Addr
	sources  []netip.Addr
	header   message.Limits // of one that is to be changed
	edit     headerEdit
	rewrites rewrite.Set
	login    loginID
}

func newRoute(name string, t settings.Transport, hostname string) (*route, error) {
	r := &route{name: name, conf: t.Complete(), helo: t.HELO}
	r.to = scaledTimeouts(r.conf.TimeoutScale)
	r.edit = newHeaderEdit(t.HeadersAdd, t.HeadersRemove)
	r.login = loginOf(t.Username, t.Password)
	if r.helo == "" {
		r.helo = hostname
	}
	if !t.IsLMTP() {
		r.loopPort = 25
	}
	for _, s := range t.SourceAddresses {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("transport %s: source address: %w", name, err)
		}
		r.sources = append(r.sources, a)
		switch {
		case a.Is4() && !r.source4.IsValid():
			r.source4 = a
		case !a.Is4() && !r.source6.IsValid():
			r.source6 = a
		}
	}
	return r, nil
}

// A target is one server, or one Unix socket, and how we get there.
type target struct {
	route  *route
	name   string // for the log, the report and SNI
	addr   netip.AddrPort
	socket string
	login  loginID
	from   []netip.Addr // that dispatch wants it to come from
	advice quirk.Advice // what follows from what is known of it
}

// key is what makes two connections interchangeable. The route stands for
// source address, HELO name and time-outs; it is another one after a reload,
// so that no message goes by settings that are no longer in force.
type key struct {
	route  *route
	addr   netip.AddrPort
	from   netip.AddrPort // where not the route's alone
	socket string
	tls    tlsPolicy
	login  loginID
	// name is the server's name where its certificate is verified: what one name
	// has proved is nothing to another at the same address.
	name string
}

func (t *target) key() key {
	k := key{route: t.route, addr: t.addr, from: t.source(), socket: t.socket, tls: t.policy(), login: t.login}
	if k.tls == verified {
		k.name = t.name
	}
	return k
}

// policy is how TLS is used for this server. A password needs more than the
// transport asks for.
func (t *target) policy() tlsPolicy {
	if t.login != nobodyAtAll && !t.local() {
		return verified
	}
	return tlsPolicy(t.route.conf.TLS)
}

// local: nobody else can listen.
func (t *target) local() bool { return t.socket != "" || t.addr.Addr().IsLoopback() }

// tlsFirst: the server speaks TLS from the first octet on.
func (t *target) tlsFirst() bool { return t.socket == "" && t.addr.Port() == portSubmissions }

// label names the server in a text.
func (t *target) label() string {
	switch {
	case t.socket != "":
		return t.socket
	case t.name == "", strings.HasPrefix(t.name, "["):
		return t.addr.String() // an address literal says it all
	}
	return fmt.Sprintf("%s[%s]:%d", t.name, t.addr.Addr(), t.addr.Port())
}

// source is the address to connect from, or none.
func (t *target) source() netip.AddrPort {
	a := t.route.source6
	if t.addr.Addr().Is4() {
		a = t.route.source4
	}
	for _, wanted := range t.from {
		if wanted.Is4() == t.addr.Addr().Is4() && t.route.has(wanted) {
			a = wanted
		}
	}
	if !a.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, 0)
}

// has tells whether an address is one of the transport's: nobody else says where we come
// from.
func (r *route) has(source netip.Addr) bool { return slices.Contains(r.sources, source) }

// targets are the servers of a job in the order in which they are tried.
func (r *route) targets(hosts []proto.Host, who loginID) ([]target, error) {
	if who != nobodyAtAll && who.Value().password == "" {
		return nil, fmt.Errorf("transport %s has a user name for the server and no password: see its password_file", r.name)
	}
	if len(hosts) == 0 {
		t, err := r.own()
		t.login = who
		return []target{t}, err
	}
	list := make([]target, 0, min(len(hosts), maxHosts))
	for _, h := range hosts[:min(len(hosts), maxHosts)] {
		addr := netip.AddrPortFrom(h.Addr.Addr().Unmap(), h.Addr.Port())
		list = append(list, target{route: r, name: h.Name, addr: addr, login: who})
	}
	return list, nil
}

// own is the transport's own server, for jobs without hosts. It is an address:
// names are router's to look up, and this program has no resolver.
func (r *route) own() (target, error) {
	if r.conf.Socket != "" {
		return target{route: r, name: "localhost", socket: r.conf.Socket}, nil
	}
	if r.conf.Host == "" {
		return target{}, fmt.Errorf("transport %s has neither socket nor host, and no router named hosts", r.name)
	}
	host, port, err := net.SplitHostPort(r.conf.Host)
	if err != nil {
		host, port = r.conf.Host, "24"
	}
	name := host
	if host == "localhost" {
		host = "127.0.0.1"
	}
	addr, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	if err != nil {
		return target{}, fmt.Errorf("transport %s: host %q is no IP address: let a router of driver table or smarthost look it up", r.name, r.conf.Host)
	}
	return target{route: r, name: name, addr: addr}, nil
}

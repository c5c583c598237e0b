package route

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/untrusted"
)

// Spec is a host as the configuration or a table names it:
//
//	mail.example.org           its MX records, else its addresses
//	mail.example.org:587       the same with another port
//	[mail.example.org]         its addresses
//	[mail.example.org]:587
//	192.0.2.1  [192.0.2.1]:25  that address
//	[2001:db8::1]:25           (an IPv6 address stands in brackets)
type Spec struct {
	Host string     // lower case A-labels; "" for an address
	Addr netip.Addr // of an address
	MX   bool       // ask for MX records first
	Port uint16     // 0: the router's
}

var errSpec = errors.New(`a host is "name", "name:port", "[name]", "[name]:port" or an address`)

// ParseSpec reads a host specification.
func ParseSpec(s string) (Spec, error) {
	spec, err := parseSpec(s)
	if err != nil {
		return Spec{}, fmt.Errorf("host %s: %w", untrusted.From(s).ForLog(), err)
	}
	return spec, nil
}

func parseSpec(s string) (Spec, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return Spec{Addr: addr.Unmap()}, nil
	}
	name, port, bracketed, err := cutPort(s)
	if err != nil {
		return Spec{}, err
	}
	literal := strings.TrimPrefix(name, "IPv6:")
	if addr, err := netip.ParseAddr(literal); err == nil && addr.Zone() == "" && (bracketed || addr.Is4()) {
		return Spec{Addr: addr.Unmap(), Port: port}, nil
	}
	name = strings.TrimSuffix(name, ".")
	a, err := mailaddr.New("x", name)
	if err != nil || name == "" || strings.HasPrefix(name, "[") {
		return Spec{}, errSpec
	}
	host, err := a.ASCIIDomain()
	if err != nil {
		return Spec{}, errSpec
	}
	return Spec{Host: host, MX: !bracketed, Port: port}, nil
}

func cutPort(s string) (name string, port uint16, bracketed bool, err error) {
	name, rest := s, ""
	if in, ok := strings.CutPrefix(s, "["); ok {
		var closed bool
		if name, rest, closed = strings.Cut(in, "]"); !closed {
			return "", 0, false, errSpec
		}
		bracketed = true
		if rest == "" {
			return name, 0, true, nil
		}
		if rest, ok = strings.CutPrefix(rest, ":"); !ok {
			return "", 0, false, errSpec
		}
	} else {
		var colon bool
		if name, rest, colon = strings.Cut(s, ":"); !colon {
			return name, 0, false, nil
		}
	}
	n, err := strconv.ParseUint(rest, 10, 16)
	if err != nil || n == 0 || rest[0] == '+' {
		return "", 0, false, errors.New("the port is no number from 1 to 65535")
	}
	return name, uint16(n), bracketed, nil
}

// String is the specification as ParseSpec reads it.
func (s Spec) String() string {
	text := s.Host
	switch {
	case s.Addr.IsValid():
		text = "[" + s.Addr.String() + "]"
	case !s.MX:
		text = "[" + s.Host + "]"
	}
	if s.Port != 0 {
		text += ":" + strconv.Itoa(int(s.Port))
	}
	return text
}

package lookup

import (
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"
)

// MaxNetworks bounds a file of networks: some two million lines.
const MaxNetworks = 64 << 20

// Networks is a file of networks:
//
//	# network or address   value
//	192.0.2.0/24           customers
//	192.0.2.7              not this one
//	2001:db8::/32          customers
//
// The longest prefix that has the address wins, whatever the order of the lines.
type Networks struct {
	name   string
	text   string
	values bart.Table[span]
}

// span is where in the text a value is, and its line.
type span struct{ start, end, line uint32 }

// ParseNetworks reads the file. The error is of type *Problems.
func ParseNetworks(name string, data []byte) (*Networks, error) {
	t := &Networks{name: name, text: string(data)}
	var ps Problems
	eachSpan(name, data, &ps, func(n, start, end int) {
		word, value := t.text[start:end], ""
		if i := strings.IndexAny(word, " \t"); i >= 0 {
			word, value = word[:i], strings.TrimLeft(word[i:], " \t")
		}
		net, problem := parseNetwork(word)
		if problem != "" {
			ps.Add(name, n, "%s: %s", quote(word), problem)
			return
		}
		if first, twice := t.values.Get(net); twice {
			ps.Add(name, n, "%s stands here twice (first in line %d)", quote(word), first.line)
			return
		}
		t.values.Insert(net, span{uint32(end - len(value)), uint32(end), uint32(n)})
	})
	return t, ps.Err()
}

func parseNetwork(word string) (netip.Prefix, string) {
	if !strings.Contains(word, "/") {
		addr, err := netip.ParseAddr(word)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, "no address and no network: write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), ""
	}
	p, err := netip.ParsePrefix(word)
	switch {
	case err != nil:
		return netip.Prefix{}, "no network: write 192.0.2.0/24 or 2001:db8::/32"
	case p.Addr().Is4In6():
		return netip.Prefix{}, "an IPv4 network in IPv6 form: write it as IPv4, 192.0.2.0/24"
	case p != p.Masked():
		return netip.Prefix{}, "bits are set behind the prefix, so it is not clear what was meant: write " + p.Masked().String() + " or " + p.Addr().String()
	}
	return p, ""
}

// Find gives the value of the closest network around an address. What is no
// address is in no network.
func (t *Networks) Find(key string) Answer {
	addr, err := netip.ParseAddr(key)
	if err != nil {
		return Answer{}
	}
	s, ok := t.values.Lookup(addr.Unmap().WithZone(""))
	if !ok {
		return Answer{}
	}
	a := Answer{Found: true, Where: where(t.name, int(s.line))}
	if s.start < s.end {
		a.Values = []string{t.text[s.start:s.end]}
	}
	return a
}

// Len is the number of networks.
func (t *Networks) Len() int { return t.values.Size() }

package resolve

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strings"
)

const (
	port       = 53
	maxServers = 8
	maxConf    = 64 << 10
)

// ParseServers reads "192.0.2.1", "192.0.2.1:53", "2001:db8::1",
// "[2001:db8::1]:53".
func ParseServers(list []string) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, s := range list {
		if ap, err := netip.ParseAddrPort(s); err == nil {
			out = append(out, ap)
			continue
		}
		addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
		if err != nil {
			return nil, fmt.Errorf("name server %q: an address with or without a port is wanted", s)
		}
		out = append(out, netip.AddrPortFrom(addr, port))
	}
	if len(out) > maxServers {
		return nil, fmt.Errorf("%d name servers: at most %d", len(out), maxServers)
	}
	return out, nil
}

// SystemServers reads the name servers of a resolv.conf(5). Its other lines are
// not obeyed: a search list would make one domain another's. As there, no name
// server at all means the one on this machine.
func SystemServers(path string) ([]netip.AddrPort, error) {
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("read name servers: %w", err)
	}
	return parseConf(data), nil
}

func parseConf(data []byte) []netip.AddrPort {
	var out []netip.AddrPort
	sc := bufio.NewScanner(bytes.NewReader(data[:min(len(data), maxConf)]))
	for sc.Scan() && len(out) < maxServers {
		f := strings.Fields(sc.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(f[1]); err == nil {
			out = append(out, netip.AddrPortFrom(addr, port))
		}
	}
	if len(out) == 0 {
		out = append(out, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port))
	}
	return out
}

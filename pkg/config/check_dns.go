package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"filbert/pkg/mailaddr"
)

func (c *checker) checkDNS() {
	d := c.s.DNS
	for i, server := range d.Servers {
		key := fmt.Sprintf("dns.servers[%d]", i)
		if _, err := netip.ParseAddr(server); err == nil {
			continue
		}
		host, port, err := net.SplitHostPort(server)
		_, errAddr := netip.ParseAddr(host)
		n, errPort := strconv.ParseUint(port, 10, 16)
		if err != nil || errAddr != nil || errPort != nil || n == 0 {
			c.bad(key, fmt.Sprintf("%q is no address of a name server", server), `write "192.0.2.1", "192.0.2.1:53" or "[2001:db8::1]:53"`)
		}
	}
	c.longerThan0("dns.timeout", d.Timeout)
	c.longerThan0("dns.deadline", d.Deadline)
	if d.Deadline < d.Timeout {
		c.bad("dns.deadline", fmt.Sprintf("is %s, less than dns.timeout (%s), so no server could be given its time", d.Deadline, d.Timeout), "make it longer")
	}
	c.between("dns.cache_size", d.CacheSize, 0, 10_000_000)
	c.longerThan0("dns.max_ttl", d.MaxTTL)
	if d.NegativeTTL < 0 {
		c.longerThan0("dns.negative_ttl", d.NegativeTTL)
	}
}

// canonicalDomain is used to compare names that may be written in two ways.
func canonicalDomain(s string) string {
	a, err := mailaddr.New("x", s)
	if err != nil {
		return s
	}
	return a.Domain()
}

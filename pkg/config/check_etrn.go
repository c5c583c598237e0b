package config

import (
	"fmt"
	"net/netip"

	"filbert/pkg/pattern"
)

// checkETRN checks who may ask for the mail that waits for a domain.
func (c *checker) checkETRN() {
	for i := range c.s.ETRN {
		r := &c.s.ETRN[i]
		path := fmt.Sprintf("etrn[%d]", i)
		c.askingPatterns(path+".clients", r.Clients, pattern.Networks)
		c.askingPatterns(path+".domains", r.Domains, pattern.Domains)
		if len(r.Clients) == 0 {
			c.bad(path+".clients", "is missing: it says who may ask", `write clients = ["192.0.2.7"]`)
		}
		if len(r.Domains) == 0 {
			c.bad(path+".domains", "is missing: it says whose mail they may ask for", `write domains = ["example.org"]`)
		}
		for j, t := range r.Clients {
			if net, err := netip.ParsePrefix(t); t == "*" || err == nil && net.Bits() == 0 {
				c.warn(fmt.Sprintf("%s.clients[%d]", path, j), fmt.Sprintf("%q lets everyone on the internet have this mail tried once a minute", t),
					"name only the machines that the mail is for")
			}
		}
	}
}

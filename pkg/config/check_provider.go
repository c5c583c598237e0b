package config

import (
	"fmt"
	"strings"

	"filbert/pkg/pattern"
)

// checkProviders checks [provider.NAME].
func (c *checker) checkProviders() {
	owner := map[string]string{} // of patterns
	for _, name := range sortedKeys(c.s.Providers) {
		p := c.s.Providers[name]
		path := "provider." + name
		if !isWord(name) {
			c.bad(path, fmt.Sprintf("%q has characters that a name may not have", name), "use letters, digits, - _ . and :")
		}
		if len(p.MX) == 0 {
			c.bad(path+".mx", "is missing: nobody would know the provider's hosts", `write mx = ["*.mx.example.net"]`)
		}
		c.patterns(path+".mx", p.MX, pattern.Domains)
		for i, text := range p.MX {
			text = strings.ToLower(text)
			if first, ok := owner[text]; ok && first != name {
				c.warn(fmt.Sprintf("%s.mx[%d]", path, i), fmt.Sprintf("%q is a host of provider %q, too, which has its mail", text, first), "remove it from one of the two")
				continue
			}
			owner[text] = name
		}
		c.between(path+".deliveries", p.Deliveries, 0, 100_000)
		c.between(path+".start_concurrency", p.StartConcurrency, 0, 100_000)
		if p.Deliveries > 0 && p.StartConcurrency > p.Deliveries {
			c.warn(path+".start_concurrency", fmt.Sprintf("is %d; the provider never gets more than %d", p.StartConcurrency, p.Deliveries), "raise deliveries, or lower this one")
		}
		c.shape(path, &p.Shape)
		if p.WarmUp == nil {
			continue
		}
		for i, text := range p.WarmUp.Sources {
			if !c.anySource(text) {
				c.bad(fmt.Sprintf("%s.warm_up.sources[%d]", path, i), fmt.Sprintf("%q is none of the source_addresses of a transport", text), "add it to one, or remove it here")
			}
		}
	}
}

// anySource tells whether a transport connects from an address.
func (c *checker) anySource(text string) bool {
	for _, t := range c.s.Transports {
		if hasAddress(t.SourceAddresses, text) {
			return true
		}
	}
	return false
}

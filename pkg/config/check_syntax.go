package config

import (
	"fmt"

	"filbert/pkg/oldaddr"
)

// checkSyntax looks at the other ways of writing addresses.
func (c *checker) checkSyntax() {
	list := c.s.Domains.Syntax
	for i, name := range list {
		key := fmt.Sprintf("domains.syntax[%d]", i)
		if c.oneOf(key, name, oldaddr.Names()...) && contains(list[:i], name) {
			c.bad(key, fmt.Sprintf("%q is named twice", name), "remove one of the two")
		}
	}
}

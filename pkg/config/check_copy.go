package config

import (
	"fmt"

	"filbert/pkg/pattern"
)

// completeCopies numbers the rules without a name.
func (c *checker) completeCopies() {
	for i := range c.s.Copies {
		r := &c.s.Copies[i]
		if r.Name == "" {
			r.Name = fmt.Sprint(i + 1)
		}
		if r.Of == "" {
			r.Of = "recipients"
		}
	}
}

func (c *checker) checkCopies() {
	c.names("copy", len(c.s.Copies), func(i int) string { return c.s.Copies[i].Name })
	for i := range c.s.Copies {
		r := &c.s.Copies[i]
		path := fmt.Sprintf("copy[%d]", i)
		c.oneOf(path+".of", r.Of, "sender", "recipients")
		c.askingPatterns(path+".match", r.Match, pattern.Addresses)
		if len(r.Match) == 0 {
			c.bad(path+".match", "is missing: it says whose mail is copied", `write match = ["*@example.org"], or ["*"] for all mail`)
		}
		for j, to := range r.To {
			c.address(fmt.Sprintf("%s.to[%d]", path, j), to, true)
		}
		switch {
		case r.Lookup != "":
			c.lookupName(path+".lookup", r.Lookup)
		case len(r.To) == 0:
			c.bad(path+".to", "is missing: nobody gets the copy", `write to = ["archive@example.org"], or lookup = "NAME"`)
		}
		for j, name := range r.Listeners {
			c.listenerName(fmt.Sprintf("%s.listeners[%d]", path, j), name)
		}
	}
}

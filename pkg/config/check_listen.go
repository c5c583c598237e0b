package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"filbert/pkg/settings"
)

func (c *checker) checkListen() {
	c.names("listen", len(c.s.Listen), func(i int) string { return c.s.Listen[i].Name })
	seen := map[string]string{}
	for i := range c.s.Listen {
		l := &c.s.Listen[i]
		path := fmt.Sprintf("listen[%d]", i)
		c.listenAddress(path, l.Address, seen)
		c.between(path+".max_connections", l.MaxConnections, 1, 100_000)
		c.between(path+".max_per_client", l.MaxPerClient, 1, 100_000)
		c.oneOf(path+".bare_newline", l.BareNewline, "refuse", "normalize")
		if l.Qualify != "" && !isDomain(l.Qualify) {
			c.bad(path+".qualify", fmt.Sprintf("%q is no domain", l.Qualify), "write the domain that bare names belong to, like example.org")
		}
		if l.Trusted != nil {
			c.trusted(path+".trusted", l.Trusted)
		}
		c.sizeAtLeast(path+".min_rate", l.MinRate, 1)
		c.banner(path+".banner", l.Banner)
		c.listenWishes(path, l)
	}
}

// listenWishes checks what a listener offers senders as to time.
func (c *checker) listenWishes(path string, l *settings.Listen) {
	const most = 999_999_999 * time.Second // nine digits of seconds: RFC 4865, section 3; RFC 2852, section 2
	for _, t := range []struct {
		key string
		d   settings.Duration
	}{{".future_release", l.FutureRelease}, {".deliver_by_least", l.DeliverByLeast}} {
		if t.d.D() < 0 || t.d.D() > most {
			c.bad(path+t.key, fmt.Sprintf("%s is out of range; 0 to 999999999 seconds can be told to a client", t.d), "")
		}
	}
	if l.FutureRelease != 0 && !l.Submission {
		// RFC 4865, sections 3 and 4.2: offered by services of submission alone.
		c.bad(path+".future_release", "is for listeners of one's own users", "set submission = true, or leave it out")
	}
	if name := l.PriorityProfile; name != "" && !isProfile(name) {
		c.bad(path+".priority_profile", fmt.Sprintf("%q is no name of a policy", name), `write letters, digits, "-", "_" and ".", like "MIXER"`)
	}
}

// isProfile is priority-profile of RFC 6710, section 7: up to 20 letters, digits, hyphens,
// underscores and dots.
func isProfile(s string) bool {
	for _, r := range s {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !alnum && r != '-' && r != '_' && r != '.' {
			return false
		}
	}
	return s != "" && len(s) <= 20
}

// banner checks what goes into the greeting (RFC 5321, section 4.2: textstring).
func (c *checker) banner(key, text string) {
	if len(text) > 200 {
		c.bad(key, fmt.Sprintf("is %d characters long; the most is 200", len(text)), "")
	}
	for _, r := range text {
		if r < ' ' || r > '~' {
			c.bad(key, fmt.Sprintf("has the character %q, which a greeting may not have", r), "use printable ASCII")
			return
		}
	}
}

func (c *checker) listenAddress(path, address string, seen map[string]string) {
	key := path + ".address"
	if address == "" {
		c.bad(key, "is missing", `write address = ":25" for all addresses, or "192.0.2.1:25"`)
		return
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		c.bad(key, fmt.Sprintf("%q is no listening address", address), addressHint(address))
		return
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		hint := `write an IP address, or nothing for all: ":` + port + `"`
		if host == "localhost" {
			hint = fmt.Sprintf(`write "127.0.0.1:%s" or "[::1]:%s"`, port, port)
		}
		c.bad(key, fmt.Sprintf("%q is a name, and names can change while the suite listens", host), hint)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		c.bad(key, fmt.Sprintf("%q is no port", port), "write a number from 1 to 65535, like 25 or 587; 0 picks a free one")
	} else if n == 0 {
		return
	}
	if first, ok := seen[address]; ok {
		c.bad(key, fmt.Sprintf("%q is listened on already by %s", address, first), "one address and port can be used once")
		return
	}
	seen[address] = fmt.Sprintf("the [[listen]] at %s", c.pos(path))
}

func addressHint(address string) string {
	if addr, err := netip.ParseAddr(address); err == nil {
		return fmt.Sprintf("add the port: %q", netip.AddrPortFrom(addr, 25))
	}
	if n, err := strconv.ParseUint(address, 10, 16); err == nil {
		return fmt.Sprintf("write a colon in front: %q", fmt.Sprintf(":%d", n))
	}
	return `write host and port, like ":25", "192.0.2.1:25" or "[::1]:25"`
}

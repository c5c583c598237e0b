package mailaddr

import (
	"net/netip"
	"strings"
)

// The greatest lengths, in octets.
const (
	MaxLocal   = 64  // RFC 5321, section 4.5.3.1.1, quotes included
	MaxDomain  = 255 // RFC 5321, section 4.5.3.1.2
	MaxMailbox = 254 // RFC 5321, section 4.5.3.1.3: a path of 256 without < and >
	maxLabel   = 63  // RFC 1035, section 2.3.4
	maxDNSName = 253 // RFC 1035, section 2.3.4: 255 in wire form
)

// Address is a mail address. The zero value is the null address `<>`. Equal
// addresses are == to each other.
//
// Invariant: local is not empty unless domain is; domain is empty (a local
// part alone) or canonical.
type Address struct {
	local  string
	domain string
}

// Local is the local part without quotes and escapes. Its case is kept: only
// the host that delivers may say what it means (RFC 5321, section 2.4).
func (a Address) Local() string { return a.local }

// Domain is the domain: in lower case, with U-labels where the address had
// such; an address literal in its brackets; "" for a local part alone.
func (a Address) Domain() string { return a.domain }

// IsNull reports whether a is the null address.
func (a Address) IsNull() bool { return a == Address{} }

// IsLiteral gives the IP address of an address literal, and whether the domain
// is one. An IPv4 address mapped into IPv6 comes out as IPv4, so that a check
// for loopback or private addresses sees what would be connected to.
func (a Address) IsLiteral() (netip.Addr, bool) {
	if !strings.HasPrefix(a.domain, "[") {
		return netip.Addr{}, false
	}
	ip, err := parseLiteral(a.domain)
	if err != nil {
		return netip.Addr{}, false
	}
	return ip.Unmap(), true
}

// String is the form of RFC 5321, section 4.1.2, the local part in quotes only
// where it has to be; "" for the null address.
func (a Address) String() string {
	local := a.local
	if local != "" && !isDotString(local) {
		local = quote(local)
	}
	if a.domain == "" {
		return local
	}
	return local + "@" + a.domain
}

// Path is String between < and >.
func (a Address) Path() string { return "<" + a.String() + ">" }

// NeedsUTF8 reports whether the address can only go to a server with SMTPUTF8
// (RFC 6531) as it stands. When the domain alone is not ASCII, ASCIIDomain can
// still write it otherwise.
func (a Address) NeedsUTF8() bool { return !isASCII(a.local) || !isASCII(a.domain) }

// WithDomain is the same local part at another domain.
func (a Address) WithDomain(domain string) (Address, error) { return New(a.local, domain) }

// WithLocal is another local part (not quoted) at the same domain.
func (a Address) WithLocal(local string) (Address, error) { return New(local, a.domain) }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isAtext is RFC 5322, section 3.2.3, with the octets of UTF-8 as in RFC 6532,
// section 3.2.
func isAtext(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c >= 0x80:
		return true
	}
	return strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// isDotString reports whether s needs no quotes (RFC 5321, section 4.1.2).
func isDotString(s string) bool {
	prev := byte('.')
	for i := range len(s) {
		c := s[i]
		if c == '.' && prev == '.' || c != '.' && !isAtext(c) {
			return false
		}
		prev = c
	}
	return prev != '.'
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

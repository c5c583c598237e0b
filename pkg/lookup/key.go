package lookup

import (
	"net/netip"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/untrusted"
)

// Key gives the one form of a key, the same for what stands in a table and for
// what is asked: lower case, domains with A-labels, local parts in quotes only
// where they have to be, IP addresses as netip writes them, "<>" for the null
// sender. Text that is none of these is put into lower case and else kept, so
// that there is a form for everything; the second of two applications changes
// nothing.
//
// A text without an @ may be a domain or a local part, and nothing tells which.
// When it has a dot it is taken for a domain; that does no harm to a local part,
// because what is asked is treated alike.
func Key(s string) string {
	key := AddressKey(s)
	if isASCII(key) || !strings.Contains(key, ".") || strings.ContainsAny(key, "@ \"") {
		return key
	}
	if domain, ok := domainKey(key); ok {
		return domain
	}
	return key
}

// AddressKey is Key that leaves a text without an @ alone, but for its case: what
// servers are asked for, who keep local parts as they are written.
func AddressKey(s string) string {
	if s == "" {
		return "<>"
	}
	key := strings.ToLower(s)
	if isASCII(key) && !strings.ContainsAny(key, "\":[") {
		return key
	}
	if addr, err := netip.ParseAddr(key); err == nil {
		return addr.Unmap().WithZone("").String()
	}
	i := strings.LastIndexByte(key, '@')
	if i < 0 {
		return key
	}
	domain, ok := domainKey(key[i+1:])
	switch {
	case !ok:
		return key
	case i == 0:
		return "@" + domain
	}
	a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(key[:i+1] + domain))
	if err != nil {
		return key
	}
	// Lower case once more: the form of an address literal has capitals.
	return strings.ToLower(a.String())
}

// domainKey is a domain with A-labels, in lower case.
func domainKey(s string) (string, bool) {
	a, err := mailaddr.New("x", s)
	if err != nil || s == "" {
		return "", false
	}
	name, err := a.ASCIIDomain()
	if err != nil {
		return "", false
	}
	return strings.ToLower(name), true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

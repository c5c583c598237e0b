package mailaddr

import (
	"net/netip"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// ASCIIDomain is the domain as DNS and servers without SMTPUTF8 know it, with
// A-labels (RFC 5891); a literal and an ASCII domain are unchanged.
func (a Address) ASCIIDomain() (string, error) {
	if isASCII(a.domain) {
		return a.domain, nil
	}
	return toASCII(a.domain)
}

// canonicalDomain checks a domain or an address literal and gives its one form.
func canonicalDomain(s string) (string, error) {
	if len(s) > MaxDomain {
		return "", syntax("domain longer than %d octets", MaxDomain)
	}
	if strings.HasPrefix(s, "[") {
		ip, err := parseLiteral(s)
		switch {
		case err != nil:
			return "", err
		case ip.Is4():
			return "[" + ip.String() + "]", nil
		default:
			return "[IPv6:" + ip.String() + "]", nil
		}
	}
	if isASCII(s) {
		s = strings.ToLower(s)
		return s, checkDomain(s)
	}
	return canonicalUDomain(s)
}

// canonicalUDomain maps a domain that is not ASCII as IDNA lookups do (case,
// width, normal form). The labels are checked before: the mapping would turn
// three other full stops into dots, and drop characters.
func canonicalUDomain(s string) (string, error) {
	if err := checkText(s); err != nil {
		return "", err
	}
	if strings.ContainsAny(s, "\u3002\uff0e\uff61") {
		return "", syntax("full stop other than `.` in the domain")
	}
	if err := checkDomain(s); err != nil {
		return "", err
	}
	u, err := idna.Lookup.ToUnicode(s)
	if err != nil {
		return "", syntax("domain not allowed by IDNA")
	}
	if err := checkDomain(u); err != nil {
		return "", err
	}
	if isASCII(u) {
		return u, nil
	}
	if err := checkULetters(u); err != nil {
		return "", err
	}
	// Mapping twice must change nothing more: an address has one form.
	if again, err := idna.Lookup.ToUnicode(u); err != nil || again != u {
		return "", syntax("domain has no stable form under IDNA")
	}
	if _, err := toASCII(u); err != nil {
		return "", err
	}
	return u, nil
}

// checkULetters holds U-labels to letters, marks and digits, and the
// characters that RFC 5892, appendix A, adds by context. The mapping alone
// lets symbols pass, among them slashes and dots that are not ASCII.
func checkULetters(u string) error {
	const byContext = "\u00b7\u0375\u05f3\u05f4\u30fb\u200c\u200d"
	for _, r := range u {
		if r >= 0x80 && !unicode.In(r, unicode.L, unicode.M, unicode.Nd) && !strings.ContainsRune(byContext, r) {
			return syntax("character %U in the domain", r)
		}
	}
	return nil
}

func toASCII(u string) (string, error) {
	ascii, err := idna.Lookup.ToASCII(u)
	if err != nil {
		return "", syntax("domain not allowed by IDNA")
	}
	// The labels once more: x/net/idna lets empty ones pass.
	if err := checkDomain(ascii); err != nil {
		return "", err
	}
	return ascii, nil
}

// checkDomain is the grammar of RFC 5321, section 4.1.2 (Domain), over octets:
// labels of letters, digits and inner hyphens, with the octets of UTF-8 as in
// RFC 6531, section 3.3. A last label of digits alone is refused: it is no
// top-level domain (RFC 3696, section 2), and a connect call would take
// 127.0.0.1 without brackets for an address that nobody has checked.
func checkDomain(s string) error {
	if len(s) > maxDNSName {
		return syntax("domain longer than %d octets", maxDNSName)
	}
	var label string
	for rest, more := s, true; more; {
		label, rest, more = strings.Cut(rest, ".")
		switch {
		case label == "":
			return syntax("empty label in the domain")
		case len(label) > maxLabel && isASCII(label):
			return syntax("label longer than %d octets in the domain", maxLabel)
		case label[0] == '-' || label[len(label)-1] == '-':
			return syntax("label with a hyphen at its end in the domain")
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && (c < 0x80 && !isAlnum(c)) {
				return syntax("character not allowed in a domain")
			}
		}
	}
	if strings.Trim(label, "0123456789") == "" {
		return syntax("domain ends in a number")
	}
	return nil
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// parseLiteral reads an address literal with its brackets (RFC 5321, section
// 4.1.3). Only IPv4 and IPv6 are known; other tags are refused, as nothing can
// be done with them.
func parseLiteral(s string) (netip.Addr, error) {
	in, ok := strings.CutPrefix(s, "[")
	if in, ok = strings.CutSuffix(in, "]"); !ok {
		return netip.Addr{}, syntax("address literal without its bracket")
	}
	const tag = "IPv6:"
	want4 := len(in) < len(tag) || !strings.EqualFold(in[:len(tag)], tag)
	if !want4 {
		in = in[len(tag):]
	}
	ip, err := netip.ParseAddr(in)
	if err != nil || ip.Is4() != want4 || ip.Zone() != "" {
		return netip.Addr{}, syntax("bad address literal")
	}
	return ip, nil
}

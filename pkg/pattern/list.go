package pattern

import (
	"net/netip"
	"strings"
)

// A Kind says what the texts are that a list is matched against.
type Kind int

// The kinds.
const (
	Domains    Kind = iota // example.edu, [192.0.2.1]
	LocalParts             // user, without quotes
	Addresses              // user@example.edu; "" is the null sender
	Networks               // client addresses
)

// String is what an error message calls one text of the kind.
func (k Kind) String() string {
	switch k {
	case Domains:
		return "domain"
	case LocalParts:
		return "local part"
	case Addresses:
		return "address"
	default:
		return "network"
	}
}

// A List is a compiled list of patterns. The zero value contains nothing. It
// may be used by several goroutines.
type List struct {
	kind  Kind
	steps []step
}

// step is one pattern, or a run of exact names with the same sign: so a list
// of ten thousand domains is one map.
type step struct {
	not   bool
	exact map[string]struct{}
	match func(text string) bool
	net   netip.Prefix
}

// Empty reports whether the list has no patterns at all, which many settings
// take for "not restricted".
func (l List) Empty() bool { return len(l.steps) == 0 }

// Match reports whether a domain, local part or address is in the list. For a
// list of networks the text is parsed; one that is no address is not in it.
func (l List) Match(text string) bool {
	in, _ := l.decide(text)
	return in
}

// decide is Match that also tells whether any pattern matched.
func (l List) decide(text string) (in, decided bool) {
	if l.kind == Networks {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return false, false
		}
		return l.decideAddr(addr)
	}
	text = strings.ToLower(text)
	ascii := l.ascii(text)
	for i := range l.steps {
		s := &l.steps[i]
		if s.matches(text) || ascii != text && s.matches(ascii) {
			return !s.not, true
		}
	}
	return false, false
}

// ascii is the text with its domain in A-labels. Exact names are kept so;
// globs and expressions may have been written for either form.
func (l List) ascii(text string) string {
	head, domain := "", text
	if l.kind == Addresses {
		local, d, _ := cutLast(text, "@")
		head, domain = local+"@", d
	}
	if l.kind == LocalParts || isASCII(domain) {
		return text
	}
	name, err := canonical(domain)
	if err != nil {
		return text
	}
	return head + name
}

// MatchAddr reports whether an address is in a list of networks; it is in no
// list of another kind. An IPv4 address mapped into IPv6 counts as IPv4, and a
// zone is ignored.
func (l List) MatchAddr(addr netip.Addr) bool {
	in, _ := l.decideAddr(addr)
	return in
}

func (l List) decideAddr(addr netip.Addr) (in, decided bool) {
	if l.kind != Networks || !addr.IsValid() {
		return false, false
	}
	addr = addr.Unmap().WithZone("")
	for i := range l.steps {
		s := &l.steps[i]
		if s.net.Contains(addr) || s.match != nil && s.match("") {
			return !s.not, true
		}
	}
	return false, false
}

func (s *step) matches(text string) bool {
	if s.exact != nil {
		_, ok := s.exact[text]
		return ok
	}
	return s.match(text)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

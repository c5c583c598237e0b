package smtp

import (
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/untrusted"
)

// Node is the argument of ETRN: a domain, and whether what lies below it is meant, too.
type Node struct {
	Domain     string // in lower case, with A-labels
	Subdomains bool
}

// ParseETRN reads the argument of ETRN (RFC 1985): a domain, with "@" in front for all
// names below it as well. "#" asks for a queue by a name of the server's own, of which
// there are none here; an address literal is nobody's domain.
func ParseETRN(arg untrusted.Text) (Node, *Reply) {
	name, subdomains := strings.CutPrefix(arg.ForWire(), "@") // checked below
	bad := func(why string) (Node, *Reply) { return Node{}, NewReply(501, Status{5, 5, 4}, why) }
	switch {
	case name == "":
		return bad("Usage: ETRN domain")
	case name[0] == '#':
		return bad("Queues have no names here, give a domain")
	case name[0] == '[':
		return bad("Domain wanted, not an address")
	}
	a, err := mailaddr.New("x", name)
	if err != nil {
		return bad("Bad domain")
	}
	domain, err := a.ASCIIDomain()
	if err != nil || len(domain) > MaxDomain {
		return bad("Bad domain")
	}
	return Node{Domain: domain, Subdomains: subdomains}, nil
}

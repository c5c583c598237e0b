package router

import (
	"fmt"
	"strings"

	"filbert/pkg/mailaddr"
)

// smartUser is the driver `smartuser`: whoever is left goes to one address, in
// which {local_part}, {domain} and {detail} stand for the recipient's own.
type smartUser struct {
	director      *director
	local, domain string // templates; domain "" = the recipient's
}

func newSmartUser(d *director) (*smartUser, error) {
	s := &smartUser{director: d, local: d.set.Address}
	if before, after, found := cutLast(d.set.Address, "@"); found {
		s.local, s.domain = before, after
	}
	probe, err := mailaddr.New("x", "example.org")
	if err != nil {
		return nil, err
	}
	if _, err := s.fill(probe, ""); err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	return s, nil
}

// fill makes the new address. The values stand for themselves: the result is
// made of its two parts and checked, never parsed as one text.
func (s *smartUser) fill(a mailaddr.Address, detail string) (mailaddr.Address, error) {
	r := strings.NewReplacer("{local_part}", a.Local(), "{domain}", a.Domain(), "{detail}", detail)
	domain := s.domain
	if domain == "" {
		domain = a.Domain()
	}
	return mailaddr.New(r.Replace(s.local), r.Replace(domain))
}

// direct redirects, unless that would lead back.
func (s *smartUser) direct(q *query, n *node) said {
	list := candidates(n.addr, s.director.set.Separator)
	last := list[len(list)-1]
	to, err := s.fill(last.addr, last.detail)
	if err != nil {
		return said{why: fmt.Sprintf("no address can be made: %v", err)}
	}
	if to == n.addr || n.descends(to) {
		return said{why: fmt.Sprintf("%s is one of its own ancestors", to)}
	}
	c := n.child(s.director.report(q), 1)
	c.rcpt.Address = to
	return said{decision: redirected, children: []node{c}, why: to.String()}
}

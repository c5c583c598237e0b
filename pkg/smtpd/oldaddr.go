package smtpd

import (
	"errors"

	"filbert/pkg/oldaddr"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// meant puts the address that a recipient means in its place where it is written
// in one of the ways of domains.syntax. All decisions come after it, so that an
// address within an address gets nobody further than the same address by itself.
func (s *session) meant(p *smtp.RcptParams) (a action, stop bool) {
	to, err := s.site.syntax.Meant(p.To, func(domain string) (bool, error) {
		if domain == "" {
			return false, nil // <postmaster>: RFC 5321, section 4.5.1
		}
		return s.in(&s.site.local, domain)
	})
	switch {
	case errors.Is(err, oldaddr.ErrDoubtful):
		s.tx.refused++
		a = refuse(553, 1, 3, "Can't tell which mailbox is meant; write user@domain")
		a.to = &p.To
		return a, true
	case err != nil:
		return ask(err, p), true
	case to != p.To && p.ORcpt.Addr.IsEmpty():
		// Reports name the recipient as the sender knows it (RFC 3461, section 5.2.1).
		p.ORcpt.Type, p.ORcpt.Addr = "rfc822", untrusted.From(p.To.String())
	}
	p.To = to
	return a, false
}

package smtpclient

import (
	"fmt"
	"slices"
	"strings"

	"filbert/pkg/outcome"
	"filbert/pkg/untrusted"
)

// logIn is AUTH with the best mechanism that the server has. A refusal defers:
// it says that our configuration is wrong, or the server's, and nothing of the
// mail.
//
// Requires: the connection is one over which a password may go (session.begin).
func (s *session) logIn() *failure {
	s.row.Set("logging in", "", "")
	l := s.target.login.Value()
	why := fmt.Errorf("the server has none of %s, but %q", strings.Join(mechanisms(), ", "), strings.Join(s.caps.AuthMethods, " "))
	for _, name := range mechanisms() {
		if !slices.Contains(s.caps.AuthMethods, name) {
			continue
		}
		x, err := newExchange(name, l)
		if err != nil {
			why = fmt.Errorf("%s: %w", name, err)
			continue
		}
		v, f := s.converseAuth(x)
		switch {
		case f != nil:
			return f
		case v.granted:
			return nil
		case v.out.Code != 504 && v.out.Code != 534: // RFC 4954, section 6
			return s.refusedLogin(v, l)
		}
		// Offered, but not for us: the next may be.
		why = fmt.Errorf("the server takes %s back with %d", name, v.out.Code)
	}
	return s.noLogin(why)
}

// converseAuth holds the dialogue of one mechanism to its end.
func (s *session) converseAuth(x *exchange) (ruling, *failure) {
	line := x.begin(nil)
	for {
		if f := s.say(line, s.target.route.to.of(stepAuth), stepAuth); f != nil {
			return ruling{}, f
		}
		r, f := s.hear(stepAuth)
		if f != nil {
			return ruling{}, f
		}
		if r.Code != 334 {
			v := judge(stepAuth, r)
			if err := x.granted(); v.granted && err != nil {
				return v, s.noLogin(err)
			}
			return v, nil
		}
		var err error
		if line, err = x.answer(line[:0], r); err != nil {
			// RFC 4954, section 4: "*" would call it off. Who sends such
			// challenges gets no further words from us.
			return ruling{}, s.noLogin(err)
		}
	}
}

// noLogin is a failure in our own words. The session is over: it has to have
// been logged in to be of use.
func (s *session) noLogin(err error) *failure {
	s.dead = true
	return &failure{
		out: outcome.Defer(outcome.Auth, statusOf(outcome.Auth), "%s: transport %s cannot log in: %v",
			s.target.label(), s.target.route.name, err),
		cause: fmt.Errorf("log in: %w", err),
	}
}

// refusedLogin is one in the server's words, if these do not quote the secret
// back to us: they go into logs and reports.
func (s *session) refusedLogin(v ruling, l login) *failure {
	if quotes(v.out.Text, l) {
		v.out.Text = untrusted.From(fmt.Sprintf("%d (the server's text is left out, as it has the password in it)", v.out.Code))
	}
	return s.refused(v)
}

// exposed says why a password may not go over the connection as it is, "" if it
// may: it is to this machine, or to a server whose certificate was verified.
func (s *session) exposed() string {
	switch {
	case s.target.login == nobodyAtAll, s.target.local(), s.verified:
		return ""
	case s.caps.StartTLS:
		return "the server took its offer of STARTTLS back"
	}
	return "the server does not offer STARTTLS"
}

// unsafe is the failure of a server to which the password must not go.
func (s *session) unsafe(why string) *failure {
	s.dead = true
	return &failure{
		out: outcome.Defer(outcome.TLS, statusOf(outcome.TLS),
			"%s: transport %s has a password for this server, which is given over verified TLS only: %s; check host name and port (587, or 465), and that this machine's list of authorities has the one that signed its certificate",
			s.target.label(), s.target.route.name, why),
		cause: fmt.Errorf("verified TLS: %s", why),
	}
}

package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/quirk"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// errHandshake is wrapped by the failures after which a connection in clear is
// worth trying, errNoEHLO by those after which one with HELO is.
var (
	errHandshake = errors.New("TLS handshake")
	errNoEHLO    = errors.New("hung up at EHLO")
)

// dialFunc connects; tests have their own.
type dialFunc func(ctx context.Context, t *target) (net.Conn, error)

// dial connects to an address or a Unix socket. No names are looked up. Keep-
// alive probes are off, since every wait has a shorter time-out of its own.
func dial(ctx context.Context, t *target) (net.Conn, error) {
	d := net.Dialer{Timeout: t.route.conf.ConnectTimeout.D(), KeepAlive: -1}
	if t.socket != "" {
		return d.DialContext(ctx, "unix", t.socket)
	}
	if from := t.source(); from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(from)
	}
	return d.DialContext(ctx, "tcp", t.addr.String())
}

// how says what an earlier connection of this attempt has taught.
type how struct {
	inClear  bool // TLS does not work
	heloOnly bool // EHLO makes it hang up, or is known not to work
	short    bool // heloOnly is what is remembered
	ehlo     quirk.Mark
	seen     *quirk.Seen // by all connections
}

// open makes a session: connection, greeting, EHLO, STARTTLS. Where TLS or
// EHLO cannot be had, a fresh connection without is tried, as mail in clear is
// better than none while nobody has asked for more.
func (c *Client) open(ctx context.Context, t *target, end time.Time) (*session, *failure) {
	w := how{heloOnly: t.advice.HELO, short: t.advice.HELO, seen: new(quirk.Seen)}
	for {
		s, f := c.openOnce(ctx, t, end, w)
		if f == nil {
			return s, nil
		}
		if !w.again(t, f) {
			f.seen = w.seen
			return nil, f
		}
	}
}

func (c *Client) openOnce(ctx context.Context, t *target, end time.Time, w how) (*session, *failure) {
	row := c.board.Start()
	label := t.label()
	row.Set("connecting", "", label)
	began := time.Now()
	conn, err := c.dial(ctx, t)
	if err != nil {
		row.End()
		return nil, connectionFailure(t, err, connecting)
	}
	s := &session{target: *t, key: t.key(), link: newLink(conn), row: row, label: label, opened: time.Now(), seen: w.seen, short: w.short}
	s.asked = s.opened
	w.seen.Times.Took(quirk.Connect, s.opened.Sub(began))
	row.Set("greeting", "", "")
	s.conn, s.end = s.link, end
	defer s.cutOff(ctx)()
	if f := s.begin(c, w); f != nil {
		s.dead = true
		s.hangUp()
		return nil, f
	}
	return s, nil
}

// begin is the dialogue up to where MAIL may follow.
func (s *session) begin(c *Client, w how) *failure {
	if s.target.tlsFirst() {
		if f := s.handshake(c); f != nil {
			return f
		}
	}
	r, f := s.hear(stepGreeting)
	if f != nil {
		return f
	}
	if v := judge(stepGreeting, r); !v.granted {
		return s.refused(v)
	}
	if f := s.hello(w); f != nil {
		return f
	}
	if s.wantsTLS(w) {
		if f := s.startTLS(c); f != nil {
			return f
		}
	}
	if why := s.exposed(); why != "" {
		return s.unsafe(why)
	}
	if s.target.login == nobodyAtAll {
		return nil
	}
	return s.logIn()
}

// wantsTLS tells whether STARTTLS comes next.
func (s *session) wantsTLS(w how) bool {
	return s.caps.StartTLS && s.tls == "" && !w.inClear && s.key.tls != "off" && s.target.socket == ""
}

// clearWillDo tells whether mail may go in clear where TLS does not work.
func (t *target) clearWillDo() bool { return t.policy() == opportunistic && !t.tlsFirst() }

// refused is a failure in the server's words.
func (s *session) refused(v ruling) *failure {
	s.sign(&v.out)
	return &failure{out: v.out, cause: fmt.Errorf("%s said %d", s.target.label(), v.out.Code)}
}

// hello says EHLO or LHLO and takes in what is offered. To a 5yz, which is how
// old servers and strange filters answer, HELO follows (RFC 5321, section
// 4.1.4); LMTP has nothing to fall back to.
func (s *session) hello(w how) *failure {
	verb := "EHLO "
	switch {
	case s.target.route.conf.IsLMTP():
		verb = "LHLO "
	case w.heloOnly:
		verb = "HELO "
	}
	failed := w.ehlo // of EHLO
	for {
		r, f := s.ask(verb+s.target.route.helo+"\r\n", stepHello)
		if f != nil {
			if verb == "EHLO " && f.out.Kind == outcome.LostConnection {
				f.cause = fmt.Errorf("%w: %w", errNoEHLO, f.cause)
			}
			if w.short {
				f.cause = fmt.Errorf("%w: %w", errShort, f.cause)
			}
			return f
		}
		v := judge(stepHello, r)
		switch {
		case v.granted:
			s.caps = smtp.Capabilities{}
			if verb == "HELO " {
				s.sawHELO(failed)
			} else {
				s.caps = smtp.ParseCapabilities(r)
				s.saw(r)
			}
			return s.checkLoop(r)
		case verb == "EHLO " && r.Permanent() && !v.over:
			verb = "HELO "
			failed = quirk.Mark{How: quirk.HowRefused, Code: r.Code, Text: r.Text}
		default:
			f := s.refused(v)
			if w.short {
				f.cause = fmt.Errorf("%w: %w", errShort, f.cause)
			}
			return f
		}
	}
}

func (s *session) ask(command string, what step) (smtp.ServerReply, *failure) {
	if f := s.say([]byte(command), s.target.route.to.of(what), what); f != nil {
		return smtp.ServerReply{}, f
	}
	return s.hear(what)
}

// checkLoop finds out that we talk to ourselves: a server on the port of SMTP
// that has our own name. Another port is the choice of an administrator, who
// may well run two instances on one machine.
func (s *session) checkLoop(r smtp.ServerReply) *failure {
	name, _, _ := strings.Cut(r.Text.ForWire(), "\n")
	name, _, _ = strings.Cut(name, " ")
	port := s.target.route.loopPort
	if port == 0 || s.target.addr.Port() != port || !strings.EqualFold(name, s.target.route.helo) {
		return nil
	}
	return &failure{out: outcome.Fail(outcome.Loop, smtp.Status{Class: 5, Subject: 4, Detail: 6},
		"mail loops back to this host: %s greets with our own name %s", s.target.label(), s.target.route.helo)}
}

// startTLS changes to TLS (RFC 3207) and says EHLO again, because what was
// offered in clear may have been an attacker's. A server that refuses STARTTLS
// goes on in clear.
func (s *session) startTLS(c *Client) *failure {
	r, f := s.ask("STARTTLS\r\n", stepStartTLS)
	if f != nil {
		return f
	}
	switch v := judge(stepStartTLS, r); {
	case v.over:
		return s.refused(v)
	case !v.granted:
		return nil
	}
	// RFC 3207, section 6: what came in clear behind the 220 would be read
	// as if it had come inside TLS. Nobody honest sends that.
	if err := s.clean(); err != nil {
		return s.failed(err, "starting TLS")
	}
	if f := s.handshake(c); f != nil {
		return f
	}
	return s.hello(how{})
}

// handshake changes to TLS.
func (s *session) handshake(c *Client) *failure {
	t := tls.Client(s.link, c.tlsConfig(&s.target))
	_ = t.SetDeadline(s.deadline(s.target.route.to.of(stepStartTLS))) // an error shows in the handshake
	if err := t.Handshake(); err != nil {
		return s.noTLS(err)
	}
	_ = t.SetDeadline(time.Time{})
	// One word, as in the log: TLSv1.3.
	s.conn, s.tls = t, strings.Replace(tls.VersionName(t.ConnectionState().Version), " ", "v", 1)
	s.verified = s.key.tls == verified
	if s.seen != nil {
		s.seen.Secured, s.seen.TLS = true, quirk.Mark{}
	}
	return nil
}

func (s *session) noTLS(err error) *failure {
	if s.seen != nil {
		s.seen.TLS = quirk.Mark{How: quirk.HowBroken, Text: untrusted.From(err.Error())}
	}
	f := s.unsafe(err.Error())
	if s.key.tls != verified {
		f.out = outcome.Defer(outcome.TLS, statusOf(outcome.TLS), "%s: TLS handshake: %v", s.target.label(), err)
	}
	f.cause = fmt.Errorf("%w: %w", errHandshake, connectionFailure(&s.target, err, "starting TLS").cause)
	return f
}

// tlsConfig asks for encryption without knowing to whom (RFC 7435): no name is
// verified, and old versions are taken, as the alternative is clear text. A
// server that gets a password must prove its name, to the authorities that this
// machine trusts.
func (c *Client) tlsConfig(t *target) *tls.Config {
	name := strings.TrimSuffix(t.name, ".")
	literal := strings.Trim(name, "[]")
	if t.policy() == verified {
		if name == "" {
			literal = t.addr.Addr().String()
		}
		// Without resumption: what is proved is proved on each connection.
		return &tls.Config{ServerName: literal, RootCAs: c.roots, MinVersion: tls.VersionTLS12}
	}
	if net.ParseIP(literal) != nil {
		name = "" // RFC 6066, section 3: no literals in SNI
	}
	return &tls.Config{
		ServerName:         name,
		InsecureSkipVerify: true, // opportunistic: see above
		MinVersion:         tls.VersionTLS10,
		ClientSessionCache: c.tickets,
	}
}

package smtpclient

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/quirk"
	"filbert/pkg/service"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// A session is a connection to a server that has heard our EHLO. One job uses
// it at a time.
type session struct {
	chat
	target target
	key    key
	link   *link // below TLS, if any
	row    *service.Row
	label  string // target.label, which is asked for with every message
	caps   smtp.Capabilities
	tls    string // version in use, "" in clear
	// verified: the server has shown a certificate for its name.
	verified bool
	opened   time.Time
	uses     int  // transactions begun
	reset    bool // the last one was left open
	dead     bool // of no further use
	most     int  // recipients the server was seen to take at once; 0: no limit seen
	short    bool // greeted with HELO because of what is remembered

	seen  *quirk.Seen // what the server shows, until somebody was told of it; else nil
	asked time.Time   // the last command went out, where that is of interest

	out   []byte      // commands on their way
	tx    transaction // the present one; its slices are used again
	timer *time.Timer // ends the idle time; belongs to the pool
}

// say sends commands. Whatever the server has sent by now came too early.
func (s *session) say(b []byte, timeout time.Duration, doing step) *failure {
	err := s.clean()
	if err == nil {
		err = s.write(b, timeout)
	}
	if err != nil {
		return s.failed(err, "sending "+doing.String())
	}
	s.awaits()
	return nil
}

// hear reads the reply to a step.
func (s *session) hear(what step) (smtp.ServerReply, *failure) {
	r, err := s.reply(s.target.route.to.of(what))
	if err != nil {
		return r, s.failed(err, "waiting for the reply to "+what.String())
	}
	s.took(what)
	return r, nil
}

// failed is a failure of the connection.
func (s *session) failed(err error, doing string) *failure {
	s.dead = true
	return connectionFailure(&s.target, err, doing)
}

// sign adds who said it to an outcome in the server's words.
func (s *session) sign(o *outcome.Outcome) {
	o.Transport = s.target.route.name
	if o.Code == 0 {
		return
	}
	o.Remote = s.target.name
	if o.Remote == "" {
		o.Remote = s.target.addr.Addr().String()
	}
	if s.target.socket == "" {
		o.RemoteIP = s.target.addr.Addr().String()
	}
	o.TLS = s.tls
	if o.Class == outcome.Delivered {
		// RFC 3461, section 5.2.2. An LMTP server delivers and does not relay.
		o.DSNPassed = s.caps.Extensions.Has(smtp.ExtDSN)
		o.Relayed = !o.DSNPassed && !s.target.route.conf.IsLMTP()
		o.ByPassed = s.caps.Extensions.Has(smtp.ExtDeliverBy)
	}
	o.Text = short(o.Text)
}

// unsure adds what everybody must know who reads of a failure after the end of
// data was sent.
func unsure(t untrusted.Text) untrusted.Text {
	return t.Plus("; the message may have been delivered and will be sent again")
}

// maxText is what is kept of a server's words. Outcomes travel and are filed
// once for each recipient.
const maxText = 1000

func short(t untrusted.Text) untrusted.Text {
	return t.Clip(maxText)
}

// usable tells whether a session that was kept may begin another transaction
// at the time now: not too old, and the server has neither spoken nor hung up
// meanwhile. What else there is to ask, give has asked before keeping it.
func (s *session) usable(now time.Time) bool {
	return now.Sub(s.opened) < s.target.route.conf.ConnectionMaxAge.D() && s.quiet()
}

func (s *session) maxUses() int {
	uses := s.target.route.conf.ConnectionMaxUses
	if n := s.caps.LimitsMails; n > 0 {
		uses = min(uses, n) // RFC 9422, section 4.2
	}
	return uses
}

// quiet tells whether the server has sent nothing, not even the end of the
// connection. An unasked reply that lies there would be read as the answer to
// our next command, every later one would be off by one, and in the end a
// refusal of one message could pass for the acceptance of another.
func (s *session) quiet() bool {
	if s.tls == "" {
		return s.link.quiet()
	}
	// TLS 1.3 servers send session tickets when they like: crypto/tls has to
	// read what there is, and to find no text in it.
	s.link.probing = true
	defer func() { s.link.probing = false }()
	var b [1]byte
	n, err := s.conn.Read(b[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// quit says goodbye without waiting for an answer.
func (s *session) quit() {
	if !s.dead {
		s.end = time.Time{}
		_ = s.write([]byte("QUIT\r\n"), quitTime) // it may be gone already
	}
	s.hangUp()
}

// hangUp closes. A dead connection is closed below TLS, which would else try
// to say goodbye to somebody who may not read.
func (s *session) hangUp() {
	s.row.End()
	if s.dead {
		s.link.Close()
		return
	}
	s.conn.Close()
}

// A link is the network connection below the session. It can be asked whether
// there is something to read, without waiting.
type link struct {
	net.Conn
	raw     syscall.RawConn // nil for connections that are no socket (tests)
	probing bool            // Read does not wait
}

func newLink(c net.Conn) *link {
	l := &link{Conn: c}
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			l.raw = raw
		}
	}
	return l
}

// Read reads; while probing, what is there or a time-out.
func (l *link) Read(b []byte) (int, error) {
	if !l.probing {
		return l.Conn.Read(b)
	}
	return l.poll(b, 0)
}

func (l *link) quiet() bool {
	var b [1]byte
	_, err := l.poll(b[:], syscall.MSG_PEEK)
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// poll receives without waiting; a time-out means that nothing is there, and
// 0 octets without error the end.
func (l *link) poll(b []byte, flags int) (n int, err error) {
	if l.raw == nil {
		return 0, os.ErrDeadlineExceeded
	}
	rerr := l.raw.Read(func(fd uintptr) bool {
		n, _, err = syscall.Recvfrom(int(fd), b, flags|syscall.MSG_DONTWAIT)
		return true
	})
	switch {
	case rerr != nil:
		return 0, fmt.Errorf("poll: %w", rerr)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, os.ErrDeadlineExceeded
	case err != nil:
		return 0, fmt.Errorf("poll: %w", err)
	case n == 0:
		return 0, errHungUp
	}
	return n, nil
}

var errHungUp = errors.New("the server hung up")

package smtptest

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Mail is a message that a Sink has taken.
type Mail struct {
	From    string   // the argument of MAIL, parameters too
	To      []string // the arguments of RCPT
	Content string   // without the dots of the transport
	Conn    int      // which connection it came over, from 1
	TLS     bool
	Login   string // the mechanism that the client has logged in by
}

// Options of a Sink.
type Options struct {
	Name       string   // "sink.test" if empty
	Extensions []string // nil: PIPELINING, SIZE, 8BITMIME, DSN; STARTTLS works if named
	LMTP       bool
	Listener   net.Listener // nil: a TCP port of loopback
	Discard    bool         // count messages, but do not keep them
	// Certificate is shown instead of one that nobody vouches for.
	Certificate *tls.Certificate
	// TLSFirst begins TLS before the greeting.
	TLSFirst bool
	// Login makes the server's side of an AUTH mechanism; mail is taken only of
	// who has logged in, and AUTH offered only as Extensions say.
	Login func(mechanism string) Login
}

// Login is the server's side of one AUTH dialogue. The first response is nil
// where the client has sent none.
type Login interface {
	Next(response []byte) (challenge []byte, done bool, err error)
}

// Sink is a server that takes all mail.
type Sink struct {
	l    net.Listener
	opts Options
	tls  *tls.Config

	mu    sync.Mutex
	mails []Mail
	count int
	conns map[net.Conn]bool
	made  int
	most  int
	ended sync.WaitGroup
}

// Drink starts a Sink.
func Drink(t testing.TB, o Options) *Sink {
	t.Helper()
	if o.Name == "" {
		o.Name = "sink.test"
	}
	if o.Extensions == nil {
		o.Extensions = []string{"PIPELINING", "SIZE 50000000", "8BITMIME", "DSN"}
	}
	if o.Listener == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		o.Listener = l
	}
	s := &Sink{
		l: o.Listener, opts: o, conns: map[net.Conn]bool{},
		tls: &tls.Config{Certificates: []tls.Certificate{Certificate(t)}},
	}
	if o.Certificate != nil {
		s.tls.Certificates[0] = *o.Certificate
	}
	s.ended.Go(s.accept)
	t.Cleanup(s.Close)
	return s
}

// Addr is where it listens.
func (s *Sink) Addr() netip.AddrPort { return netip.MustParseAddrPort(s.l.Addr().String()) }

// Mails is what has been taken so far.
func (s *Sink) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Count is how many messages have been taken, MostConns how many connections
// there were at once, Conns in all.
func (s *Sink) Count() int { s.mu.Lock(); defer s.mu.Unlock(); return s.count }

// MostConns: see Count.
func (s *Sink) MostConns() int { s.mu.Lock(); defer s.mu.Unlock(); return s.most }

// Conns: see Count.
func (s *Sink) Conns() int { s.mu.Lock(); defer s.mu.Unlock(); return s.made }

// Kick closes all connections, as a server does that restarts.
func (s *Sink) Kick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Close ends the server.
func (s *Sink) Close() {
	s.l.Close()
	s.Kick()
	s.ended.Wait()
}

func (s *Sink) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.made++
		s.most = max(s.most, len(s.conns))
		conn := s.made
		s.mu.Unlock()
		s.ended.Go(func() {
			defer func() {
				c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			}()
			k := &drinker{s: s, c: c, r: bufio.NewReader(c), mail: Mail{Conn: conn}}
			_ = k.serve() // a client may close as it likes
		})
	}
}

// drinker is one connection of a Sink.
type drinker struct {
	s    *Sink
	c    net.Conn
	r    *bufio.Reader
	mail Mail
}

func (k *drinker) say(line string) error {
	_, err := io.WriteString(k.c, line+"\r\n")
	return err
}

func (k *drinker) serve() error {
	if k.s.opts.TLSFirst {
		if err := k.handshake(); err != nil {
			return err
		}
	}
	err := k.say("220 " + k.s.opts.Name + " at your service")
	for err == nil {
		var line string
		if line, err = k.r.ReadString('\n'); err == nil {
			err = k.command(strings.TrimSuffix(line, "\r\n"))
		}
	}
	return err
}

func (k *drinker) command(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "LHLO":
		return k.hello()
	case "STARTTLS":
		return k.startTLS()
	case "AUTH":
		return k.auth(arg)
	case "MAIL":
		if k.s.opts.Login != nil && k.mail.Login == "" {
			return k.say("530 5.7.0 who are you?")
		}
		if k.mail.From != "" {
			return k.say("503 5.5.1 nested MAIL")
		}
		k.mail.From = strings.TrimPrefix(arg, "FROM:")
		return k.say("250 2.1.0 ok")
	case "RCPT":
		k.mail.To = append(k.mail.To, strings.TrimPrefix(arg, "TO:"))
		return k.say("250 2.1.5 ok")
	case "DATA":
		return k.data()
	case "BDAT":
		return k.bdat(arg)
	case "RSET", "HELO", "NOOP":
		k.reset()
		return k.say("250 2.0.0 ok")
	case "QUIT":
		_ = k.say("221 2.0.0 bye") // the client may be gone
		return io.EOF
	}
	return k.say("500 5.5.1 what?")
}

func (k *drinker) reset() {
	_, isTLS := k.c.(*tls.Conn)
	k.mail = Mail{Conn: k.mail.Conn, TLS: isTLS, Login: k.mail.Login}
}

func (k *drinker) hello() error {
	k.reset()
	lines := append([]string{k.s.opts.Name}, k.s.opts.Extensions...)
	for i, l := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		if err := k.say("250" + sep + l); err != nil {
			return err
		}
	}
	return nil
}

func (k *drinker) startTLS() error {
	if err := k.say("220 2.0.0 go ahead"); err != nil {
		return err
	}
	return k.handshake()
}

func (k *drinker) handshake() error {
	t := tls.Server(k.c, k.s.tls)
	if err := t.Handshake(); err != nil {
		return err
	}
	k.c, k.r = t, bufio.NewReader(t)
	k.reset()
	return nil
}

// auth is RFC 4954, section 4.
func (k *drinker) auth(arg string) error {
	if k.s.opts.Login == nil || k.mail.Login != "" {
		return k.say("503 5.5.1 not now")
	}
	mechanism, initial, has := strings.Cut(arg, " ")
	login := k.s.opts.Login(mechanism)
	if login == nil {
		return k.say("504 5.5.4 unknown mechanism")
	}
	var response []byte
	var err error
	if has {
		if response, err = base64.StdEncoding.DecodeString(initial); err != nil {
			return k.say("501 5.5.2 not base64")
		}
	}
	for {
		challenge, done, err := login.Next(response)
		switch {
		case err != nil:
			return k.say("535 5.7.8 " + err.Error())
		case done:
			k.mail.Login = mechanism
			return k.say("235 2.7.0 welcome")
		}
		if err := k.say("334 " + base64.StdEncoding.EncodeToString(challenge)); err != nil {
			return err
		}
		line, err := k.r.ReadString('\n')
		if err != nil {
			return err
		}
		if response, err = base64.StdEncoding.DecodeString(strings.TrimSuffix(line, "\r\n")); err != nil {
			return k.say("501 5.5.2 not base64")
		}
	}
}

func (k *drinker) data() error {
	if err := k.say("354 go on"); err != nil {
		return err
	}
	var b strings.Builder
	for {
		line, err := k.r.ReadString('\n')
		if err != nil {
			return err
		}
		if line == ".\r\n" {
			break
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	k.mail.Content = b.String()
	return k.taken()
}

func (k *drinker) bdat(arg string) error {
	size, last, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(k.r, b); err != nil {
		return err
	}
	k.mail.Content += string(b)
	if last != "LAST" {
		return k.say("250 2.0.0 more")
	}
	return k.taken()
}

func (k *drinker) taken() error {
	s := k.s
	s.mu.Lock()
	s.count++
	n := s.count
	if !s.opts.Discard {
		s.mails = append(s.mails, k.mail)
	}
	s.mu.Unlock()
	replies := 1
	if s.opts.LMTP {
		replies = len(k.mail.To)
	}
	k.reset()
	for range replies {
		if err := k.say(fmt.Sprintf("250 2.0.0 taken as %d", n)); err != nil {
			return err
		}
	}
	return nil
}

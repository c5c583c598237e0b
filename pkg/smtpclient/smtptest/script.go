package smtptest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is the default of Script.Patience.
const patience = 20 * time.Second

// Script is a server whose connections each play a dialogue. A dialogue is
// lines, of which these do something:
//
//	S: text     send the line
//	S~ text     send text without a line end, Go escapes understood
//	C: text     expect the line; a * at its end stands for any rest
//	DATA        expect content up to CRLF . CRLF and keep it as it came
//	BDAT n      expect n octets and keep them
//	TLS         be the server of a TLS handshake
//	LEAVES      be the server of a TLS handshake that the client breaks off
//	BADTLS      answer the first octets of a handshake with nonsense
//	PAUSE       close Paused, and wait for Pause to be closed
//	DRAIN       read until the client closes, whatever it says
//	CLOSE       close
//	RESET       close so that the client gets a reset
//
// At its end the client has to say QUIT or to close.
type Script struct {
	// Patience is how long a script waits for a client that does not come on.
	Patience time.Duration
	// Pause ends the PAUSE of a dialogue, Paused tells of it.
	Pause  chan struct{}
	Paused chan struct{}

	l       net.Listener
	t       testing.TB
	tls     *tls.Config
	scripts []string

	mu      sync.Mutex
	next    int
	content []string
	conns   sync.WaitGroup
}

// Play starts a Script on a TCP port: its n-th connection plays the n-th
// dialogue, and there must be no others.
func Play(t testing.TB, dialogues ...string) *Script {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return PlayOn(t, l, dialogues...)
}

// PlayOn is Play on a listener of the caller's, which it closes at the end.
func PlayOn(t testing.TB, l net.Listener, dialogues ...string) *Script {
	s := NewScript(t, dialogues...)
	s.l = l
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.Serve(c)
		}
	})
	t.Cleanup(func() {
		l.Close()
		accepting.Wait()
		s.conns.Wait()
	})
	return s
}

// NewScript is a Script without a listener: connections come by Serve.
func NewScript(t testing.TB, dialogues ...string) *Script {
	return &Script{Patience: patience, Pause: make(chan struct{}), Paused: make(chan struct{}), t: t, scripts: dialogues, tls: &tls.Config{Certificates: []tls.Certificate{Certificate(t)}}}
}

// Certify gives it another certificate. Call it before anybody connects.
func (s *Script) Certify(c tls.Certificate) { s.tls = &tls.Config{Certificates: []tls.Certificate{c}} }

// Addr is where it listens.
func (s *Script) Addr() netip.AddrPort { return netip.MustParseAddrPort(s.l.Addr().String()) }

// Serve plays the next dialogue on c.
func (s *Script) Serve(c net.Conn) {
	s.mu.Lock()
	n := s.next
	s.next++
	s.mu.Unlock()
	s.conns.Go(func() {
		defer c.Close()
		if n >= len(s.scripts) {
			s.t.Errorf("connection %d: only %d were expected", n+1, len(s.scripts))
			return
		}
		if err := s.play(c, s.scripts[n]); err != nil {
			s.t.Errorf("connection %d: %v", n+1, err)
		}
	})
}

// Played is the number of connections so far.
func (s *Script) Played() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// Wait returns when all connections so far have ended.
func (s *Script) Wait() { s.conns.Wait() }

// Content is what the clients have sent after DATA and BDAT, in order; dots
// are as they came.
func (s *Script) Content() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.content...)
}

func (s *Script) keep(content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content = append(s.content, content)
}

// player is one connection's.
type player struct {
	s *Script
	c net.Conn
	r *bufio.Reader
}

var errStop = errors.New("dialogue has ended")

func (s *Script) play(c net.Conn, script string) error {
	p := &player{s, c, bufio.NewReader(c)}
	lines := strings.Split(script, "\n")
	for i, text := range lines {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		if err := c.SetDeadline(time.Now().Add(s.Patience)); err != nil {
			return err
		}
		err := p.step(text)
		if errors.Is(err, errStop) || goneEarly(err) && !expectsMore(lines[i:]) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d, %q: %w", i+1, text, err)
		}
	}
	return p.goodbye()
}

// goneEarly: the client has closed without reading all that it was told, which
// is its right while nothing more is expected of it.
func goneEarly(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrClosedPipe)
}

func expectsMore(lines []string) bool {
	for _, l := range lines {
		switch word, _, _ := strings.Cut(strings.TrimSpace(l), " "); word {
		case "C:", "DATA", "BDAT", "TLS":
			return true
		}
	}
	return false
}

func (p *player) step(text string) error {
	word, arg, _ := strings.Cut(text, " ")
	switch word {
	case "S:":
		_, err := io.WriteString(p.c, arg+"\r\n")
		return err
	case "S~":
		raw, err := strconv.Unquote(`"` + strings.ReplaceAll(arg, `"`, `\"`) + `"`)
		if err == nil {
			_, err = io.WriteString(p.c, raw)
		}
		return err
	case "C:":
		return p.expect(arg)
	case "DATA":
		return p.data()
	case "BDAT":
		return p.bdat(arg)
	case "TLS":
		t := tls.Server(p.c, p.s.tls)
		p.c, p.r = t, bufio.NewReader(t)
		return t.Handshake()
	case "LEAVES":
		t := tls.Server(p.c, p.s.tls)
		// In TLS 1.3 the client finishes before the server hears of it.
		if err := t.Handshake(); err == nil {
			if _, err = t.Read(make([]byte, 1)); err == nil {
				return errors.New("the client went on")
			}
		}
		return errStop
	case "BADTLS":
		if _, err := p.r.ReadByte(); err != nil {
			return err
		}
		_, err := io.WriteString(p.c, "this is no TLS at all\r\n")
		return err
	case "PAUSE":
		close(p.s.Paused)
		<-p.s.Pause
		return nil
	case "DRAIN":
		_, _ = io.Copy(io.Discard, p.r) // a reset is an end as well
		return errStop
	case "CLOSE":
		return errStop
	case "RESET":
		if t, ok := p.c.(*net.TCPConn); ok {
			return errors.Join(t.SetLinger(0), errStop)
		}
		return errStop
	}
	return errors.New("not a word of the script language")
}

func (p *player) expect(want string) error {
	line, err := p.r.ReadString('\n')
	if err != nil {
		return fmt.Errorf("got %q and %w", line, err)
	}
	got := strings.TrimSuffix(line, "\r\n")
	prefix, any := strings.CutSuffix(want, "*")
	if got == want || any && strings.HasPrefix(got, prefix) {
		return nil
	}
	return fmt.Errorf("got %q", got)
}

func (p *player) data() error {
	var b strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return fmt.Errorf("content ends after %d octets: %w", b.Len(), err)
		}
		if line == ".\r\n" && (b.Len() == 3 || strings.HasSuffix(b.String(), "\r\n.\r\n")) {
			p.s.keep(strings.TrimSuffix(b.String(), ".\r\n"))
			return nil
		}
	}
}

func (p *player) bdat(arg string) error {
	n, err := strconv.Atoi(arg)
	if err != nil {
		return err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(p.r, b); err != nil {
		return err
	}
	p.s.keep(string(b))
	return nil
}

// goodbye is the end of the dialogue: QUIT, or nothing.
func (p *player) goodbye() error {
	line, err := p.r.ReadString('\n')
	if err == nil && line != "QUIT\r\n" {
		return fmt.Errorf("after the end: %q", line)
	}
	return nil
}

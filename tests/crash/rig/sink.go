package rig

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Sink is the remote server. What it has taken it notes before it says so.
type Sink struct {
	Away atomic.Bool // everybody is asked to come back later
	// OnTaken is told of each message before the suite is.
	OnTaken func(Taken)

	l    net.Listener
	Calm atomic.Bool // no more trouble, but for those who do not exist

	refused atomic.Int64

	mu    sync.Mutex
	rnd   *rand.Rand
	list  []Taken
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

// Taken is one message that the sink kept.
type Taken struct {
	Serial int // from 0

	to   []string
	text string // LF lines
	at   time.Time
	// unsaid: the connection was dropped instead of the 250, so the client
	// has to send it again.
	unsaid bool
}

// StartSink starts one on a free port of loopback.
func StartSink(seed uint64) (*Sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Sink{l: l, rnd: rand.New(rand.NewPCG(seed, 7)), conns: map[net.Conn]bool{}}
	s.wg.Go(s.accept)
	return s, nil
}

// Address is where it listens.
func (s *Sink) Address() string { return s.l.Addr().String() }

// Close ends it with its connections.
func (s *Sink) Close() {
	s.l.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Sink) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.wg.Go(func() {
			_ = (&guest{s: s, c: c, r: bufio.NewReaderSize(c, 64<<10)}).serve() // how a peer ends is its own affair
			c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

// chance is true so many times of a thousand, while there is trouble.
func (s *Sink) chance(permille int) bool {
	if s.Calm.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rnd.IntN(1000) < permille
}

// Refused is how many recipients were asked to come back later.
func (s *Sink) Refused() int { return int(s.refused.Load()) }

// Taken is all that it has.
func (s *Sink) Taken() []Taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Taken(nil), s.list...)
}

func (s *Sink) keep(t Taken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Serial = len(s.list)
	if s.OnTaken != nil {
		s.OnTaken(t)
	}
	s.list = append(s.list, t)
}

// Some recipients the sink takes only after a while, as busy servers do: whoever else
// the message is for has it long before.
const (
	slowPermille = 50
	slowness     = 3 * time.Second
)

var errDrop = errors.New("dropped on purpose")

// guest is one connection to the sink.
type guest struct {
	s  *Sink
	c  net.Conn
	r  *bufio.Reader
	to []string
}

func (g *guest) say(line string) error {
	_, err := io.WriteString(g.c, line+"\r\n")
	return err
}

func (g *guest) serve() error {
	if g.s.chance(10) {
		return g.say("421 4.3.2 too busy")
	}
	if err := g.say("220 sink.far.test"); err != nil {
		return err
	}
	for {
		line, err := g.r.ReadString('\n')
		if err != nil {
			return err
		}
		if g.s.chance(3) {
			return errDrop
		}
		if err := g.command(strings.TrimSuffix(line, "\r\n")); err != nil {
			return err
		}
	}
}

func (g *guest) command(line string) error {
	verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
	switch verb {
	case "EHLO":
		return g.say("250-sink.far.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 100000000\r\n250 ENHANCEDSTATUSCODES")
	case "MAIL":
		g.to = nil
		return g.say("250 2.1.0 ok")
	case "RCPT":
		return g.rcpt(line)
	case "DATA":
		return g.data()
	case "QUIT":
		_ = g.say("221 2.0.0 bye")
		return io.EOF
	case "RSET":
		g.to = nil
	}
	return g.say("250 2.0.0 ok")
}

func (g *guest) rcpt(line string) error {
	_, rest, _ := strings.Cut(line, "<")
	addr, _, _ := strings.Cut(rest, ">")
	switch {
	case whereOf(addr) == toReport:
		return g.say("550 5.1.1 no such person")
	case g.s.Away.Load(), g.s.chance(80):
		g.s.refused.Add(1)
		return g.say("450 4.2.1 not now")
	}
	if g.s.chance(slowPermille) {
		time.Sleep(slowness)
	}
	g.to = append(g.to, addr)
	return g.say("250 2.1.5 ok")
}

func (g *guest) data() error {
	if len(g.to) == 0 {
		return g.say("554 5.5.1 no recipients")
	}
	if err := g.say("354 go on"); err != nil {
		return err
	}
	text, err := g.content()
	if err != nil {
		return err
	}
	switch {
	case g.s.chance(20):
		return g.say("451 4.3.0 not now")
	case g.s.chance(10):
		return errDrop
	}
	t := Taken{to: g.to, text: text, unsaid: g.s.chance(5), at: time.Now()}
	g.to = nil
	g.s.keep(t)
	if t.unsaid {
		return errDrop
	}
	return g.say("250 2.0.0 taken")
}

// content reads up to the line with a dot alone.
func (g *guest) content() (string, error) {
	var b strings.Builder
	for n := 0; ; n++ {
		line, err := g.r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if n%500 == 499 && g.s.chance(20) {
			return "", errDrop
		}
		if !strings.HasSuffix(line, "\r\n") {
			return "", fmt.Errorf("a line without CRLF: %q", line)
		}
		if line == ".\r\n" {
			return b.String(), nil
		}
		b.WriteString(strings.TrimSuffix(strings.TrimPrefix(line, "."), "\r\n"))
		b.WriteByte('\n')
	}
}

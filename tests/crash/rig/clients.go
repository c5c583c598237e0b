package rig

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// perSession is the most messages of one connection.
	perSession = 8
	// clientPatience bounds each wait of a client. A process that was killed
	// is back long before.
	clientPatience = 60 * time.Second
)

// Clients says how many there are and how they behave.
type Clients struct {
	Sessions int           // over SMTP
	Programs int           // that run sendmail, one time after the other
	Think    time.Duration // the longest pause between two messages of one
	Lean     bool          // smaller messages, for a small disk
}

// Load is clients at work.
type Load struct {
	Clients
	s      *Suite
	ledger *Ledger

	done   chan struct{}
	wg     sync.WaitGroup
	serial atomic.Int64

	mu   sync.Mutex
	Odds map[string]int // what went wrong for them, for people; read after Stop
}

// StartLoad starts the clients.
func StartLoad(s *Suite, l *Ledger, seed uint64, c Clients) *Load {
	w := &Load{Clients: c, s: s, ledger: l, done: make(chan struct{}), Odds: map[string]int{}}
	for i := range c.Sessions + c.Programs {
		rnd := rand.New(rand.NewPCG(seed, uint64(i)+1000))
		w.wg.Go(func() {
			for !w.stopped() {
				if i < c.Sessions {
					w.session(rnd)
				} else {
					w.program(rnd)
				}
				w.pause(rnd)
			}
		})
	}
	return w
}

// Stop lets each client finish its message.
func (w *Load) Stop() {
	close(w.done)
	w.wg.Wait()
}

func (w *Load) stopped() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// pause is a client's time between two messages: the load's measure, nothing
// waits for it.
func (w *Load) pause(rnd *rand.Rand) {
	select {
	case <-w.done:
	case <-time.After(time.Duration(rnd.Int64N(int64(w.Think) + 1))):
	}
}

func (w *Load) odd(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Odds[what]++
}

func (w *Load) compose(rnd *rand.Rand, how string) *Attempt {
	a := &Attempt{token: fmt.Sprintf("t%06d", w.serial.Add(1)), how: how, to: someone(rnd), began: time.Now()}
	size := sizeOf(rnd)
	if w.Lean {
		size = leanSizeOf(rnd)
	}
	a.body = bodyOf(a.token, size)
	return a
}

// session is one connection with some messages.
func (w *Load) session(rnd *rand.Rand) {
	c, err := net.DialTimeout("tcp", w.s.Address, clientPatience)
	if err != nil {
		w.odd("connect")
		return
	}
	defer c.Close()
	k := &client{c: c, r: bufio.NewReader(c)}
	if err := errors.Join(k.expect('2'), k.ask("EHLO client.test", '2')); err != nil {
		w.odd("greeting")
		return
	}
	for range 1 + rnd.IntN(perSession) {
		a := w.compose(rnd, ways[rnd.IntN(len(ways))])
		err := k.send(a, rnd)
		a.answer = k.last
		if err != nil {
			a.answer = err.Error()
		}
		w.ledger.note(a)
		if err != nil {
			w.odd(a.how)
			return
		}
		if w.stopped() {
			break
		}
		w.pause(rnd)
	}
	_ = k.ask("QUIT", '2')
}

// ways are the kinds of clients over SMTP.
var ways = []string{"data", "data", "pipelined", "pipelined", "bdat", "bdat in pieces", "broken off"}

// client is one SMTP connection.
type client struct {
	c    net.Conn
	r    *bufio.Reader
	last string
}

// expect reads a reply and wants its first digit.
func (k *client) expect(digit byte) error {
	_ = k.c.SetDeadline(time.Now().Add(clientPatience))
	for {
		line, err := k.r.ReadString('\n')
		if err != nil {
			return err
		}
		k.last = strings.TrimSpace(line)
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		if line[0] != digit {
			return fmt.Errorf("reply: %s", k.last)
		}
		return nil
	}
}

func (k *client) ask(line string, digit byte) error {
	if _, err := io.WriteString(k.c, line+"\r\n"); err != nil {
		return err
	}
	return k.expect(digit)
}

// send hands one message in and notes its fate. After an error the connection is
// of no more use.
func (k *client) send(a *Attempt, rnd *rand.Rand) error {
	a.fate = never
	text := strings.ReplaceAll(a.text(), "\n", "\r\n")
	switch a.how {
	case "bdat":
		return k.bdat(a, text, len(text))
	case "bdat in pieces":
		return k.bdat(a, text, 1+rnd.IntN(len(text)))
	}
	if err := k.envelope(a, a.how == "pipelined"); err != nil {
		return err
	}
	if a.how == "broken off" && rnd.IntN(3) == 0 {
		_, _ = io.WriteString(k.c, stuff(text)[:rnd.IntN(len(text))])
		return errors.New("broken off by the client")
	}
	content := stuff(text)
	// The last line goes alone: before it the server has nothing whole.
	if _, err := io.WriteString(k.c, content); err != nil {
		return err
	}
	a.fate = unknown
	if _, err := io.WriteString(k.c, ".\r\n"); err != nil {
		return err
	}
	return k.conclude(a)
}

// envelope is everything up to the 354.
func (k *client) envelope(a *Attempt, pipelined bool) error {
	lines := []string{"MAIL FROM:<" + sender + ">"}
	for _, r := range a.to {
		lines = append(lines, "RCPT TO:<"+r+">")
	}
	lines = append(lines, "DATA")
	if pipelined { // RFC 2920, section 3.1
		if _, err := io.WriteString(k.c, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
			return err
		}
	}
	for i, line := range lines {
		want := byte('2')
		if i == len(lines)-1 {
			want = '3'
		}
		var err error
		if pipelined {
			err = k.expect(want)
		} else {
			err = k.ask(line, want)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bdat sends the envelope and the content in one go, in chunks of a size
// (RFC 3030, section 2).
func (k *client) bdat(a *Attempt, text string, size int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "MAIL FROM:<%s>\r\n", sender)
	for _, r := range a.to {
		fmt.Fprintf(&b, "RCPT TO:<%s>\r\n", r)
	}
	replies := 1 + len(a.to)
	for len(text) > size {
		fmt.Fprintf(&b, "BDAT %d\r\n%s", size, text[:size])
		text = text[size:]
		replies++
	}
	// The replies are read behind all, so that the peer must be able to hold
	// them; they are few.
	if _, err := io.WriteString(k.c, b.String()); err != nil {
		return err
	}
	for range replies {
		if err := k.expect('2'); err != nil {
			return err
		}
	}
	a.fate = unknown
	if _, err := fmt.Fprintf(k.c, "BDAT %d LAST\r\n%s", len(text), text); err != nil {
		return err
	}
	return k.conclude(a)
}

// conclude reads the answer to a whole message.
func (k *client) conclude(a *Attempt) error {
	err := k.expect('2')
	switch {
	case err == nil:
		a.fate = acked
	case strings.HasPrefix(k.last, "5") && strings.HasPrefix(err.Error(), "reply:"):
		a.fate = never
	}
	return err
}

// stuff doubles the dots at the beginnings of lines.
func stuff(text string) string {
	return strings.TrimPrefix(strings.ReplaceAll("\r\n"+text, "\r\n.", "\r\n.."), "\r\n")
}

// program runs sendmail, as programs do.
func (w *Load) program(rnd *rand.Rand) {
	a := w.compose(rnd, "sendmail")
	defer w.ledger.note(a)
	args := append([]string{"-i", "-f", sender, "--"}, a.to...)
	if rnd.IntN(3) == 0 {
		args = []string{"-t", "-i", "-f", sender}
	}
	ctx, cancel := context.WithTimeout(context.Background(), clientPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.s.program("sendmail"), args...)
	cmd.Env = append(os.Environ(), "FILBERT_INSTANCE="+w.s.Dir)
	cmd.Stdin = strings.NewReader(a.text())
	var said strings.Builder
	cmd.Stderr = &said
	a.fate = unknown
	if err := cmd.Start(); err != nil {
		a.fate = never
		a.answer = err.Error()
		return
	}
	if rnd.IntN(20) == 0 {
		// The user's terminal is closed, the machine is short of memory ...
		over := time.AfterFunc(time.Duration(rnd.IntN(8000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		defer over.Stop()
	}
	err := cmd.Wait()
	a.answer = said.String()
	var ended *exec.ExitError
	switch {
	case err == nil:
		a.fate = acked
	case errors.As(err, &ended) && ended.ExitCode() != 75 && ended.Exited(): // EX_TEMPFAIL
		a.fate = never
		w.odd(fmt.Sprintf("sendmail: exit status %d: %s", ended.ExitCode(), a.answer))
	default:
		w.odd("sendmail: later, or killed")
	}
}

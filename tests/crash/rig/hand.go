package rig

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"
)

// By is a way to hand in one message, for tests that want to see what is said.
type By struct {
	Suite  *Suite
	Ledger *Ledger
	serial atomic.Int64
}

// SMTP hands in a message of about size octets, with or without saying so at
// MAIL, and tells at which command the server said no ("" if it took the message)
// and what its last words were.
func (b *By) SMTP(size int, declared string, to ...string) (stage, reply string) {
	a := b.attempt("by hand", size, to)
	defer func() {
		a.answer = reply
		b.Ledger.note(a)
	}()
	c, err := net.DialTimeout("tcp", b.Suite.Address, clientPatience)
	if err != nil {
		return "connect", err.Error()
	}
	defer c.Close()
	k := &client{c: c, r: bufio.NewReader(c)}
	say := func(line string, digit byte) bool {
		err := k.ask(line, digit)
		if reply = k.last; err != nil && !strings.HasPrefix(err.Error(), "reply: ") {
			reply = err.Error()
		}
		return err == nil
	}
	if err := k.expect('2'); err != nil {
		return "connect", err.Error()
	}
	switch {
	case !say("EHLO client.test", '2'):
		return "EHLO", reply
	case !say(strings.TrimSpace("MAIL FROM:<"+sender+"> "+declared), '2'):
		return "MAIL", reply
	}
	for _, r := range to {
		if !say("RCPT TO:<"+r+">", '2') {
			return "RCPT", reply
		}
	}
	if !say("DATA", '3') {
		return "DATA", reply
	}
	a.fate = unknown
	if !say(stuff(strings.ReplaceAll(a.text(), "\n", "\r\n"))+".", '2') {
		if strings.HasPrefix(reply, "5") {
			a.fate = never
		}
		return "end", reply
	}
	a.fate = acked
	return "", reply
}

// Sendmail is the same with sendmail: its exit status, and what it said.
func (b *By) Sendmail(size int, to ...string) (status int, said string) {
	a := b.attempt("sendmail", size, to)
	cmd := exec.Command(b.Suite.program("sendmail"), append([]string{"-i", "-f", sender, "--"}, to...)...)
	cmd.Env = append(os.Environ(), "FILBERT_INSTANCE="+b.Suite.Dir)
	cmd.Stdin = strings.NewReader(a.text())
	out, err := cmd.CombinedOutput()
	a.fate, a.answer = unknown, string(out)
	if err == nil {
		a.fate = acked
	}
	b.Ledger.note(a)
	return cmd.ProcessState.ExitCode(), a.answer
}

func (b *By) attempt(how string, size int, to []string) *Attempt {
	a := &Attempt{token: fmt.Sprintf("h%06d", b.serial.Add(1)), how: how, to: to, began: time.Now(), fate: never}
	a.body = bodyOf(a.token, size)
	return a
}

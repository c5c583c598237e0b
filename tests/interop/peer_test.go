//go:build interop

package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const (
	// patience is how long to wait for a server. It only matters to a test that
	// fails.
	patience  = 30 * time.Second
	pollEvery = 20 * time.Millisecond

	// peerIP is another than ours, so that a server can tell its own mail.
	peerIP = "127.0.0.21"
	// saslIP is that of the server that Postfix asks about logins.
	saslIP = "127.0.0.22"

	// boxID is the user and group of the servers' mailboxes. It exists in their
	// root directories alone.
	boxID = 64040
)

// A peer is the server of one script.
type peer struct {
	kind
	name string
	root string // its root directory
	cmd  *exec.Cmd
	end  chan error // what became of cmd
	sasl *peer      // whom it asks about logins; nil: nobody
}

type peerKey struct{}

// preparePeer decides where the script's server will live.
func preparePeer(e *testscript.Env, name string) error {
	if name == "" {
		return nil
	}
	k, ok := kinds[name]
	if !ok {
		return fmt.Errorf("no server is called %q", name)
	}
	root, err := os.MkdirTemp(peersDir(), fmt.Sprintf(runPrefix+"%d-", os.Getpid()))
	if err != nil {
		return fmt.Errorf("tests/interop/install.sh first: %w", err)
	}
	p := &peer{kind: k, name: name, root: root}
	if name == "postfix" {
		p.sasl = &peer{kind: kinds["sasl"], name: "sasl", root: root + "-sasl"}
		if err := os.Mkdir(p.sasl.root, 0o700); err != nil {
			return err
		}
	}
	e.Values[peerKey{}] = p
	e.Setenv("PEER", name)
	e.Setenv("PEER_IP", peerIP)
	e.Setenv("PEER_ROOT", root)
	e.Setenv("PEER_LOG", filepath.Join(root, k.log))
	t, _ := e.T().(interface {
		Failed() bool
		Log(...any)
	})
	e.Defer(func() {
		p.stop()
		if t != nil && t.Failed() {
			t.Log(p.artefacts())
		}
		os.RemoveAll(root)
		if p.sasl != nil {
			p.sasl.stop()
			if t != nil && t.Failed() {
				t.Log(p.sasl.artefacts())
			}
			os.RemoveAll(p.sasl.root)
		}
	})
	return nil
}

func peerCommand(ts *testscript.TestScript, neg bool, args []string) {
	p, ok := ts.Value(peerKey{}).(*peer)
	if neg || !ok || len(args) == 0 {
		ts.Fatalf("usage: peer start|restart|stop|log")
	}
	switch verb, rest := args[0], args[1:]; verb {
	case "start":
		ts.Check(p.makeRoot())
		// The script finds its mailboxes among our own.
		ts.Check(os.MkdirAll(filepath.Join(ts.Getenv("INST"), "mail"), 0o700))
		ts.Check(os.Symlink(filepath.Join(p.root, "mail"), filepath.Join(ts.Getenv("INST"), "mail", "peer")))
		s := settingsOf(ts, rest)
		if p.sasl != nil && s["MECHANISMS"] != "" {
			ts.Check(p.sasl.makeRoot())
			ts.Check(p.sasl.start(maps.Clone(s)))
		}
		ts.Check(p.start(s))
		ts.Setenv("PEER_IP", s["PEER_IP"])
	case "restart":
		p.stop()
		ts.Check(p.start(settingsOf(ts, rest)))
	case "stop":
		p.stop()
	case "send":
		if len(rest) < 3 {
			ts.Fatalf("usage: peer send FROM FILE RCPT...")
		}
		ts.Check(sendTo(net.JoinHostPort(peerIP, ts.Getenv("PORT")), rest[0], ts.ReadFile(rest[1]), rest[2:]))
	case "log":
		re, err := regexp.Compile("(?m)" + strings.Join(rest, " "))
		ts.Check(err)
		if err := await(func() error { return logged(ts.Getenv("PEER_LOG"), re) }); err != nil {
			ts.Fatalf("%v", err)
		}
	default:
		ts.Fatalf("peer %s: unknown", verb)
	}
}

func logged(file string, re *regexp.Regexp) error {
	b, err := os.ReadFile(file)
	if err == nil && !re.Match(b) {
		err = fmt.Errorf("%s has no line like %s", file, re)
	}
	return err
}

// settingsOf reads the options of a start: the values that the configuration's
// ${NAME} stand for.
func settingsOf(ts *testscript.TestScript, args []string) settings {
	s := settings{
		"PEER_IP": peerIP, "PORT": ts.Getenv("PORT"), "BOX_ID": strconv.Itoa(boxID), "LATER": "later",
		"RELAY": "", "RELAY_IP": "127.0.0.1", "RELAY_PORT": "1", "WITHOUT": "", "MAX_RCPT": "1000", "OVERSHOOT": "1000", "RCPT_CHECK_QUOTA": "no",
		"SASL_IP": saslIP, "MECHANISMS": "", "LOGIN_WANTED": "no", "FRIENDS": "127.0.0.0/8",
	}
	if len(args)%2 != 0 {
		ts.Fatalf("peer start: an option has no value")
	}
	for ; len(args) > 0; args = args[2:] {
		switch value := args[1]; args[0] {
		case "-relay":
			host, port, err := net.SplitHostPort(value)
			ts.Check(err)
			s["RELAY"], s["RELAY_IP"], s["RELAY_PORT"] = fmt.Sprintf("[%s]:%s", host, port), host, port
		case "-without":
			s["WITHOUT"] = value
		case "-max-rcpt":
			s["MAX_RCPT"] = value
		case "-overshoot":
			s["OVERSHOOT"] = value
		case "-later":
			s["LATER"] = value
		case "-at":
			s["PEER_IP"] = value
		case "-login":
			// Nobody is a friend who has not logged in.
			s["MECHANISMS"], s["LOGIN_WANTED"], s["FRIENDS"] = value, "yes", "127.0.0.99/32"
		case "-rcpt-check-quota":
			s["RCPT_CHECK_QUOTA"] = value
		default:
			ts.Fatalf("peer start: no option is called %s", args[0])
		}
	}
	return s
}

// start starts the server and waits for its greeting.
func (p *peer) start(s settings) error {
	p.derive(s)
	if err := p.configure(s); err != nil {
		return err
	}
	out, err := os.OpenFile(filepath.Join(p.root, "out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	p.cmd = exec.Command(p.program[0], p.program[1:]...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = out, out, "/"
	p.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TZ=UTC"}
	// Its own process group: Postfix ends all of its group.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: p.root, Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.end = make(chan error, 1)
	go func() { p.end <- p.cmd.Wait() }()
	return await(func() error {
		select {
		case err := <-p.end:
			p.end <- err
			return fmt.Errorf("%s has ended: %w", p.name, errors.Join(err, errGivenUp))
		default:
			return greets(net.JoinHostPort(s["PEER_IP"], s["PORT"]), p.greets)
		}
	})
}

// greets tells whether a server is there, which says want first.
func greets(address, want string) error {
	if want == "" {
		want = "220"
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 3)
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != want {
		return fmt.Errorf("%s greets with %q", address, b)
	}
	_, err = io.WriteString(c, "QUIT\r\n")
	return err
}

// sendTo hands a server mail as a simple client does, octet by octet.
func sendTo(address, from, text string, to []string) error {
	c, err := textproto.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	commands := []string{"EHLO client.test", "MAIL FROM:<" + from + ">"}
	for _, rcpt := range to {
		commands = append(commands, "RCPT TO:<"+rcpt+">")
	}
	if _, _, err := c.ReadResponse(220); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	for _, command := range commands {
		if err := c.PrintfLine("%s", command); err != nil {
			return err
		}
		if _, _, err := c.ReadResponse(250); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
	}
	if err := c.PrintfLine("DATA"); err != nil {
		return err
	}
	if _, _, err := c.ReadResponse(354); err != nil {
		return fmt.Errorf("DATA: %w", err)
	}
	w := c.DotWriter()
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if _, _, err := c.ReadResponse(250); err != nil {
		return fmt.Errorf("end of data: %w", err)
	}
	return c.PrintfLine("QUIT")
}

// stop ends the server and all that it has started: whoever has its root
// directory.
func (p *peer) stop() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.end:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.end
	}
	p.cmd = nil
	endAll(p.root)
}

// endAll ends whoever has that root directory.
func endAll(root string) {
	_ = await(func() error {
		left := processes(root)
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if len(left) > 0 {
			return fmt.Errorf("processes %v live on in %s", left, root)
		}
		return nil
	})
}

// runPrefix begins the name of a server's root directory; the number of the
// test's process and something random follow.
const runPrefix = "run-"

// clearAway removes what tests have left that were killed.
func clearAway(dir string) {
	found, _ := filepath.Glob(filepath.Join(dir, runPrefix+"*"))
	for _, root := range found {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(root), runPrefix+"%d-", &pid); err != nil || syscall.Kill(pid, 0) == nil {
			continue
		}
		endAll(root)
		os.RemoveAll(root)
	}
}

// processes are those whose root directory is this one, or below it.
func processes(want string) []int {
	var out []int
	found, _ := filepath.Glob("/proc/[0-9]*/root")
	for _, link := range found {
		root, err := os.Readlink(link)
		if err != nil || root != want && !strings.HasPrefix(root, want+"/") {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(link, "/")[2]); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// artefacts are what one wants to see of a server when its script has failed.
func (p *peer) artefacts() string {
	var b strings.Builder
	for _, name := range []string{"out", p.log} {
		text, err := os.ReadFile(filepath.Join(p.root, name))
		if err != nil {
			continue
		}
		lines := bytes.SplitAfter(text, []byte("\n"))
		fmt.Fprintf(&b, "the end of %s's %s:\n%s\n", p.name, name, bytes.Join(lines[max(0, len(lines)-80):], nil))
	}
	return b.String()
}

// errGivenUp is wrapped by what will not get better.
var errGivenUp = errors.New("there is nothing to wait for")

// await asks again and again until there is no error.
func await(done func() error) error {
	err := errors.New("nothing was asked")
	for until := time.Now().Add(patience); err != nil && !errors.Is(err, errGivenUp) && time.Now().Before(until); time.Sleep(pollEvery) {
		err = done()
	}
	return err
}

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// What all adapters are told.
const (
	localDomain = "local.test"
	localUsers  = 100
)

// peer is one mail transfer agent, driven through its adapter.
type peer struct {
	name   string
	script string
	port   int
	info   map[string]string
	trash  string // where old things go
	group  string // the control group that all its processes are in
	env    []string
}

func newPeer(s *settings, name string, port, sinkPort int) (*peer, error) {
	script, err := filepath.Abs(filepath.Join(s.bench, "adapters", name))
	if err != nil {
		return nil, err
	}
	work, err := filepath.Abs(filepath.Join(s.work, name))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, err
	}
	p := &peer{name: name, script: script, port: port, info: map[string]string{}, trash: filepath.Join(filepath.Dir(work), "trash")}
	if err := os.MkdirAll(p.trash, 0o700); err != nil {
		return nil, err
	}
	p.env = append(os.Environ(), fmt.Sprintf("MB_PORT=%d", port), fmt.Sprintf("MB_SINK=%d", sinkPort),
		fmt.Sprintf("MB_SLOW=%d", slowPort), fmt.Sprintf("MB_DEAD=%d", deadPort),
		fmt.Sprintf("MB_NUSERS=%d", localUsers), "MB_LOCALDOMAIN="+localDomain, "MB_WORK="+work, "MB_TRASH="+p.trash)
	out, err := p.adapter("info").Output()
	if err != nil {
		return nil, fmt.Errorf("%s info: %w", name, err)
	}
	for line := range strings.Lines(string(out)) {
		if k, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			p.info[k] = v
		}
	}
	p.group, err = makeGroup("mb-" + name)
	return p, err
}

func (p *peer) has(feature string) bool {
	return strings.Contains(" "+p.info["FEATURES"]+" ", " "+feature+" ")
}

func (p *peer) addr() string { return fmt.Sprintf("127.0.0.1:%d", p.port) }

func (p *peer) adapter(args ...string) *exec.Cmd {
	c := exec.Command(p.script, args...)
	c.Env, c.Stderr = p.env, os.Stderr
	return c
}

// inGroup is a command that enters the peer's control group before it begins.
func (p *peer) inGroup(args ...string) *exec.Cmd {
	enter := []string{"-c", `echo $$ > "$0/cgroup.procs"; exec "$@"`, p.group}
	c := exec.Command("/bin/sh", append(enter, args...)...)
	c.Env, c.Stderr = p.env, os.Stderr
	return c
}

// start configures and starts the peer, and returns the time from the call to
// the greeting.
func (p *peer) start(profile string) (time.Duration, error) {
	if out, err := p.adapter("config", profile).Output(); err != nil {
		return 0, fmt.Errorf("config: %w: %s", err, out)
	}
	begin := time.Now()
	c := p.inGroup(p.script, "start")
	c.Stdout = os.Stderr
	if err := c.Start(); err != nil {
		return 0, err
	}
	go c.Wait() // some adapters stay in the foreground; stop ends them
	for time.Since(begin) < 20*time.Second {
		if p.greets() {
			return time.Since(begin), nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0, fmt.Errorf("no greeting on %s", p.addr())
}

func (p *peer) greets() bool {
	conn, err := net.Dial("tcp", p.addr())
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 256)
	n, err := conn.Read(b)
	if err != nil || n < 3 || string(b[:3]) != "220" {
		return false
	}
	fmt.Fprint(conn, "QUIT\r\n")
	conn.Read(b)
	return true
}

// stop asks the adapter to stop the peer; what is left in the control group, and
// so was started here, is ended.
func (p *peer) stop() {
	c := p.inGroup(p.script, "stop")
	c.Stdout = os.Stderr
	if err := c.Run(); err != nil {
		fmt.Fprintln(os.Stderr, p.name, "stop:", err)
	}
	for range 500 {
		if len(p.pids()) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.signal(syscall.SIGTERM)
	time.Sleep(2 * time.Second)
	p.signal(syscall.SIGKILL)
}

func (p *peer) signal(sig syscall.Signal) {
	for _, pid := range p.pids() {
		syscall.Kill(pid, sig)
	}
}

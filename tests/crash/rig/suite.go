package rig

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

// Suite is one instance of the suite under test.
type Suite struct {
	Bin, Dir string
	Address  string // of SMTP
}

func (s *Suite) program(name string) string { return filepath.Join(s.Bin, name) }

// Build makes the programs, or takes those of FILBERT_BIN.
func Build(into string) (string, error) {
	if dir := os.Getenv("FILBERT_BIN"); dir != "" {
		return filepath.Abs(dir)
	}
	for _, what := range []string{"cmd", "libexec"} {
		out := into + "/"
		if what == "libexec" {
			out += "libexec/"
		}
		cmd := exec.Command("go", "build", "-trimpath", "-o", out, "filbert/"+what+"/...")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build the programs: %w\n%s", err, said)
		}
	}
	return into, nil
}

// The journal's segments are small, so that they are used again and again, and
// what is deferred is soon tried again.
const configuration = `hostname = "mail.test"
[domains]
local = [%[1]q]
[dns]
servers = ["127.0.0.1:1"]
[[retry]]
phases = [{ from = "1s", max = "2s", until = "5 days" }]
[spool]
segment_size = "1 MB"
reserve = "1 MB"
[[listen]]
name = "smtp"
address = %[2]q
[[director]]
name = "aliases"
driver = "aliasfile"
file = "aliases"
[[director]]
name = "users"
driver = "user"
users = "table"
file = "users"
transport = "maildir"
[[router]]
name = "smarthost"
driver = "smarthost"
hosts = [%[3]q]
transport = "smtp"
[transport.maildir]
path = "{mail}/{local_part}"
`

// Initialize makes an instance that sends what is for elsewhere to remote.
func Initialize(bin, dir, remote string) (*Suite, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	s := &Suite{Bin: bin, Dir: dir, Address: fmt.Sprintf("127.0.0.1:%d", port)}
	if _, err := s.Mtactl("init", "--hostname", "mail.test"); err != nil {
		return nil, err
	}
	var users strings.Builder
	for _, name := range append([]string{"sender"}, mailboxes...) {
		fmt.Fprintf(&users, "%s@%s %s\n", name, localDomain, me.Username)
	}
	fmt.Fprintf(&users, "postmaster %s\n", me.Username)
	for name, text := range map[string]string{
		"filbert.toml": fmt.Sprintf(configuration, localDomain, s.Address, remote),
		"users":        users.String(),
		"aliases":      "team: " + strings.Join(teamOf, ", ") + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return s, nil
}

var lastPort atomic.Int32 // of all suites of this process

// freePort gives a port that stays the same when the suite is started again, from
// below the range from which the kernel picks.
func freePort() (int, error) {
	for range 2000 {
		port := 10500 + (os.Getpid()*41+int(lastPort.Add(1)))%9000
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no port is free between 10500 and 19500")
}

// Mtactl runs it on the instance.
func (s *Suite) Mtactl(args ...string) (string, error) {
	out, err := exec.Command(s.program("mtactl"), append([]string{"-C", s.Dir}, args...)...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("mtactl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Start starts the suite and waits until it runs.
func (s *Suite) Start() error {
	_, err := s.Mtactl("start")
	return err
}

// Stop stops it in good order.
func (s *Suite) Stop() error {
	_, err := s.Mtactl("stop")
	return err
}

// Log is the instance's log so far.
func (s *Suite) Log() string {
	b, _ := os.ReadFile(filepath.Join(s.Dir, "log", "filbert.log"))
	return string(b)
}

var received = regexp.MustCompile(`^\S+ (\S+) received `)

// LinesAbout are the log's lines that name one of these, or a message that was
// received under such a name.
func LinesAbout(log string, names ...string) string {
	var want []string
	for _, n := range names {
		if n != "" {
			want = append(want, n)
		}
	}
	for line := range strings.Lines(log) {
		if m := received.FindStringSubmatch(line); m != nil && containsAny(line, want) {
			want = append(want, " "+m[1]+" ")
		}
	}
	var b strings.Builder
	for line := range strings.Lines(log) {
		if containsAny(line, want) {
			b.WriteString("      " + line)
		}
	}
	return b.String()
}

func containsAny(line string, words []string) bool {
	for _, w := range words {
		if strings.Contains(line, w) {
			return true
		}
	}
	return false
}

// Until asks again and again, and gives up after most.
func Until(most time.Duration, done func() (bool, error)) error {
	var last error
	for deadline := time.Now().Add(most); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		ok, err := done()
		if ok {
			return nil
		}
		last = err
	}
	return fmt.Errorf("not within %s: %w", most, last)
}

package root

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/resolve/resolvetest"
)

// site is an installed and running suite, shared by all tests: each leaves it
// running, with the configuration it found.
type site struct {
	once *sync.Once
	err  error

	base     string // all of it lies below
	made     []string
	dns      *resolvetest.Server
	mx       string // where smtpd listens
	sinkPort int    // where mail for far.test goes
	users    map[string]account
	drop     int // group
}

// started gives the running site, which the first caller makes.
func started(t *testing.T) *site {
	t.Helper()
	needRoot(t)
	s := theSite
	s.once.Do(func() { s.err = s.make() })
	if s.err != nil {
		t.Fatalf("make the site: %v", s.err)
	}
	return s
}

func (s *site) path(parts ...string) string {
	return filepath.Join(append([]string{s.base}, parts...)...)
}
func (s *site) etc(name string) string     { return s.path("etc/filbert", name) }
func (s *site) spool(name string) string   { return s.path("var/spool/filbert", name) }
func (s *site) run(name string) string     { return s.path("run/filbert", name) }
func (s *site) program(name string) string { return s.path("usr/sbin", name) }
func (s *site) helper() string             { return s.path("helper") }
func (s *site) maildir(user string) string { return s.path("home", user, "Maildir") }
func (s *site) logFile() string            { return s.path("var/log/filbert/filbert.log") }

// make installs and starts everything.
func (s *site) make() error {
	dir, err := s.place()
	if err != nil {
		return err
	}
	s.base = dir
	for _, d := range []string{"home", "run", "out"} {
		if err := os.Mkdir(s.path(d), 0o755); err != nil {
			return err
		}
	}
	if s.made, err = addUsers(s.path("home")); err != nil {
		return err
	}
	s.users = map[string]account{}
	for _, name := range slices.Concat(suiteUsers, endUsers, []string{"nobody"}) {
		if s.users[name], err = lookupAccount(name); err != nil {
			return err
		}
	}
	if s.drop, err = lookupGroup("filbert-drop"); err != nil {
		return err
	}
	if err := copyFile("/proc/self/exe", s.helper()); err != nil {
		return err
	}
	if err := s.install(); err != nil {
		return err
	}
	if s.dns, err = resolvetest.Start("127.0.0.1:0", "nothing.test. A 127.0.0.1\n"); err != nil {
		return err
	}
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	s.mx, s.sinkPort = fmt.Sprintf("127.0.0.1:%d", ports[0]), ports[1]
	if err := s.configure(); err != nil {
		return err
	}
	return s.start()
}

// place is a directory that other users can reach, on a file system where
// set-group-id counts.
func (s *site) place() (string, error) {
	for _, dir := range []string{"/var/tmp", os.TempDir(), "/opt"} {
		var st syscall.Statfs_t
		const noSUID, noExec = 0x2, 0x8
		if err := syscall.Statfs(dir, &st); err != nil || st.Flags&(noSUID|noExec) != 0 {
			continue
		}
		// Short: it has to fit into the address of a socket.
		base, err := os.MkdirTemp(dir, sitePrefix)
		if err != nil {
			return "", err
		}
		return base, os.Chmod(base, 0o755)
	}
	return "", errors.New("no file system for the site: all are mounted nosuid or noexec")
}

// makeArgs are what `make` is told to install below the site's directory.
func (s *site) makeArgs(more ...string) []string {
	return append([]string{
		"-C", "../..", "-s", "objdir=" + s.path("obj"), "prefix=" + s.path("usr"), "sysconfdir=" + s.path("etc"),
		"localstatedir=" + s.path("var"), "runstatedir=" + s.path("run"),
	}, more...)
}

func (s *site) install() error {
	if out, err := exec.Command("make", s.makeArgs("install")...).CombinedOutput(); err != nil {
		return fmt.Errorf("make install: %w\n%s", err, out)
	}
	return nil
}

const configText = `hostname = "mail.root.test"

[domains]
local = ["root.test", "mbox.test", "forward.test"]

[[listen]]
name = "mx"
address = "%s"

[dns]
servers = ["%s"]

[[retry]]
phases = [{ every = "1s", until = "5 days" }]

[[director]]
name = "aliases"
driver = "aliasfile"
file = "aliases"
allow_pipes = true
allow_files = true
user = "nobody"

[[director]]
name = "mboxes"
driver = "user"
domains = ["mbox.test"]
users = "system"
transport = "mbox"

[[director]]
name = "forward"
driver = "forwardfile"
domains = ["forward.test"]
allow_pipes = true
allow_includes = true

[[director]]
name = "users"
driver = "user"
users = "system"
separator = "+"
transport = "maildir"

[[router]]
name = "far"
driver = "table"
transport = "smtp"
map = { "far.test" = "[127.0.0.1]:%d" }

[transport.mbox]
driver = "mbox"
path = "%s/{user}"
`

func (s *site) configure() error {
	mail := s.path("var/mail")
	// As on a Debian machine, but with nobody to share a group with.
	if err := os.Chmod(mail, 0o777|os.ModeSticky); err != nil {
		return err
	}
	nobody := s.users["nobody"]
	if err := os.Chown(s.path("out"), nobody.uid, nobody.gid); err != nil {
		return err
	}
	aliases := fmt.Sprintf("describe: \"|%[1]s %[2]s describe %[3]s/describe\"\nanswer: \"|%[1]s %[2]s answer %[4]s\"\nboth: fbtest1, fbtest2\n",
		s.helper(), helperFlag, s.path("out"), s.program("sendmail"))
	if err := os.WriteFile(s.etc("aliases"), []byte(aliases), 0o644); err != nil {
		return err
	}
	text := fmt.Sprintf(configText, s.mx, s.dns.Addr(), s.sinkPort, mail)
	return os.WriteFile(s.etc("filbert.toml"), []byte(text), 0o644)
}

func (s *site) start() error {
	if out, err := exec.Command(s.program("mtactl"), "start").CombinedOutput(); err != nil {
		return fmt.Errorf("mtactl start: %w\n%s", err, out)
	}
	return nil
}

// remove stops the suite and takes everything away.
func (s *site) remove() error {
	if s.base == "" {
		return nil
	}
	var errs []error
	if out, err := exec.Command(s.program("mtactl"), "stop").CombinedOutput(); err != nil {
		errs = append(errs, fmt.Errorf("mtactl stop: %w\n%s", err, out))
	}
	for until := time.Now().Add(patience); len(s.processes()) > 0 && time.Now().Before(until); {
		time.Sleep(pollEvery)
	}
	for _, pid := range s.processes() {
		what, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		errs = append(errs, fmt.Errorf("process %d (%q) is left", pid, what), syscall.Kill(pid, syscall.SIGKILL))
	}
	if s.dns != nil {
		s.dns.Close()
	}
	errs = append(errs, removeUsers(s.made))
	if os.Getenv("FILBERT_TEST_KEEP") != "" {
		fmt.Fprintln(os.Stderr, "kept:", s.base)
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, os.RemoveAll(s.base))...)
}

// processes are those that run a program below the site's prefix, and master
// first: its number is the least.
func (s *site) processes() []int {
	var out []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		exe, err := os.Readlink(d + "/exe")
		var pid int
		if err == nil && strings.HasPrefix(exe, s.path("usr")+"/") {
			if _, err := fmt.Sscan(filepath.Base(d), &pid); err == nil && alive(pid) {
				out = append(out, pid)
			}
		}
	}
	slices.Sort(out)
	return out
}

// mtactl runs it and fails the test if it fails.
func (s *site) mtactl(t *testing.T, args ...string) string {
	t.Helper()
	code, out := output(t, exec.Command(s.program("mtactl"), args...))
	if code != 0 {
		t.Fatalf("mtactl %s: exit status %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

func (s *site) status() (*proto.Status, error) {
	out, err := exec.Command(s.program("mtactl"), "status", "--json").Output()
	var st proto.Status
	if err == nil {
		err = json.Unmarshal(out, &st)
	}
	return &st, err
}

// pid is the process of a service, which is woken if it sleeps until called.
func (s *site) pid(t *testing.T, name proto.Service) int {
	t.Helper()
	switch name {
	case proto.LocalDeliver:
		s.wake(t, "fbtest1@root.test")
	case proto.Bounce:
		s.wake(t, "no-such-user@root.test")
	}
	var pid int
	eventually(t, func() (bool, string) {
		st, err := s.status()
		if err != nil {
			return false, err.Error()
		}
		if name == proto.Master {
			pid = st.PID
			return true, ""
		}
		for _, sv := range st.Services {
			if sv.Name != string(name) {
				continue
			}
			for _, p := range sv.Processes {
				if p.State == "running" {
					pid = p.PID
				}
			}
			return sv.State == "running" && pid != 0, string(name) + " is " + sv.State
		}
		return false, "there is no service " + string(name)
	})
	return pid
}

// wake starts services that start when they are first called: mail for a
// user, and mail that fails.
func (s *site) wake(t *testing.T, to string) {
	t.Helper()
	s.send(t, "fbtest2@root.test", to, "wake")
}

// running waits until all services run that are not idle.
func (s *site) running(t *testing.T) {
	t.Helper()
	eventually(t, func() (bool, string) {
		st, err := s.status()
		if err != nil {
			return false, err.Error()
		}
		for _, sv := range st.Services {
			if sv.State != "running" && sv.State != "idle" {
				return false, sv.Name + " is " + sv.State
			}
		}
		return st.State == "running", "the suite is " + st.State
	})
}

// send hands a message in by SMTP.
func (s *site) send(t *testing.T, from, to, subject string) {
	t.Helper()
	s.sendText(t, from, to, fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: %s\r\n\r\nHello.\r\n", from, to, subject))
}

func (s *site) sendText(t *testing.T, from, to, text string) {
	t.Helper()
	// As a server does that gets a temporary answer, or finds the port closed: a
	// daemon may just be starting again.
	eventually(t, func() (bool, string) {
		err := smtp.SendMail(s.mx, nil, from, []string{to}, []byte(text))
		var reply *textproto.Error
		if errors.As(err, &reply) && reply.Code/100 == 5 {
			t.Fatalf("send to %s: %v\n%s", to, err, s.tail())
		}
		return err == nil, fmt.Sprintf("an answer 250 to mail for %s: %v", to, err)
	})
}

// delivered waits for the message with a subject in a Maildir and gives its path.
func (s *site) delivered(t *testing.T, user, subject string) string {
	t.Helper()
	var found string
	eventually(t, func() (bool, string) {
		found = s.find(user, "Subject: "+subject+"\n")
		return found != "", fmt.Sprintf("mail for %s with the subject %q", user, subject)
	})
	return found
}

// find is the first message of a Maildir that contains text.
func (s *site) find(user, text string) string {
	files, _ := filepath.Glob(filepath.Join(s.maildir(user), "new", "*"))
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), text) {
			return f
		}
	}
	return ""
}

// log is the suite's log.
func (s *site) log() string {
	b, _ := os.ReadFile(s.logFile())
	return string(b)
}

// inLog waits for a line that has all the words.
func (s *site) inLog(t *testing.T, words ...string) {
	t.Helper()
	eventually(t, func() (bool, string) {
		for line := range strings.Lines(s.log()) {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
				return true, ""
			}
		}
		return false, fmt.Sprintf("a line of the log with %q", words)
	})
}

// tail is the end of the log, for tests that fail.
func (s *site) tail() string {
	lines := strings.Split(strings.TrimSpace(s.log()), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(0o755), out.Close())
}

// freePorts finds ports below the range from which the kernel picks.
func freePorts(n int) ([]int, error) {
	var out []int
	for port := 20000 + os.Getpid()%10000; port < 32000 && len(out) < n; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			out = append(out, port)
		}
	}
	if len(out) < n {
		return nil, errors.New("no ports are free")
	}
	return out, nil
}

// unique makes subjects that are no others'.
func unique(t *testing.T, what string) string {
	return fmt.Sprintf("%s-%s-%d", t.Name(), what, time.Now().UnixNano())
}

// present tells whether a user of the machine exists.
func present(name string) bool {
	_, err := user.Lookup(name)
	return err == nil
}

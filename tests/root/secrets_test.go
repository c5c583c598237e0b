package root

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/smtpclient/smtptest"
)

// more puts further configuration in force for the time of a test.
func (s *site) more(t *testing.T, text string) {
	t.Helper()
	file := s.etc("conf.d/" + strings.ToLower(t.Name()) + ".toml")
	t.Cleanup(func() {
		if err := os.Remove(file); err != nil {
			t.Error(err)
		}
		s.mtactl(t, "reload")
	})
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s.mtactl(t, "reload")
}

// secret makes a file with a password that only root may read.
func (s *site) secret(t *testing.T, name string) (password string) {
	t.Helper()
	password = fmt.Sprintf("%s-%d-zyxwvu", name, time.Now().UnixNano())
	file := s.etc(name)
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file) })
	return password
}

// remembers tells whether a text is anywhere in the memory of a process.
func remembers(t *testing.T, pid int, text string) bool {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	buffer := make([]byte, 1<<20)
	read := 0
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var rights string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); err != nil || !strings.HasPrefix(rights, "rw") {
			continue
		}
		for at := from; at < to; at += int64(len(buffer) - len(text)) {
			n, err := mem.ReadAt(buffer[:min(int64(len(buffer)), to-at)], at)
			read += n
			if bytes.Contains(buffer[:n], []byte(text)) {
				return true
			}
			if err != nil {
				break // the rest of it is no longer there
			}
		}
	}
	if read < 1<<20 {
		t.Errorf("of process %d only %d octets can be read", pid, read)
	}
	return false
}

// hears listens on loopback and notes whether it was told a text; it never
// answers.
func hears(t *testing.T, text string) (address string, heard func() bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var told atomic.Bool
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(5 * time.Second)) // the reading ends, one way or the other
				var got []byte
				b := make([]byte, 4096)
				for {
					n, err := c.Read(b)
					got = append(got, b[:n]...)
					if bytes.Contains(got, []byte(text)) {
						told.Store(true)
						return
					}
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String(), told.Load
}

// plainLogin is the server's side of AUTH PLAIN.
type plainLogin struct{ user, password string }

func (p *plainLogin) Next(response []byte) ([]byte, bool, error) {
	switch {
	case response == nil:
		return []byte{}, false, nil
	case string(response) == "\x00"+p.user+"\x00"+p.password:
		return nil, true, nil
	}
	return nil, false, errors.New("that is not it")
}

// TestPasswordsReachThoseWhoNeedThemAndNobodyElse looks for them in the memory of
// every process: the files are root's alone, the one password is router's, the
// other smtp-client's.
func TestPasswordsReachThoseWhoNeedThemAndNobodyElse(t *testing.T) {
	s := started(t)
	table, transport := s.secret(t, "table-password"), s.secret(t, "smtp-password")
	server, heard := hears(t, table)
	sink := smtptest.Drink(t, smtptest.Options{
		Extensions: []string{"AUTH PLAIN"}, Login: func(string) smtptest.Login { return &plainLogin{"office", transport} },
	})
	s.more(t, fmt.Sprintf(`[lookup.people]
type = "redis"
servers = ["%s"]
password_file = "table-password"
timeout = "1s"
[[router]]
name = "provider"
driver = "table"
map = { "provider.test" = "[%s]:%d" }
transport = "provider"
[transport.provider]
driver = "smtp"
username = "office"
password_file = "smtp-password"
`, server, sink.Addr().Addr(), sink.Addr().Port()))

	subject := unique(t, "login")
	s.send(t, "fbtest1@root.test", "bob@provider.test", subject)
	arrived(t, sink, subject)
	eventually(t, func() (bool, string) {
		// No answer comes, so that it ends with an error; it must have tried.
		_ = exec.Command(s.program("mtactl"), "lookup", "people", "ann").Run()
		return heard(), "router to give the table's password to its server"
	})
	for _, d := range daemons() {
		pid := s.pid(t, d.name)
		if got, want := remembers(t, pid, table), d.name == proto.Router; got != want {
			t.Errorf("%s has the password of the lookup: %v", d.name, got)
		}
		if got, want := remembers(t, pid, transport), d.name == proto.SMTPClient; got != want {
			t.Errorf("%s has the password of the transport: %v", d.name, got)
		}
	}
	for _, password := range []string{table, transport} {
		if strings.Contains(s.log(), password) {
			t.Error("a password is in the log")
		}
	}
}

// TestALookupByAUnixSocketWorksInConfinement: the socket is none that router could
// have reached before the reload.
func TestALookupByAUnixSocketWorksInConfinement(t *testing.T) {
	s := started(t)
	dir := s.path("maps")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	go answerAll(l, "OK fbtest1")
	s.more(t, fmt.Sprintf(`[lookup.maps]
type = "socketmap"
servers = ["%s"]
database = "people"
[[director]]
name = "maps"
driver = "user"
lookup = "maps"
transport = "maildir"
`, path))
	subject := unique(t, "map")
	s.send(t, "fbtest2@root.test", "whoever.it.is@root.test", subject)
	s.delivered(t, "fbtest1", subject)
	if got := s.mtactl(t, "lookup", "maps", "x"); strings.TrimSpace(got) != "fbtest1" {
		t.Errorf("mtactl lookup says %q", got)
	}
}

// answerAll gives every question of socketmap the same answer.
func answerAll(l net.Listener, answer string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b := make([]byte, 4096) // a question comes in one piece: it is short
			for {
				if _, err := c.Read(b); err != nil {
					return
				}
				if _, err := io.WriteString(c, fmt.Sprintf("%d:%s,", len(answer), answer)); err != nil {
					return
				}
			}
		}()
	}
}

//go:build interop

package lookups

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is whom the servers run as.
const nobody = 65534

// patience bounds the start and the end of a server.
const patience = 30 * time.Second

// server is one that a test has started.
type server struct {
	root string // of what install.sh has unpacked
	dir  string // all that the server has
	port int
	tls  int // a second port, of those that have one for TLS

	command []string
	cmd     *exec.Cmd
	log     *bytes.Buffer
	done    chan struct{}
}

// newServer makes the directory of a server and finds ports for it.
func newServer(t *testing.T, name string) *server {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("must be root, to start the servers as somebody else")
	}
	peers := os.Getenv("FILBERT_PEERS")
	if peers == "" {
		peers = "/var/cache/filbert-interop"
	}
	s := &server{root: filepath.Join(peers, name), port: freePort(t), tls: freePort(t)}
	if _, err := os.Stat(s.root); err != nil {
		t.Fatalf("tests/interop/install.sh first: %v", err)
	}
	// Not t.TempDir, which only its maker may enter; short, for the sake of sockets.
	dir, err := os.MkdirTemp("/tmp", "filbert-"+name)
	if err != nil {
		t.Fatal(err)
	}
	s.dir = dir
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, d := range []string{dir, filepath.Join(dir, "data")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(d, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	s.certify(t)
	return s
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// file writes a file of the server's.
func (s *server) file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	return path
}

// program is a program of the server's, run as nobody with its own libraries.
func (s *server) program(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.root, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{
		"PATH=" + s.root + "/usr/bin:/usr/bin:/bin", "HOME=" + s.dir, "TMPDIR=" + s.dir, "LC_ALL=C.UTF-8", "TZ=UTC",
		"LD_LIBRARY_PATH=" + s.root + "/usr/lib/x86_64-linux-gnu:" + s.root + "/lib/x86_64-linux-gnu",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: nobody, Gid: nobody},
		Setpgid:    true, // what it starts ends with it
	}
	return cmd
}

// run runs a program of the server's to its end.
func (s *server) run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := s.program(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// start starts s.command and waits until it listens.
func (s *server) start(t *testing.T) {
	t.Helper()
	s.cmd = s.program(s.command[0], s.command[1:]...)
	s.log, s.done = &bytes.Buffer{}, make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, done := s.cmd, s.done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	t.Cleanup(s.stop)
	eventually(t, "start "+s.command[0], func() error {
		select {
		case <-done:
			t.Fatalf("%s ended:\n%s", s.command[0], s.log)
		default:
		}
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			c.Close()
		}
		return err
	})
}

// stop ends the server as a power cut would, and all that it started.
func (s *server) stop() {
	select {
	case <-s.done:
	default:
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.done
	}
}

// eventually tries until there is no error, or too much time has gone.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

package root

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long something may take to happen. Long, because it matters
// only to a test that fails.
const patience = 30 * time.Second

// lockFile is locked by the run that has the machine's users in hand.
const lockFile = "/var/tmp/filbert-test-root.lock"

// sitePrefix begins the name of the directory of a site.
const sitePrefix = "fb-"

const pollEvery = 20 * time.Millisecond

// asked is set by `make test-root`.
const asked = "FILBERT_TEST_ROOT"

// helperFlag makes the test program one of the programs of helper_test.go, so
// that other users have something to run.
const helperFlag = "--helper"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == helperFlag {
		os.Exit(help(os.Args[2], os.Args[3:]))
	}
	if os.Geteuid() == 0 && os.Getenv(asked) != "" {
		unlock, err := lockMachine()
		if err != nil {
			fmt.Fprintf(os.Stderr, "tests/root: %v\n", err)
			os.Exit(1)
		}
		defer unlock()
	}
	code := m.Run()
	if err := theSite.remove(); err != nil {
		fmt.Fprintf(os.Stderr, "clean up after the tests: %v\n", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// lockMachine waits until no other run makes users on this machine: two would
// take each other's away.
func lockMachine() (unlock func(), err error) {
	f, err := os.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %s: %w", lockFile, err)
	}
	return func() { _ = f.Close() }, nil
}

// needRoot skips where a test can say nothing, or would change a machine that
// nobody offered.
func needRoot(t *testing.T) {
	t.Helper()
	switch {
	case os.Geteuid() != 0:
		t.Skip("needs root: run `make test-root` as root")
	case os.Getenv(asked) == "":
		t.Skip("makes users on this machine: run `make test-root`")
	}
}

// eventually asks again and again until f is content; f says what it waits for.
func eventually(t *testing.T, f func() (bool, string)) {
	t.Helper()
	for until := time.Now().Add(patience); ; time.Sleep(pollEvery) {
		ok, missing := f()
		if ok {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("still missing after %v: %s\n%s", patience, missing, theSite.tail())
		}
	}
}

// as makes a command run as a user with the groups given and no other.
func as(cmd *exec.Cmd, u account, groups ...int) *exec.Cmd {
	cred := &syscall.Credential{Uid: uint32(u.uid), Gid: uint32(u.gid), Groups: []uint32{}}
	for _, g := range groups {
		cred.Groups = append(cred.Groups, uint32(g))
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = cred
	cmd.Dir = "/"
	if cmd.Env == nil {
		cmd.Env = []string{"PATH=/usr/bin:/bin"}
	}
	return cmd
}

// output runs a command to its end and gives its exit status and all it said.
func output(t *testing.T, cmd *exec.Cmd) (int, string) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("%s: %v", strings.Join(cmd.Args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// procStatus is a line of /proc/PID/status, its words joined by one space.
func procStatus(pid int, key string) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.Join(strings.Fields(v), " ")
		}
	}
	return "(none)"
}

// alive tells whether a process runs; one that has ended and whose parent has
// not asked for its status does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

var theSite = &site{once: new(sync.Once)}

func ownerOf(info os.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

func makeFIFO(path string) error { return syscall.Mkfifo(path, 0o600) }

// killOthers kills all processes that may be signalled, but the caller.
func killOthers() error { return syscall.Kill(-1, syscall.SIGKILL) }

package root

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"filbert/pkg/proto"
)

const noCaps = "0000000000000000"

// rootCaps are those that local-deliver keeps: CAP_KILL, CAP_SETGID and
// CAP_SETUID.
const rootCaps = "00000000000000e0"

// confined is what the kernel must say of a daemon.
type confined struct {
	name    proto.Service
	user    string // "" = root
	seccomp string // mode: 2 is a filter
	chroot  bool
	caps    string
	// files are patterns of the descriptors' targets that it may hold beside
	// those of every daemon; {spool}, {db} and {log} are filled in.
	files []string
	// noFile is the most descriptors.
	noFile int
}

func daemons() []confined {
	return []confined{
		{proto.SMTPD, "filbert-in", "2", true, noCaps, nil, 3*2000 + 256},
		{proto.Cleanup, "filbert", "2", true, noCaps, []string{`{spool}`, `{spool}/incoming`, `{spool}/incoming/\S+`}, 4096},
		{proto.Dispatch, "filbert", "2", true, noCaps, []string{`{spool}`, `{spool}/(incoming|deferred)(/\S+)?`}, 16384},
		{proto.SMTPClient, "filbert-out", "2", true, noCaps, nil, 65536},
		{proto.LocalDeliver, "", "0", false, rootCaps, nil, 4096},
		{proto.Bounce, "filbert", "2", true, noCaps, nil, 1024},
		{proto.Router, "filbert-route", "2", false, noCaps, nil, 65536},
		{proto.QMgr, "filbert", "2", true, noCaps, []string{`{spool}`, `{spool}/(deferred|hold|index)(/\S+)?`}, 4096},
		{proto.MTADB, "filbert-db", "2", true, noCaps, []string{`{db}(/memory(/\S+)?)?`, `{log}(\.1)?`}, 1024},
	}
}

func forEachDaemon(t *testing.T, f func(t *testing.T, s *site, d confined, pid int)) {
	s := started(t)
	for _, d := range daemons() {
		t.Run(string(d.name), func(t *testing.T) { f(t, s, d, s.pid(t, d.name)) })
	}
}

func TestDaemonsAreTheirUsersWithoutGroupsAndCapabilities(t *testing.T) {
	forEachDaemon(t, func(t *testing.T, s *site, d confined, pid int) {
		u := s.users[d.user] // the zero account is root
		for key, want := range map[string]string{
			"Uid":        fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", u.uid),
			"Gid":        fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", u.gid),
			"Groups":     "",
			"NoNewPrivs": "1",
			"Seccomp":    d.seccomp,
			"CapEff":     d.caps, "CapPrm": d.caps, "CapBnd": d.caps,
			"CapInh": noCaps, "CapAmb": noCaps,
		} {
			for _, task := range tasks(t, pid) {
				if got := procStatus(task, key); got != want {
					t.Errorf("thread %d: %s is %q, want %q", task, key, got, want)
				}
			}
		}
	})
}

// masterCaps are what master keeps: CAP_CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH,
// FOWNER, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, SYS_CHROOT.
const masterCaps = "00000000000405ef"

func TestMasterStaysRootWithFewCapabilities(t *testing.T) {
	s := started(t)
	for _, task := range tasks(t, s.pid(t, proto.Master)) {
		for key, want := range map[string]string{
			"Uid": "0 0 0 0", "NoNewPrivs": "1",
			"CapEff": masterCaps, "CapPrm": masterCaps, "CapBnd": masterCaps, "CapInh": noCaps, "CapAmb": noCaps,
		} {
			if got := procStatus(task, key); got != want {
				t.Errorf("thread %d: %s is %q, want %q", task, key, got, want)
			}
		}
	}
}

// tasks are the threads of a process, whose books can be read like processes'.
func tasks(t *testing.T, pid int) []int {
	t.Helper()
	dirs, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", pid))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("process %d has no threads (%v)", pid, err)
	}
	var out []int
	for _, d := range dirs {
		n, _ := strconv.Atoi(filepath.Base(d))
		if _, err := os.Stat(d); err == nil {
			out = append(out, n)
		}
	}
	return out
}

func TestDaemonsLiveInAnEmptyRoot(t *testing.T) {
	forEachDaemon(t, func(t *testing.T, s *site, d confined, pid int) {
		want := "/"
		if d.chroot {
			want = s.run("empty")
		}
		if got, err := os.Readlink(fmt.Sprintf("/proc/%d/root", pid)); err != nil || got != want {
			t.Errorf("the root is %q (%v), want %q", got, err, want)
		}
		if got, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || got != want {
			t.Errorf("the working directory is %q (%v), want %q", got, err, want)
		}
	})
	s := theSite
	if entries, err := os.ReadDir(s.run("empty")); err != nil || len(entries) != 0 {
		t.Errorf("the empty directory has %v (%v)", entries, err)
	}
}

// descriptors are what a process has open.
func descriptors(t *testing.T, pid int) map[int]string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]string{}
	for _, e := range entries {
		fd, _ := strconv.Atoi(e.Name())
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		out[fd] = to
	}
	return out
}

// runtimeFiles are what the Go runtime keeps open, for reading: how much of the
// processors its control group may use.
const runtimeFiles = `/sys/fs/cgroup/\S*/cpu\.(cfs_quota_us|cfs_period_us|max)`

func TestDaemonsHoldNoUnexpectedDescriptor(t *testing.T) {
	forEachDaemon(t, func(t *testing.T, s *site, d confined, pid int) {
		allowed := []string{
			`socket:\[\d+\]`, // to master, between daemons, of clients
			`anon_inode:\[(eventpoll|eventfd|pidfd)\]`,
			runtimeFiles,
		}
		fill := strings.NewReplacer("{spool}", regexp.QuoteMeta(strings.TrimSuffix(s.spool(""), "/")),
			"{db}", regexp.QuoteMeta(s.path("var/lib/filbert")), "{log}", regexp.QuoteMeta(s.logFile()))
		for _, f := range d.files {
			allowed = append(allowed, fill.Replace(f))
		}
		pattern := regexp.MustCompile(`^(` + strings.Join(allowed, "|") + `)( \(deleted\))?$`)
		for fd, to := range descriptors(t, pid) {
			want := map[int]string{0: "/dev/null", 1: s.logFile()}[fd]
			switch {
			case want != "" && to == want:
			case fd == 2 && strings.HasPrefix(to, "pipe:"): // to master, who logs it
			case want == "" && fd != 2 && pattern.MatchString(to):
			default:
				t.Errorf("descriptor %d is %s", fd, to)
			}
			if fd > 2 && !closedOnExec(t, pid, fd) {
				t.Errorf("descriptor %d, %s, is not close-on-exec", fd, to)
			}
		}
	})
}

// closedOnExec reads the flags of a descriptor from fdinfo: octal, O_CLOEXEC
// among them.
func closedOnExec(t *testing.T, pid, fd int) bool {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
	if errors.Is(err, fs.ErrNotExist) {
		return true // closed meanwhile
	}
	m := regexp.MustCompile(`(?m)^flags:\s+([0-7]+)$`).FindSubmatch(b)
	if err != nil || m == nil {
		t.Fatalf("flags of descriptor %d: %v", fd, err)
	}
	flags, err := strconv.ParseUint(string(m[1]), 8, 64)
	return err == nil && flags&0o2000000 != 0
}

func TestDaemonsHaveLimits(t *testing.T) {
	forEachDaemon(t, func(t *testing.T, _ *site, d confined, pid int) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
		if err != nil {
			t.Fatal(err)
		}
		limit := func(name string) (hard uint64, limited bool) {
			m := regexp.MustCompile(`(?m)^Max ` + name + `\s+\S+\s+(\S+)`).FindSubmatch(b)
			if m == nil {
				t.Fatalf("no limit %q in\n%s", name, b)
			}
			if string(m[1]) == "unlimited" {
				return 0, false
			}
			n, err := strconv.ParseUint(string(m[1]), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n, true
		}
		if n, ok := limit("core file size"); !ok || n != 0 {
			t.Errorf("a core file may be written")
		}
		if _, ok := limit("data size"); !ok {
			t.Errorf("memory is not limited")
		}
		if d.seccomp == "2" { // local-deliver's would be those of users' commands
			if _, ok := limit("file size"); !ok {
				t.Error("the size of files is not limited")
			}
			if n, ok := limit("processes"); !ok || n > 4096 {
				t.Errorf("%d threads may run", n)
			}
		}
		if n, ok := limit("open files"); !ok || n > uint64(d.noFile) {
			t.Errorf("%d descriptors may be open, want at most %d", n, d.noFile)
		}
	})
}

// TestMemoryOfDaemonsIsClosedToTheirOwnUser: a process that may be dumped can
// be read and traced by every other with its uid.
func TestMemoryOfDaemonsIsClosedToTheirOwnUser(t *testing.T) {
	forEachDaemon(t, func(t *testing.T, _ *site, d confined, pid int) {
		info, err := os.Stat(fmt.Sprintf("/proc/%d/mem", pid))
		if err != nil {
			t.Fatal(err)
		}
		// The kernel gives the books of what may not be dumped to root.
		if uid := ownerOf(info); uid != 0 {
			t.Errorf("/proc/%d/mem belongs to uid %d", pid, uid)
		}
	})
}

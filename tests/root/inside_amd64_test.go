package root

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"filbert/pkg/proto"
)

// System calls that package syscall has no names for.
const (
	sysBPF            = 321
	sysExecveat       = 322
	sysClone3         = 435
	sysPidfdOpen      = 434
	sysPidfdGetfd     = 438
	sysOpenat2        = 437
	sysIOUringSetup   = 425
	sysMemfdCreate    = 319
	sysSeccomp        = 317
	sysOpenByHandleAt = 304
	sysSetns          = 308
	sysProcessVMRead  = 310
	sysFinitModule    = 313
	sysUserfaultfd    = 323

	atFDCWD       = ^uintptr(99) // -100
	cloneNewUser  = 0x10000000
	cloneNewNS    = 0x00020000
	prSetDumpable = 4
	mptcp         = 262
)

// attempt is something that somebody who has taken a daemon over would try.
type attempt struct {
	what string
	do   func(*inmate) syscall.Errno
}

// call is an attempt of one system call with numbers for arguments.
func call(what string, nr uintptr, args ...uintptr) attempt {
	return attempt{what, func(in *inmate) syscall.Errno {
		_, errno := in.call(nr, args...)
		return errno
	}}
}

// opens tries to open a path and closes what it got.
func (in *inmate) opens(dir uintptr, path string, flags uintptr) syscall.Errno {
	in.t.Helper()
	fd, errno := in.call(syscall.SYS_OPENAT, dir, in.path(path), flags|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0o600)
	if errno == 0 {
		in.must("close", syscall.SYS_CLOSE, fd)
	}
	return errno
}

func open(path string) attempt {
	return attempt{"open " + path, func(in *inmate) syscall.Errno { return in.opens(atFDCWD, path, syscall.O_RDONLY) }}
}

func create(path string) attempt {
	return attempt{"create " + path, func(in *inmate) syscall.Errno {
		return in.opens(atFDCWD, path, syscall.O_CREAT|syscall.O_WRONLY)
	}}
}

// socket makes a socket, hands it to f and closes it.
func (in *inmate) socket(family, kind, protocol uintptr, f func(fd uintptr) syscall.Errno) syscall.Errno {
	in.t.Helper()
	fd, errno := in.call(syscall.SYS_SOCKET, family, kind|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, protocol)
	if errno != 0 {
		return errno
	}
	defer in.must("close", syscall.SYS_CLOSE, fd)
	if f == nil {
		return 0
	}
	return f(fd)
}

func makeSocket(what string, family, kind, protocol uintptr) attempt {
	return attempt{"make a socket: " + what, func(in *inmate) syscall.Errno { return in.socket(family, kind, protocol, nil) }}
}

// reach connects to a Unix socket.
func reach(name string) attempt {
	return attempt{"connect to " + name, func(in *inmate) syscall.Errno {
		return in.socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0, func(fd uintptr) syscall.Errno {
			at, size := in.unixAddr(name)
			_, errno := in.call(syscall.SYS_CONNECT, fd, at, size)
			return errno
		})
	}}
}

// connectOut begins a connection to a port of this machine: EINPROGRESS means
// that the packet is on its way.
func connectOut(port int) attempt {
	return attempt{"connect out", func(in *inmate) syscall.Errno {
		return in.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0, func(fd uintptr) syscall.Errno {
			at, size := in.inetAddr(port)
			_, errno := in.call(syscall.SYS_CONNECT, fd, at, size)
			if errno == syscall.EINPROGRESS {
				return 0
			}
			return errno
		})
	}}
}

// listen waits for connections on a port of its own.
func listen() attempt {
	return attempt{"listen on a port", func(in *inmate) syscall.Errno {
		return in.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0, func(fd uintptr) syscall.Errno {
			at, size := in.inetAddr(0)
			if _, errno := in.call(syscall.SYS_BIND, fd, at, size); errno != 0 {
				return errno
			}
			_, errno := in.call(syscall.SYS_LISTEN, fd, 1)
			return errno
		})
	}}
}

func runs(path string) attempt {
	return attempt{"run " + path, func(in *inmate) syscall.Errno {
		_, errno := in.call(syscall.SYS_EXECVE, in.path(path), in.words(0), in.words(0))
		return errno
	}}
}

// denied are the answers of the four layers: user and capabilities (EPERM,
// EACCES), empty root (ENOENT), Landlock (EACCES, EPERM) and seccomp (EPERM). ESRCH
// is that of a process id outside of a Landlock scope on some calls.
var denied = []syscall.Errno{syscall.EPERM, syscall.EACCES, syscall.ENOENT}

func TestAProcessTakenOverGainsNothing(t *testing.T) {
	forEachDaemon(t, func(t *testing.T, s *site, d confined, pid int) {
		if d.name == proto.LocalDeliver {
			t.Skip("see TestLocalDeliverCanOnlyBecomeOthers")
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		abstract, err := net.Listen("unix", fmt.Sprintf("@filbert-root-%d-%s", os.Getpid(), d.name))
		if err != nil {
			t.Fatal(err)
		}
		defer abstract.Close()
		tries := slices.Concat(
			filesToTry(s), programsToTry(), rightsToTry(), neighboursToTry(s.pid(t, proto.Master)),
			[]attempt{reach(abstract.Addr().String())}, socketsToTry(s), networkToTry(d, listener.Addr().(*net.TCPAddr).Port),
		)
		allowed := allowedTo(s, d)
		arrest(t, pid, func(in *inmate) {
			if got := in.must("getpid", syscall.SYS_GETPID); int(got) != pid {
				t.Fatalf("the injected call answers for %d and not for %d", got, pid)
			}
			// Where these are not filtered, what follows could succeed, and leave a
			// daemon that is another program, or two.
			const cloneSighand = 0x800 // alone it is no valid flag
			if _, errno := in.call(syscall.SYS_EXECVE, 0, 0, 0); errno != syscall.EPERM {
				t.Fatalf("execve without arguments: %v; no more is tried", errno)
			}
			if _, errno := in.call(syscall.SYS_CLONE, cloneSighand, 0, 0, 0, 0); errno != syscall.EPERM {
				t.Fatalf("clone with wrong arguments: %v; no more is tried", errno)
			}
			for _, a := range tries {
				errno := a.do(in)
				switch {
				case allowed[a.what] && errno != 0:
					t.Errorf("%s: %v, but it has to be able to: the test would prove nothing", a.what, errno)
				case !allowed[a.what] && errno == 0:
					t.Errorf("%s: it can", a.what)
				case !allowed[a.what] && !slices.Contains(denied, errno):
					t.Errorf("%s: %v, which is no refusal", a.what, errno)
				}
			}
		})
		// And it serves as before.
		subject := unique(t, "x")
		s.send(t, "fbtest2@root.test", "fbtest1@root.test", subject)
		s.delivered(t, "fbtest1", subject)
		if now := s.pid(t, d.name); now != pid {
			t.Errorf("the daemon did not survive the test: %d became %d", pid, now)
		}
	})
}

// allowedTo is what a daemon may do of all that is tried: the proof that an
// attempt can succeed.
func allowedTo(s *site, d confined) map[string]bool {
	var list []attempt
	switch d.name {
	case proto.Router:
		list = []attempt{open(s.etc("filbert.toml")), open(s.etc("aliases")), open("/etc/passwd"),
			open("../../../../etc/passwd"), open("/proc/self/root/etc/passwd"), // the same file
			makeSocket("TCP", 0, 0, 0), makeSocket("UDP", 0, 0, 0)}
	case proto.SMTPClient:
		list = []attempt{makeSocket("TCP", 0, 0, 0), connectOut(0)}
	}
	out := map[string]bool{}
	for _, a := range list {
		out[a.what] = true
	}
	return out
}

// filesToTry: the spool, the password file, the configuration, the log, memory,
// devices, and places where everybody may write.
func filesToTry(s *site) []attempt {
	var list []attempt
	for _, name := range []string{"", "incoming", "incoming/00000001.j", "deferred", "hold", "corrupt", "maildrop"} {
		list = append(list, open(s.spool(name)))
	}
	if found, _ := filepath.Glob(s.spool("incoming/*.j")); len(found) > 0 {
		list = append(list, open(found[0]))
	}
	for _, path := range []string{
		"/etc/passwd", "/etc/shadow", s.etc("filbert.toml"), s.etc("aliases"), s.logFile(), s.run("master.lock"),
		s.path("var/lib/filbert"), s.maildir("fbtest1"), "/", "/..", "../../../../etc/passwd", "/proc/self/status",
		"/proc/self/mem", "/proc/1/environ", "/proc/self/root/etc/passwd", "/dev/null", "/dev/mem", "/dev/tty",
		"/sys/kernel/notes", "/var/run", "/tmp",
	} {
		list = append(list, open(path))
	}
	for _, path := range []string{
		"x", "/x", "/tmp/filbert-was-here", "/dev/shm/filbert-was-here", "/var/tmp/filbert-was-here",
		s.spool("incoming/x"), s.spool("deferred/x"), s.spool("maildrop/x"), s.run("x"), s.run("empty/x"), s.path("var/mail/x"),
	} {
		list = append(list, create(path))
	}
	return append(list,
		attempt{"openat2 /etc/shadow", func(in *inmate) syscall.Errno {
			_, errno := in.call(sysOpenat2, atFDCWD, in.path("/etc/shadow"), in.words(0, 0, 0), 24)
			return errno
		}},
		attempt{"make a symbolic link", func(in *inmate) syscall.Errno {
			_, errno := in.call(syscall.SYS_SYMLINK, in.path("/etc/shadow"), in.path("/tmp/filbert-was-here"))
			return errno
		}},
		attempt{"chmod /tmp", func(in *inmate) syscall.Errno {
			_, errno := in.call(syscall.SYS_CHMOD, in.path("/tmp"), 0o1777)
			return errno
		}},
		attempt{"remove the log", func(in *inmate) syscall.Errno {
			_, errno := in.call(syscall.SYS_UNLINK, in.path(s.logFile()))
			return errno
		}},
		call("open by handle", sysOpenByHandleAt, atFDCWD, 0, 0),
		// An invalid ring size would be EINVAL: io_uring passes seccomp by.
		call("io_uring", sysIOUringSetup, 0, 0),
	)
}

func programsToTry() []attempt {
	return []attempt{
		runs("/bin/true"), runs("/proc/self/exe"), runs("/usr/bin/env"),
		call("fork", syscall.SYS_FORK), call("vfork", syscall.SYS_VFORK),
		call("clone a process", syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0),
		attempt{"execveat", func(in *inmate) syscall.Errno {
			_, errno := in.call(sysExecveat, atFDCWD, in.path("/bin/true"), in.words(0), in.words(0), 0)
			return errno
		}},
		call("memory with code", syscall.SYS_MMAP, 0, 4096, syscall.PROT_READ|syscall.PROT_EXEC,
			syscall.MAP_PRIVATE|syscall.MAP_ANON, ^uintptr(0), 0),
		attempt{"make memory code", func(in *inmate) syscall.Errno {
			_, errno := in.call(syscall.SYS_MPROTECT, uintptr(in.scratch), 4096, syscall.PROT_READ|syscall.PROT_EXEC)
			return errno
		}},
		attempt{"memfd", func(in *inmate) syscall.Errno {
			_, errno := in.call(sysMemfdCreate, in.path("x"), 0)
			return errno
		}},
	}
}

// rightsToTry: another user, a capability, another root, another namespace, and
// whatever makes a program see kernel memory.
func rightsToTry() []attempt {
	return []attempt{
		call("setuid 0", syscall.SYS_SETUID, 0), call("setgid 0", syscall.SYS_SETGID, 0),
		call("setresuid 0", syscall.SYS_SETRESUID, 0, 0, 0), call("setresgid 0", syscall.SYS_SETRESGID, 0, 0, 0),
		attempt{"setgroups", func(in *inmate) syscall.Errno {
			_, errno := in.call(syscall.SYS_SETGROUPS, 1, in.words(0))
			return errno
		}},
		attempt{"capset", func(in *inmate) syscall.Errno {
			_, errno := in.call(syscall.SYS_CAPSET, in.words(0x20080522), in.words(0xffffffff_ffffffff, 0xffffffff))
			return errno
		}},
		attempt{"chroot", func(in *inmate) syscall.Errno {
			_, errno := in.call(syscall.SYS_CHROOT, in.path("."))
			return errno
		}},
		attempt{"chdir ..", func(in *inmate) syscall.Errno {
			_, errno := in.call(syscall.SYS_CHDIR, in.path(".."))
			return errno
		}},
		attempt{"mount", func(in *inmate) syscall.Errno {
			p := in.path("/")
			_, errno := in.call(syscall.SYS_MOUNT, p, p, p, 0, 0)
			return errno
		}},
		call("new user namespace", syscall.SYS_UNSHARE, cloneNewUser), call("new mount namespace", syscall.SYS_UNSHARE, cloneNewNS),
		call("setns", sysSetns, 0, 0), call("bpf", sysBPF, 0, 0, 0), call("seccomp", sysSeccomp, 0, 0, 0),
		call("load a module", sysFinitModule, 0, 0, 0), call("reboot", syscall.SYS_REBOOT, 0, 0, 0, 0),
		call("userfaultfd", sysUserfaultfd, 0), call("syslog", syscall.SYS_SYSLOG, 3, 0, 0),
		call("be traceable", syscall.SYS_PRCTL, prSetDumpable, 1),
		attempt{"raise a limit", func(in *inmate) syscall.Errno {
			_, errno := in.call(syscall.SYS_SETRLIMIT, syscall.RLIMIT_NOFILE, in.words(1<<20, 1<<20))
			return errno
		}},
		attempt{"set the host name", func(in *inmate) syscall.Errno {
			_, errno := in.call(syscall.SYS_SETHOSTNAME, in.path("x"), 1)
			return errno
		}},
	}
}

// neighboursToTry: other processes, the suite's own among them.
func neighboursToTry(master int) []attempt {
	return []attempt{
		call("signal master", syscall.SYS_KILL, uintptr(master), 0),
		call("signal its thread", syscall.SYS_TGKILL, uintptr(master), uintptr(master), 0),
		call("signal all", syscall.SYS_KILL, ^uintptr(0), 0),
		call("trace master", syscall.SYS_PTRACE, 16, uintptr(master), 0, 0),
		call("open master as a descriptor", sysPidfdOpen, uintptr(master), 0),
		call("take a descriptor", sysPidfdGetfd, 0, 0, 0),
		call("read master's memory", sysProcessVMRead, uintptr(master), 0, 0, 0, 0, 0),
	}
}

func socketsToTry(s *site) []attempt {
	return []attempt{
		reach(s.run("control/master")), reach(s.run("control/qmgr")), reach(s.run("control/mtadb")), reach(s.run("mine/mtadb")), reach(s.run("submit/cleanup")),
		makeSocket("Unix", syscall.AF_UNIX, syscall.SOCK_STREAM, 0), makeSocket("Unix datagrams", syscall.AF_UNIX, syscall.SOCK_DGRAM, 0),
		makeSocket("netlink", syscall.AF_NETLINK, syscall.SOCK_RAW, 0),
		makeSocket("packets", syscall.AF_PACKET, syscall.SOCK_RAW, 0),
		makeSocket("raw IP", syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP),
		makeSocket("multipath TCP", syscall.AF_INET, syscall.SOCK_STREAM, mptcp),
		makeSocket("vsock", 40, syscall.SOCK_STREAM, 0),
	}
}

func networkToTry(d confined, port int) []attempt {
	list := []attempt{
		makeSocket("TCP", syscall.AF_INET, syscall.SOCK_STREAM, 0),
		makeSocket("UDP", syscall.AF_INET, syscall.SOCK_DGRAM, 0),
		connectOut(port), listen(),
	}
	return list
}

// TestADaemonOfTheSpoolReachesItsOwnPartAlone: descriptors are the way around
// an empty root, and Landlock stands in it.
func TestADaemonOfTheSpoolReachesItsOwnPartAlone(t *testing.T) {
	own := map[proto.Service][]string{
		proto.Cleanup:  {"incoming"},
		proto.Dispatch: {"incoming", "deferred", "hold", "corrupt"},
		proto.QMgr:     {"deferred", "hold", "corrupt", "orders", "index"},
	}
	forEachDaemon(t, func(t *testing.T, s *site, d confined, pid int) {
		var dirs []uintptr
		for fd, to := range descriptors(t, pid) {
			if to == strings.TrimSuffix(s.spool(""), "/") {
				dirs = append(dirs, uintptr(fd))
			}
		}
		if has := len(dirs) > 0; has != (own[d.name] != nil) {
			t.Fatalf("it holds the spool: %v", has)
		}
		if len(dirs) == 0 {
			return
		}
		arrest(t, pid, func(in *inmate) {
			for _, dir := range dirs {
				for _, name := range []string{"incoming", "deferred", "hold", "corrupt", "orders", "index", "maildrop"} {
					errno := in.opens(dir, name, syscall.O_RDONLY|syscall.O_DIRECTORY)
					if may := slices.Contains(own[d.name], name); may != (errno == 0) {
						t.Errorf("opens %s: %v", name, errno)
					}
				}
				for _, name := range []string{".", "..", "../../..", "../../../etc/filbert/filbert.toml", strings.Repeat("../", 12) + "etc/passwd"} {
					if errno := in.opens(dir, name, syscall.O_RDONLY); !slices.Contains(denied, errno) {
						t.Errorf("opens %s: %v", name, errno)
					}
				}
				for _, name := range []string{"x", "maildrop/x", "../x"} {
					if errno := in.opens(dir, name, syscall.O_CREAT|syscall.O_WRONLY); !slices.Contains(denied, errno) {
						t.Errorf("makes %s: %v", name, errno)
					}
				}
			}
			// Out of the root by a descriptor that was open before.
			if _, errno := in.call(syscall.SYS_FCHDIR, dirs[0]); !slices.Contains(denied, errno) {
				t.Errorf("enters the spool: %v", errno)
			}
		})
	})
}

// TestRouterAsksNameServersAlone: of all ports it may connect to those of the
// configuration.
func TestRouterAsksNameServersAlone(t *testing.T) {
	s := started(t)
	arrest(t, s.pid(t, proto.Router), func(in *inmate) {
		if errno := connectOut(int(s.dns.Addr().Port())).do(in); errno != 0 {
			t.Errorf("the name server: %v", errno)
		}
		for _, port := range []int{25, 22, 80, s.sinkPort} {
			if errno := connectOut(port).do(in); !slices.Contains(denied, errno) {
				t.Errorf("port %d: %v", port, errno)
			}
		}
	})
}

// TestNoDaemonCanSignalAnotherOfItsUser: cleanup, dispatch, bounce and qmgr share
// a uid, and tgkill is among the calls that the Go runtime needs.
func TestNoDaemonCanSignalAnotherOfItsUser(t *testing.T) {
	s := started(t)
	all := map[proto.Service]int{}
	for _, d := range daemons() {
		if d.user == "filbert" {
			all[d.name] = s.pid(t, d.name)
		}
	}
	for name, pid := range all {
		arrest(t, pid, func(in *inmate) {
			in.must("signal itself", syscall.SYS_TGKILL, uintptr(pid), uintptr(pid), 0)
			for other, victim := range all {
				if other == name {
					continue
				}
				if _, errno := in.call(syscall.SYS_TGKILL, uintptr(victim), uintptr(victim), 0); !slices.Contains(denied, errno) {
					t.Errorf("%s signals %s: %v", name, other, errno)
				}
			}
		})
	}
}

// TestLocalDeliverCanOnlyBecomeOthers: the parent is uid 0 and has three
// capabilities. What root may do because of any other is gone.
func TestLocalDeliverCanOnlyBecomeOthers(t *testing.T) {
	s := started(t)
	pid := s.pid(t, proto.LocalDeliver)
	nobody := s.users["nobody"]
	arrest(t, pid, func(in *inmate) {
		for _, a := range slices.Concat([]attempt{
			open(s.spool("incoming")), open(s.spool("deferred")), open(s.spool("maildrop")), open(s.maildir("fbtest1")),
			create(s.spool("incoming/x")), create(s.path("home/fbtest1/x")),
			makeSocket("packets", syscall.AF_PACKET, syscall.SOCK_RAW, 0),
			makeSocket("raw IP", syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP),
			call("trace master", syscall.SYS_PTRACE, 16, uintptr(s.pid(t, proto.Master)), 0, 0),
			call("new mount namespace", syscall.SYS_UNSHARE, cloneNewNS),
			attempt{"chroot", func(in *inmate) syscall.Errno {
				_, errno := in.call(syscall.SYS_CHROOT, in.path("."))
				return errno
			}},
			attempt{"chown", func(in *inmate) syscall.Errno {
				_, errno := in.call(syscall.SYS_CHOWN, in.path(s.maildir("fbtest1")), uintptr(nobody.uid), uintptr(nobody.gid))
				return errno
			}},
			attempt{"mount", func(in *inmate) syscall.Errno {
				p := in.path("/tmp")
				_, errno := in.call(syscall.SYS_MOUNT, p, p, p, 4096, 0)
				return errno
			}},
			attempt{"capset", func(in *inmate) syscall.Errno {
				_, errno := in.call(syscall.SYS_CAPSET, in.words(0x20080522), in.words(0xffffffff_ffffffff, 0xffffffff))
				return errno
			}},
		}) {
			if errno := a.do(in); !slices.Contains(denied, errno) {
				t.Errorf("%s: %v", a.what, errno)
			}
		}
		// What it is there for: another user, and back by the saved uid.
		keep := ^uintptr(0)
		in.must("become nobody", syscall.SYS_SETRESUID, keep, uintptr(nobody.uid), keep)
		in.must("and root again", syscall.SYS_SETRESUID, keep, 0, keep)
	})
}

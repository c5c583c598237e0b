package privsep

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childVar names, in the environment of a child, the experiment that it is to
// run: confinement has no way back, so each needs a process of its own.
const childVar = "PRIVSEP_TEST_CHILD"

// experiments run in a child; an error or a panic is the test's failure.
var experiments = map[string]func() error{
	"default":      childDefault,
	"read":         childRead,
	"write":        childWrite,
	"server":       childServer,
	"client":       childClient,
	"reader":       childReader,
	"reader-unix":  childReaderUnix,
	"writer":       childWriter,
	"ports":        childPorts,
	"limits":       childLimits,
	"unasserted":   childUnasserted,
	"root-user":    childRootUser,
	"root-chroot":  childRootChroot,
	"root-keep":    childRootKeep,
	"root-zero":    childRootZero,
	"memory-bound": childMemoryBound,
}

func TestMain(m *testing.M) {
	name := os.Getenv(childVar)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := experiments[name](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run re-executes the test program for one experiment.
func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), childVar+"="+name)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func mustRun(t *testing.T, name string, args ...string) {
	t.Helper()
	requirePureGo(t)
	if out, err := run(t, name, args...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func requirePureGo(t *testing.T) {
	t.Helper()
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); errno == syscall.ENOTSUP {
		t.Skip("built with cgo: run with CGO_ENABLED=0")
	}
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: changes user or root directory (make test-root)")
	}
}

func requireLandlock(t *testing.T, abi int) {
	t.Helper()
	if have := landlockABI(); have < abi {
		t.Skipf("the kernel has Landlock ABI %d, this needs %d", have, abi)
	}
}

func TestZeroSpecAllowsNoFilesNoProgramsNoPorts(t *testing.T) { mustRun(t, "default") }
func TestReadPathsAreReadableOnly(t *testing.T) {
	requireLandlock(t, 1)
	mustRun(t, "read", t.TempDir())
}
func TestWritePathsAllowRenameBetweenDirectories(t *testing.T) {
	requireLandlock(t, 2)
	mustRun(t, "write", t.TempDir())
}
func TestServerProfileServesUnderLoadAndCannotOpenOrDial(t *testing.T) { mustRun(t, "server") }
func TestClientProfileDialsAndCannotOpen(t *testing.T)                 { mustRun(t, "client") }
func TestReaderProfileReadsAndCannotWrite(t *testing.T)                { mustRun(t, "reader", t.TempDir()) }
func TestReaderProfileConnectsToNamedUnixSockets(t *testing.T) {
	mustRun(t, "reader-unix", t.TempDir())
}
func TestWriterProfileFlushesAndRenames(t *testing.T) { mustRun(t, "writer", t.TempDir()) }
func TestOnlyListedPortsAreReached(t *testing.T) {
	requireLandlock(t, abiTCP)
	mustRun(t, "ports")
}
func TestLimitsHold(t *testing.T)                  { mustRun(t, "limits", t.TempDir()) }
func TestAssertSeesWhatIsNotConfined(t *testing.T) { mustRun(t, "unasserted") }
func TestRootBecomesTheUserForGood(t *testing.T)   { requireRoot(t); mustRun(t, "root-user") }
func TestChrootIsEmptyAndFinal(t *testing.T)       { requireRoot(t); mustRun(t, "root-chroot", t.TempDir()) }
func TestStayingRootKeepsOnlyWhatIsNamed(t *testing.T) {
	requireRoot(t)
	mustRun(t, "root-keep")
}
func TestSwitchingToUIDZeroIsRefused(t *testing.T) { mustRun(t, "root-zero") }

func TestMemoryBeyondTheLimitEndsTheProcess(t *testing.T) {
	requirePureGo(t)
	// How the runtime ends when the kernel gives it no more differs with where
	// it stood; that it ends is the claim.
	if _, err := run(t, "memory-bound"); err == nil {
		t.Fatal("a process with a limit of 64 MiB filled 1 GiB")
	}
}

func TestLookupOfAMissingUserIsNoUser(t *testing.T) {
	if _, err := LookupUser("no-such-user-here"); !errors.Is(err, ErrNoUser) {
		t.Fatalf("got %v", err)
	}
	if _, err := LookupIdentity("root", "no-such-group-here"); !errors.Is(err, ErrNoUser) {
		t.Fatalf("got %v", err)
	}
}

func TestLookupIdentityHasNoSupplementaryGroups(t *testing.T) {
	id, err := LookupIdentity("root", "")
	if err != nil || id.UID != 0 || id.GID != 0 || id.Groups != nil {
		t.Fatalf("got %+v, %v", id, err)
	}
}

func confineAndAssert(s Spec) error {
	report, err := Confine(s)
	if err != nil {
		return err
	}
	if report.String() == "" {
		return errors.New("empty report")
	}
	return Assert(s)
}

// denied turns a success into an error.
func denied(what string, err error) error {
	if err == nil {
		return fmt.Errorf("could %s", what)
	}
	if !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("%s: wrong refusal: %w", what, err)
	}
	return nil
}

// busy is what the runtime does all day: collections, timers, many goroutines,
// threads, preemption of a loop without calls.
func busy() {
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			var keep [][]byte
			for range 50 {
				keep = append(keep, make([]byte, 16<<10))
				timer := time.NewTimer(time.Microsecond)
				<-timer.C
			}
			runtime.KeepAlive(keep)
		})
	}
	for range 8 {
		wg.Go(func() {
			runtime.LockOSThread() // ends its thread at return, so that new ones are made
			time.Sleep(time.Microsecond)
		})
	}
	stop := make(chan struct{})
	wg.Go(func() {
		n := 0
		for n < 200_000_000 {
			n++
		}
		close(stop)
	})
	for range 5 {
		runtime.GC()
	}
	<-stop
	wg.Wait()
}

func childDefault() error {
	leak, err := syscall.Dup(0)
	if err != nil {
		return err
	}
	if err := confineAndAssert(Spec{}); err != nil {
		return err
	}
	flags, err := unix.FcntlInt(uintptr(leak), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		return fmt.Errorf("an inherited descriptor outlives exec (%d, %v)", flags, err)
	}
	busy()
	return nil
}

func childRead() error {
	dir := os.Args[1]
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		return err
	}
	if err := confineAndAssert(Spec{Read: []string{dir}}); err != nil {
		return err
	}
	if _, err := os.ReadFile(file); err != nil {
		return err
	}
	return errors.Join(
		denied("write", os.WriteFile(file, []byte("y"), 0o600)),
		denied("remove", os.Remove(file)),
	)
}

func childWrite() error {
	a, b := filepath.Join(os.Args[1], "a"), filepath.Join(os.Args[1], "b")
	if err := errors.Join(os.Mkdir(a, 0o700), os.Mkdir(b, 0o700)); err != nil {
		return err
	}
	if err := confineAndAssert(Spec{Write: []string{a, b}}); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(a, "f"), []byte("x"), 0o600); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(a, "f"), filepath.Join(b, "f")); err != nil {
		return err
	}
	return denied("write beside", os.WriteFile(filepath.Join(os.Args[1], "c"), nil, 0o600))
}

// echo serves on l until it is closed.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			buf := make([]byte, 512)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				if _, err := c.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
	}
}

func exchange(network, address string) error {
	c, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	defer c.Close()
	return exchangeOn(c)
}

func exchangeOn(c net.Conn) error {
	buf := make([]byte, 5)
	for range 100 {
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
		if _, err := c.Read(buf); err != nil {
			return err
		}
	}
	return nil
}

// childServer listens and dials before it is confined, as master does for
// smtpd, and serves after.
func childServer() error {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	first, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		return err
	}
	if err := confineAndAssert(Spec{Seccomp: SeccompServer}); err != nil {
		return err
	}
	go echo(tcp)
	if err := exchangeOn(first); err != nil {
		return err
	}
	busy()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	rights := syscall.UnixRights(pair[0])
	if err := syscall.Sendmsg(pair[0], []byte("x"), rights, nil, 0); err != nil {
		return fmt.Errorf("pass a descriptor: %w", err)
	}
	_, err = net.Dial("tcp", tcp.Addr().String())
	_, errno := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	return errors.Join(denied("dial", err), denied("make a Unix socket", errno), forbidden())
}

// forbidden tries the system calls that no profile has. The arguments would
// make a call that is not filtered fail with something other than EPERM, or do
// no harm.
func forbidden() error {
	var errs []error
	try := func(name string, trap, a1, a2, a3 uintptr) {
		if _, _, errno := syscall.Syscall(trap, a1, a2, a3); errno != syscall.EPERM {
			errs = append(errs, fmt.Errorf("%s answered %v", name, errno))
		}
	}
	try("execve", unix.SYS_EXECVE, 0, 0, 0)
	try("execveat", unix.SYS_EXECVEAT, 0, 0, 0)
	try("ptrace", unix.SYS_PTRACE, 0xffff, 0, 0)
	try("mount", unix.SYS_MOUNT, 0, 0, 0)
	try("setuid", unix.SYS_SETUID, uintptr(os.Getuid()), 0, 0)
	try("fork", unix.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0)
	try("clone3", unix.SYS_CLONE3, 0, 0, 0)
	try("unshare", unix.SYS_UNSHARE, 0, 0, 0)
	try("kill", unix.SYS_KILL, uintptr(os.Getpid()), 0, 0)
	try("bpf", unix.SYS_BPF, 0, 0, 0)
	try("io_uring_setup", unix.SYS_IO_URING_SETUP, 0, 0, 0)
	try("process_vm_readv", unix.SYS_PROCESS_VM_READV, 0, 0, 0)
	try("seccomp", unix.SYS_SECCOMP, 99, 0, 0)
	try("prctl dumpable", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1, 0)
	try("raise limit", unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE, 1)
	try("multipath TCP", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 262)
	try("netlink", unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0)
	try("packet", unix.SYS_SOCKET, unix.AF_PACKET, unix.SOCK_RAW, 0)
	// Families whose numbers are those of allowed system calls: a filter that
	// mistook an argument for a call would let these pass.
	for family := range uintptr(46) {
		if family == unix.AF_UNIX || family == unix.AF_INET || family == unix.AF_INET6 {
			continue
		}
		try(fmt.Sprintf("socket family %d", family), unix.SYS_SOCKET, family, unix.SOCK_STREAM, 0)
	}
	_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
	errs = append(errs, denied("map executable memory", err))
	return errors.Join(errs...)
}

func childClient() error {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := confineAndAssert(Spec{Seccomp: SeccompClient, ConnectTCP: AnyPort()}); err != nil {
		return err
	}
	go echo(tcp)
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() { errs[i] = exchange("tcp", tcp.Addr().String()) })
	}
	wg.Wait()
	busy()
	_, err = os.Open("/etc/passwd")
	_, udp := net.ListenPacket("udp", "127.0.0.1:0")
	return errors.Join(errors.Join(errs...), denied("open", err), denied("make a UDP socket", udp), forbidden())
}

func childReader() error {
	dir := os.Args[1]
	file := filepath.Join(dir, "table")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		return err
	}
	spec := Spec{Seccomp: SeccompReader, Read: []string{dir}, ConnectTCP: AnyPort(),
		ConnectUDP: AnyPort(), BindUDP: AnyPort()}
	if err := confineAndAssert(spec); err != nil {
		return err
	}
	if _, err := os.ReadFile(file); err != nil {
		return err
	}
	if _, err := os.ReadDir(dir); err != nil {
		return err
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer udp.Close()
	if _, err := udp.WriteTo([]byte("q"), udp.LocalAddr()); err != nil {
		return err
	}
	errs := []error{denied("unlink", os.Remove(file)), forbidden()}
	if landlockABI() > 0 {
		errs = append(errs, denied("write", os.WriteFile(file, nil, 0o600)))
	}
	busy()
	return errors.Join(errs...)
}

func childReaderUnix() error {
	dir := os.Args[1]
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return err
	}
	if err := confineAndAssert(Spec{Seccomp: SeccompReader, Sockets: []string{dir}, BindUDP: AnyPort()}); err != nil {
		return err
	}
	go echo(l)
	if err := exchange("unix", filepath.Join(dir, "s")); err != nil {
		return err
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("UDP is denied too: %w", err)
	}
	udp.Close()
	_, err = syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	return errors.Join(denied("make a datagram socket", err), forbidden())
}

func childWriter() error {
	dir := os.Args[1]
	if err := confineAndAssert(Spec{Seccomp: SeccompWriter, Write: []string{dir}}); err != nil {
		return err
	}
	path := filepath.Join(dir, "segment")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	fd := int(f.Fd())
	if err := syscall.Fallocate(fd, 0, 0, 1<<20); err != nil && !errors.Is(err, syscall.EOPNOTSUPP) {
		return fmt.Errorf("fallocate: %w", err)
	}
	if _, err := f.WriteAt([]byte("record"), 0); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := errors.Join(syscall.Fdatasync(fd), os.Rename(path, path+".done"), d.Sync(),
		os.Remove(path+".done")); err != nil {
		return err
	}
	_, err = net.Dial("tcp", "127.0.0.1:1")
	busy()
	return errors.Join(denied("dial", err), forbidden())
}

func childPorts() error {
	a, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go echo(a)
	spec := Spec{ConnectTCP: Ports{uint16(a.Addr().(*net.TCPAddr).Port)}}
	if err := confineAndAssert(spec); err != nil {
		return err
	}
	if err := exchange("tcp", a.Addr().String()); err != nil {
		return err
	}
	_, err = net.Dial("tcp", b.Addr().String())
	return denied("connect to the other port", err)
}

func childLimits() error {
	spec := Spec{
		Write:  []string{os.Args[1]},
		Limits: Limits{Memory: 128 << 20, NoFile: 32, FileSize: 4096},
	}
	if err := confineAndAssert(spec); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(os.Args[1], "big"))
	if err != nil {
		return err
	}
	if _, err := f.Write(make([]byte, 8192)); !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("write beyond the limit: %v", err)
	}
	for range 40 {
		if _, err := syscall.Dup(0); errors.Is(err, syscall.EMFILE) {
			busy()
			return nil
		}
	}
	return errors.New("40 descriptors under a limit of 32")
}

func childUnasserted() error {
	err := Assert(Spec{Seccomp: SeccompServer, Identity: &Identity{UID: 1, GID: 1}})
	if err == nil {
		return errors.New("nothing was confined and nothing was noticed")
	}
	for _, want := range []string{"no_new_privs", "seccomp", "could open /etc/passwd", "could run", "Internet socket"} {
		if !strings.Contains(err.Error(), want) {
			return fmt.Errorf("%q is not noticed in: %w", want, err)
		}
	}
	return nil
}

func childMemoryBound() error {
	if _, err := Confine(Spec{Limits: Limits{Memory: 64 << 20}}); err != nil {
		return nil
	}
	var keep [][]byte
	for range 64 {
		b := make([]byte, 16<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		keep = append(keep, b)
	}
	runtime.KeepAlive(keep)
	return nil
}

// nobody is an identity that needs no entry in the password file.
func nobody() *Identity { return &Identity{UID: 65534, GID: 65534} }

func childRootUser() error {
	if err := confineAndAssert(Spec{Identity: nobody(), Limits: Limits{Procs: 512}}); err != nil {
		return err
	}
	busy()
	if os.Getuid() != 65534 || os.Getgid() != 65534 {
		return fmt.Errorf("is %d:%d", os.Getuid(), os.Getgid())
	}
	return denied("setgroups", syscall.Setgroups([]int{0}))
}

func childRootChroot() error {
	spec := Spec{Identity: nobody(), Chroot: os.Args[1], Seccomp: SeccompServer}
	if err := confineAndAssert(spec); err != nil {
		return err
	}
	busy()
	return forbidden()
}

func childRootKeep() error {
	spec := Spec{Files: FilesAny, Exec: []string{"/"}, Scope: ScopeAny, Keep: []Capability{CapSetUID, CapSetGID, CapKill}}
	if err := confineAndAssert(spec); err != nil {
		return err
	}
	if err := denied("chown", os.Chown("/proc/self/exe", 1, 1)); err != nil {
		return err
	}
	if _, err := os.ReadFile("/etc/passwd"); err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", "-c", "id -u; grep -E 'Cap(Eff|Prm|Bnd)' /proc/self/status")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("start a child as nobody: %w: %s", err, out)
	}
	if !strings.HasPrefix(string(out), "65534\n") || !strings.Contains(string(out), "CapEff:\t0000000000000000") {
		return fmt.Errorf("the child is:\n%s", out)
	}
	return nil
}

func childRootZero() error {
	if _, err := Confine(Spec{Identity: &Identity{}}); err == nil {
		return errors.New("accepted")
	}
	return nil
}

package pickup

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	// fileMask lets the drain, which shares only the group, read what we leave
	// in maildrop/; spool.Drop asks for no more than that.
	fileMask = 0o027

	// leastDescriptors is what handing in a message takes, and some to spare.
	// The runtime ends the process where it can make no poller.
	leastDescriptors = 16

	// fNone is the flags of a descriptor that is not close-on-exec.
	fNone = 0
)

// caller is what is kept of the process that called, which is hostile.
type caller struct {
	program    string // sendmail, mailq ...
	args       []string
	uid, gid   int
	privileged bool   // with rights that the caller lacks
	fullName   string // NAME
	instance   string // FILBERT_INSTANCE
}

// arrest makes the process independent of who started it. It is the first thing
// that happens.
func arrest() (*caller, error) {
	c := &caller{program: "sendmail", uid: os.Getuid(), gid: os.Getgid()}
	if len(os.Args) > 0 { // execve(2) may be given none
		c.program, c.args = filepath.Base(os.Args[0]), os.Args[1:]
	}
	if os.Geteuid() != c.uid {
		// The user's own files would be read as somebody else.
		return c, fail(exOSErr, "pickup must not be set-user-id: see mtactl check")
	}
	c.privileged = os.Getegid() != c.gid
	if c.privileged {
		c.restartClean()
	}
	c.fullName = os.Getenv("NAME")
	if !c.privileged {
		c.instance = os.Getenv("FILBERT_INSTANCE")
	}
	os.Clearenv()
	syscall.Umask(fileMask)
	closeInherited()
	return c, checkDescriptors()
}

// restartClean executes this program again without the variables that the Go
// runtime obeyed before any line of ours could run (GODEBUG, GOGC, GOMAXPROCS
// ...). cmd/sendmail never passes them on, so this is for callers who execute
// pickup itself. GOTRACEBACK is not among them: in a privileged process the
// runtime sets it to none itself, always. Where a new start is not possible (no
// /proc) we go on: what these variables can do is slow this process down or have
// it explain itself.
func (c *caller) restartClean() {
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "GO") && !strings.HasPrefix(v, "GOTRACEBACK=") {
			_ = syscall.Exec("/proc/self/exe", os.Args, []string{"NAME=" + os.Getenv("NAME")})
			return
		}
	}
}

// dropGroup gives the group's rights up for good.
func (c *caller) dropGroup() error {
	if !c.privileged {
		return nil
	}
	if err := syscall.Setresgid(c.gid, c.gid, c.gid); err != nil {
		return fail(exOSErr, "give up the rights of the group: %v", err)
	}
	c.privileged = false
	return nil
}

// closeInherited closes the descriptors that the caller left open, so that its
// pipes are not held and ours are not exhausted by it. Those are the ones that are not
// close-on-exec, or they would not be here; the runtime's own all are. (0, 1 and 2
// the runtime has opened on /dev/null where they were closed.)
func closeInherited() {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return
	}
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil || fd <= 2 {
			continue
		}
		flags, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if errno == 0 && flags == fNone {
			_ = syscall.Close(fd)
		}
	}
}

// checkDescriptors refuses to begin what could not be ended. (The soft limit has
// been raised to the hard one by package os.)
func checkDescriptors() error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err == nil && l.Cur < leastDescriptors {
		return fail(exTempFail, "only %d descriptors are allowed, %d are needed: raise the limit (ulimit -n)", l.Cur, leastDescriptors)
	}
	return nil
}

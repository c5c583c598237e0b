// Command sendmail executes libexec/pickup in its place, with the same arguments.
// It is installed under the names sendmail, mailq, newaliases and rmail; pickup
// looks at the name. It reads nothing, and passes on two variables of the
// environment and the descriptors 0, 1 and 2.
//
// pickup is set-group-id, this is not. Where an administrator makes it so all the
// same, it looks at no place but the installed one.
package main

import (
	"os"
	"strings"
	"syscall"
)

// libexec is where pickup is installed; `make install` sets it with -X.
var libexec = "/usr/local/libexec/filbert"

// closeRange and closeOnExec are close_range(2) (Linux 5.9), the same on all
// architectures.
const (
	closeRange  = 436
	closeOnExec = 4
)

func main() {
	var env []string
	for _, name := range []string{"NAME", "FILBERT_INSTANCE"} {
		if value, ok := syscall.Getenv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	args := os.Args
	if len(args) == 0 {
		args = []string{"sendmail"}
	}
	// An older kernel leaves it to pickup.
	_, _, _ = syscall.RawSyscall(closeRange, 3, ^uintptr(0), closeOnExec)
	err := error(syscall.ENOENT)
	for _, path := range places() {
		err = syscall.Exec(path, args, env)
	}
	// Only here when there was none.
	_, _ = os.Stderr.WriteString("sendmail: execute " + libexec + "/pickup: " + err.Error() + "\n")
	os.Exit(75) // EX_TEMPFAIL: the caller keeps its message
}

// places are those beside the program itself, in a build tree and below an
// installation's prefix, and the installed one.
func places() []string {
	installed := libexec + "/pickup"
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil || syscall.Getegid() != syscall.Getgid() || syscall.Geteuid() != syscall.Getuid() {
		return []string{installed}
	}
	dir := exe[:strings.LastIndexByte(exe, '/')+1]
	return []string{dir + "libexec/pickup", dir + "../libexec/filbert/pickup", installed}
}

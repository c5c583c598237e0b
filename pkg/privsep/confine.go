package privsep

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"
)

// Confine takes away everything that s does not name, on all threads. There is
// no way back, and after an error the process is in between: it must end.
func Confine(s Spec) (Report, error) {
	if s.Identity != nil && len(s.Keep) > 0 {
		return Report{}, errors.New("confine: capabilities cannot be kept by another user")
	}
	if s.Identity != nil && s.Identity.UID == 0 {
		return Report{}, errors.New("confine: refusing to switch to uid 0")
	}
	root := os.Geteuid() == 0
	switching := root && s.Identity != nil
	report := Report{Seccomp: s.Seccomp, LandlockABI: landlockABI()}
	preload()

	if err := CloseOnExec(); err != nil {
		return report, fmt.Errorf("confine: %w", err)
	}
	if root && s.Chroot != "" {
		// Before Landlock, which denies reading it.
		if err := checkEmpty(s.Chroot); err != nil {
			return report, fmt.Errorf("confine: %w", err)
		}
	}
	if err := setLimits(s.Limits, switching); err != nil {
		return report, fmt.Errorf("confine: %w", err)
	}
	if err := restrictPaths(s); err != nil {
		return report, fmt.Errorf("confine: %w", err)
	}
	if report.LandlockABI == 0 {
		report.Skipped = append(report.Skipped, "landlock (the kernel has none)")
	}
	if root {
		if err := dropRoot(s, &report); err != nil {
			return report, fmt.Errorf("confine: %w", err)
		}
	} else {
		skipUnprivileged(s, &report)
	}
	// After the change of user, which may need the capability that a kernel
	// without no_new_privs would ask for, and before seccomp, which needs it.
	if err := allThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return report, fmt.Errorf("confine: set no_new_privs: %w", err)
	}
	if err := loadProfile(s); err != nil {
		return report, fmt.Errorf("confine: %w", err)
	}
	report.UID, report.GID = os.Geteuid(), os.Getegid()
	return report, nil
}

// preload reads what the Go runtime would otherwise open when first needed and
// could no longer find: the time zone.
func preload() {
	_ = time.Now().Local().String()
}

func skipUnprivileged(s Spec, report *Report) {
	if s.Identity != nil && s.Identity.UID != os.Geteuid() {
		report.Skipped = append(report.Skipped, "change of user (not root)")
	}
	if s.Chroot != "" {
		report.Skipped = append(report.Skipped, "chroot (not root)")
	}
}

// dropRoot changes the root directory and gives up root's rights. The order
// matters: each step needs a capability that a later one takes away.
func dropRoot(s Spec, report *Report) error {
	if s.Chroot != "" {
		if err := changeRoot(s.Chroot); err != nil {
			return err
		}
		report.Root = s.Chroot
	}
	if err := dropBounding(s.Keep); err != nil {
		return err
	}
	if s.Identity == nil {
		return setCapabilities(s.Keep)
	}
	id := s.Identity
	if err := syscall.Setgroups(id.Groups); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := syscall.Setresgid(id.GID, id.GID, id.GID); err != nil {
		return fmt.Errorf("set gid %d: %w", id.GID, err)
	}
	if err := syscall.Setresuid(id.UID, id.UID, id.UID); err != nil {
		return fmt.Errorf("set uid %d: %w", id.UID, err)
	}
	// The change of user emptied these already, unless a securebit said not to.
	if err := setCapabilities(nil); err != nil {
		return err
	}
	if s.ParentDeath != 0 {
		err := allThreads(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(s.ParentDeath), 0)
		if err != nil {
			return fmt.Errorf("set the parent's death signal: %w", err)
		}
	}
	// The memory of one daemon is no business of another with the same uid.
	return allThreads(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0)
}

// checkEmpty refuses a new root with anything in it: it is meant to offer
// nothing.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read new root: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("new root %s is not empty", dir)
	}
	return nil
}

// changeRoot makes dir the root.
func changeRoot(dir string) error {
	if err := syscall.Chroot(dir); err != nil {
		return fmt.Errorf("change root to %s: %w", dir, err)
	}
	if err := syscall.Chdir("/"); err != nil {
		return fmt.Errorf("enter new root %s: %w", dir, err)
	}
	return nil
}

// dropBounding removes all capabilities but those kept from the bounding set,
// so that no program that is run later can gain them.
func dropBounding(keep []Capability) error {
	supported, err := capability.ListSupported()
	if err != nil {
		return fmt.Errorf("list capabilities: %w", err)
	}
	for _, c := range supported {
		if kept(keep, int(c)) {
			continue
		}
		if err := allThreads(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c), 0); err != nil {
			return fmt.Errorf("drop %s from the bounding set: %w", c, err)
		}
	}
	return nil
}

func kept(keep []Capability, c int) bool {
	for _, k := range keep {
		if int(k) == c {
			return true
		}
	}
	return false
}

// setCapabilities makes keep the effective and permitted set of all threads and
// empties the inheritable and ambient ones.
func setCapabilities(keep []Capability) error {
	if err := allThreads(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for _, k := range keep {
		data[k/32].Effective |= 1 << (uint(k) % 32)
		data[k/32].Permitted |= 1 << (uint(k) % 32)
	}
	// Called directly: only then does the compiler keep what the pointers point
	// to where it is.
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0, 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("set capabilities: %w", errno)
	}
	return nil
}

// allThreads makes a system call on every thread: capabilities, no_new_privs
// and the like belong to threads, and a goroutine runs on any of them.
func allThreads(trap, a1, a2, a3 uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(trap, a1, a2, a3, 0, 0, 0)
	if errno == syscall.ENOTSUP {
		return errors.New("this program was built with cgo, build it with CGO_ENABLED=0")
	}
	if errno != 0 {
		return errno
	}
	return nil
}

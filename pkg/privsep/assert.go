package privsep

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Assert tries, from inside, what a process confined to s must not be able to
// do, and returns one joined error for all that it could. What the Report of
// Confine listed as skipped is not tried. It is meant for the start of every
// daemon, not for tests alone: it costs about 30 system calls.
func Assert(s Spec) error {
	root := os.Geteuid() == 0
	return errors.Join(
		assertNoNewPrivs(),
		assertSeccomp(s),
		assertCapabilities(s),
		assertIdentity(s, root),
		assertLimits(s),
		assertFiles(s),
		assertExec(s),
		assertSockets(s),
	)
}

func assertNoNewPrivs() error {
	v, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil || v != 1 {
		return fmt.Errorf("no_new_privs is not set (%d, %v)", v, err)
	}
	return nil
}

func assertSeccomp(s Spec) error {
	if s.Seccomp == SeccompNone {
		return nil
	}
	const filtering = 2 // SECCOMP_MODE_FILTER
	mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	if err != nil || mode != filtering {
		return fmt.Errorf("no seccomp filter is in force (%d, %v)", mode, err)
	}
	return nil
}

func assertCapabilities(s Spec) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	var errs []error
	for c := range 64 {
		bit := uint32(1) << (c % 32)
		word := data[c/32]
		if (word.Effective|word.Permitted|word.Inheritable)&bit != 0 && !kept(s.Keep, c) {
			errs = append(errs, fmt.Errorf("capability %d is held", c))
		}
	}
	return errors.Join(errs...)
}

// assertIdentity checks who the process is and that it cannot be root again.
func assertIdentity(s Spec, root bool) error {
	if s.Identity == nil {
		return nil
	}
	var errs []error
	if root {
		errs = append(errs, errors.New("still root"))
	}
	// Only root can have changed user; an unprivileged instance skipped it.
	r, e, saved := unix.Getresuid()
	if r != e || e != saved {
		errs = append(errs, fmt.Errorf("user ids differ: %d %d %d", r, e, saved))
	}
	if e == s.Identity.UID {
		if gid := os.Getegid(); gid != s.Identity.GID {
			errs = append(errs, fmt.Errorf("gid is %d, not %d", gid, s.Identity.GID))
		}
		groups, err := syscall.Getgroups()
		if err != nil {
			errs = append(errs, fmt.Errorf("read groups: %w", err))
		}
		for _, g := range groups {
			if g != s.Identity.GID && !slices.Contains(s.Identity.Groups, g) {
				errs = append(errs, fmt.Errorf("is a member of group %d", g))
			}
		}
	}
	if err := syscall.Setresuid(0, 0, 0); err == nil {
		errs = append(errs, errors.New("could become root again"))
	}
	return errors.Join(errs...)
}

func assertLimits(s Spec) error {
	var errs []error
	check := func(resource int, most uint64, name string) {
		var l syscall.Rlimit
		if err := syscall.Getrlimit(resource, &l); err != nil {
			errs = append(errs, fmt.Errorf("read limit %s: %w", name, err))
		} else if l.Max > most {
			errs = append(errs, fmt.Errorf("limit %s is %d, not %d", name, l.Max, most))
		}
	}
	check(unix.RLIMIT_CORE, 0, "core")
	if s.Limits.Memory > 0 {
		check(unix.RLIMIT_DATA, uint64(s.Limits.Memory)+dataSlack, "data")
	}
	if s.Limits.NoFile > 0 {
		check(unix.RLIMIT_NOFILE, s.Limits.NoFile, "nofile")
	}
	if s.Limits.FileSize > 0 {
		check(unix.RLIMIT_FSIZE, s.Limits.FileSize, "fsize")
	}
	return errors.Join(errs...)
}

// opensNothing says whether a profile has no way at all to open a file.
func (p Profile) opensNothing() bool { return p == SeccompServer || p == SeccompClient }

// assertFiles tries to open files that most systems have, where the spec does
// not allow them.
func assertFiles(s Spec) error {
	if !s.Seccomp.opensNothing() && (s.Files == FilesAny || landlockABI() == 0) {
		return nil
	}
	var errs []error
	for _, path := range []string{"/etc/passwd", "/proc/self/status", "/etc", "/"} {
		if !s.Seccomp.opensNothing() && covered(path, s.Read, s.Write, s.Exec) {
			continue
		}
		if f, err := os.Open(path); err == nil {
			f.Close()
			errs = append(errs, fmt.Errorf("could open %s", path))
		}
	}
	return errors.Join(errs...)
}

// covered says whether path lies in or below one of the listed ones.
func covered(path string, lists ...[]string) bool {
	for _, list := range lists {
		for _, p := range list {
			p = filepath.Clean(p)
			if p == "/" || path == p || strings.HasPrefix(path, p+"/") {
				return true
			}
		}
	}
	return false
}

// assertExec tries to run a harmless program that most systems have.
func assertExec(s Spec) error {
	if s.Seccomp == SeccompNone && landlockABI() == 0 {
		return nil
	}
	for _, path := range []string{"/bin/true", "/usr/bin/true", "/usr/bin/env"} {
		if s.Seccomp == SeccompNone && covered(path, s.Exec) {
			continue
		}
		p, err := os.StartProcess(path, []string{path}, &os.ProcAttr{Env: []string{}})
		if err == nil {
			_, _ = p.Wait()
			return fmt.Errorf("could run %s", path)
		}
	}
	return nil
}

// Since which Landlock ABI ports are restricted.
const abiTCP = 4

// assertSockets tries a connection to a port of this machine that the spec
// does not allow. Nothing listens there; what counts is who says no.
func assertSockets(s Spec) error {
	families := s.Seccomp == SeccompServer || s.Seccomp == SeccompWriter
	if !families && (s.ConnectTCP.any() || landlockABI() < abiTCP) {
		return nil
	}
	const tcpmux = 1
	if !families && slices.Contains(s.ConnectTCP, tcpmux) {
		return nil
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	if families {
		return errors.New("could make an Internet socket")
	}
	err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: tcpmux, Addr: [4]byte{127, 0, 0, 1}})
	if !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("could connect out (%v)", err)
	}
	return nil
}

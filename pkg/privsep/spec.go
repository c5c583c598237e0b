package privsep

import (
	"fmt"
	"strings"
	"syscall"
)

// A Spec says what a process may still do after Confine. The zero value is
// the strictest: the caller's user, no files, no ports, no programs.
type Spec struct {
	// Identity is the user to become; nil stays the caller. It is obeyed when
	// the process is root and skipped, with a line in the Report, when not.
	Identity *Identity

	// Chroot is an empty directory that becomes the root; "" for none. Only
	// when root.
	Chroot string

	// Files says whether the path lists below bind.
	Files FilePolicy

	// Read names files and directories (with all below) that may be read.
	Read []string

	// Write names files and directories (with all below) in which files may
	// be read, written, created, renamed and removed.
	Write []string

	// Exec names files and directories (with all below) whose programs may be
	// run and read. "/" allows every program. Empty allows none, whatever
	// Files says.
	Exec []string

	// Sockets names Unix sockets, or directories of them, that may be
	// connected to by path. Kernels before Landlock ABI 9 do not restrict this.
	Sockets []string

	// ConnectTCP and BindTCP name TCP ports; nil allows none.
	ConnectTCP, BindTCP Ports

	// ConnectUDP and BindUDP name UDP ports; kernels before Landlock ABI 10 do
	// not restrict them. A program that asks questions by UDP needs BindUDP too.
	ConnectUDP, BindUDP Ports

	// Scope says whether signals and abstract sockets reach other programs.
	Scope Scope

	// Seccomp is the profile of system calls.
	Seccomp Profile

	// Limits are the process's own resource limits.
	Limits Limits

	// ParentDeath is the signal that the parent asked the kernel to send when
	// it ends: a change of user takes that away, and this asks again. 0 does not.
	ParentDeath syscall.Signal

	// Keep names the capabilities of a process that stays root. It must be
	// empty when Identity is set: another user keeps none.
	Keep []Capability
}

// A FilePolicy says whether the lists of paths in a Spec bind.
type FilePolicy int

const (
	// FilesListed allows only what Read, Write and Exec name.
	FilesListed FilePolicy = iota
	// FilesAny leaves files to the ordinary permissions; programs are still
	// limited to Exec.
	FilesAny
)

// A Scope says what signals and abstract Unix sockets may reach.
type Scope int

const (
	// ScopeSelf keeps signals and abstract sockets inside this process and
	// what it starts (Landlock ABI 6).
	ScopeSelf Scope = iota
	// ScopeAny does not restrict them: for programs with children that become
	// other users.
	ScopeAny
)

// Ports is a list of ports. Port 0 alone means every port.
type Ports []uint16

// AnyPort allows every port.
func AnyPort() Ports { return Ports{0} }

func (p Ports) any() bool { return len(p) == 1 && p[0] == 0 }

// Limits are resource limits. Zero leaves a limit as it was, except that a
// core file, which would write mail and keys to the disk, is never made.
type Limits struct {
	// Memory, in bytes, is the size that the garbage collector aims to stay
	// under; above it by dataSlack the kernel refuses more.
	Memory int64
	// NoFile is the greatest number of descriptors.
	NoFile uint64
	// FileSize, in bytes, is the greatest size of a file written.
	FileSize uint64
	// Procs bounds processes and threads of the user; only when Identity is
	// obeyed, since the caller's other programs count too.
	Procs uint64
}

// A Capability is a Linux capability that a root process may keep.
type Capability int

// The capabilities that a program of the suite may have a use for.
const (
	CapChown          Capability = 0
	CapDACOverride    Capability = 1
	CapDACReadSearch  Capability = 2
	CapFowner         Capability = 3
	CapKill           Capability = 5
	CapSetGID         Capability = 6
	CapSetUID         Capability = 7
	CapSetPCap        Capability = 8
	CapNetBindService Capability = 10
	CapSysChroot      Capability = 18
)

// A Report says what Confine put on, for one log line at start.
type Report struct {
	UID, GID    int
	Root        string   // the new root directory, "" when not changed
	LandlockABI int      // 0 when the kernel has none
	Seccomp     Profile  // the profile in force
	Skipped     []string // what was asked for and not possible here, and why
}

// String is the report on one line.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "uid %d gid %d", r.UID, r.GID)
	if r.Root != "" {
		fmt.Fprintf(&b, ", root %s", r.Root)
	}
	fmt.Fprintf(&b, ", landlock abi %d, seccomp %s", r.LandlockABI, r.Seccomp)
	if len(r.Skipped) > 0 {
		fmt.Fprintf(&b, "; skipped: %s", strings.Join(r.Skipped, "; "))
	}
	return b.String()
}

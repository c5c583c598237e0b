package privsep

import (
	"fmt"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// A Profile is a list of system calls that a process may make. All of them
// allow what the Go runtime needs; none allows execve, fork, ptrace, mount,
// changing the user, or executable memory.
type Profile int

const (
	// SeccompNone puts no filter on.
	SeccompNone Profile = iota
	// SeccompServer is for a daemon that serves connections handed to it, and
	// makes none: no files, no socket. smtpd, bounce.
	SeccompServer
	// SeccompClient is SeccompServer with new TCP sockets, and with Unix sockets
	// where the Spec names some. smtp-client.
	SeccompClient
	// SeccompReader is SeccompServer with new TCP and UDP sockets, with Unix
	// sockets where the Spec names some, and files opened for reading. router.
	SeccompReader
	// SeccompWriter is SeccompServer with files read and written. cleanup,
	// dispatch, qmgr.
	SeccompWriter
)

// String names the profile.
func (p Profile) String() string {
	switch p {
	case SeccompNone:
		return "none"
	case SeccompServer:
		return "server"
	case SeccompClient:
		return "client"
	case SeccompReader:
		return "reader"
	case SeccompWriter:
		return "writer"
	}
	return fmt.Sprintf("Profile(%d)", int(p))
}

// A denial makes one system call fail although the list allows it, when all
// the conditions hold.
type denial struct {
	name       string
	conditions []seccomp.Condition
}

// loadProfile puts the filters of p on all threads.
//
// Each denial is a filter of its own, and each filter has one conditional call
// as its last rule: the assembler leaves an argument in the accumulator after a
// condition that did not hold, so that a further rule in the same filter would
// compare that argument, which the process chooses, with system call numbers.
// The kernel combines filters by the strictest answer, and remembers which calls
// pass all of them whatever their arguments, so the common ones cost nothing.
func loadProfile(s Spec) error {
	p := s.Seccomp
	if p == SeccompNone {
		return nil
	}
	names, err := allowed(p)
	if err != nil {
		return err
	}
	// The denials first: the list does not allow seccomp itself.
	for _, d := range denials(s) {
		policy := seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls: []seccomp.SyscallGroup{{
				Action: seccomp.ActionErrno,
				NamesWithCondtions: []seccomp.NameWithConditions{
					{Name: d.name, Conditions: d.conditions},
				},
			}},
		}
		if err := load(policy); err != nil {
			return fmt.Errorf("seccomp %s, rule for %s: %w", p, d.name, err)
		}
	}
	policy := seccomp.Policy{
		DefaultAction: seccomp.ActionErrno,
		Syscalls:      []seccomp.SyscallGroup{{Action: seccomp.ActionAllow, Names: names}},
	}
	if err := load(policy); err != nil {
		return fmt.Errorf("seccomp %s: %w", p, err)
	}
	return nil
}

// load puts one filter on all threads. No_new_privs is set already, and the
// filter before this one may deny setting it.
func load(policy seccomp.Policy) error {
	return seccomp.LoadFilter(seccomp.Filter{Flag: seccomp.FilterFlagTSync, Policy: policy})
}

// allowed is the list of p without the names that this architecture has not
// (open and epoll_wait exist on some only).
func allowed(p Profile) ([]string, error) {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	lists := [][]string{runtimeCalls, socketCalls}
	switch p {
	case SeccompClient:
		lists = append(lists, newSocketCalls)
	case SeccompReader:
		lists = append(lists, newSocketCalls, readCalls)
	case SeccompWriter:
		lists = append(lists, readCalls, writeCalls)
	}
	var names []string
	for _, list := range lists {
		for _, name := range list {
			if _, ok := info.SyscallNames[name]; ok {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

func denials(s Spec) []denial {
	families := []uint64{unix.AF_INET, unix.AF_INET6}
	if len(s.Sockets) > 0 {
		// Landlock knows paths of sockets only since ABI 9. Before that a socket of
		// this family reaches whatever the user may reach: the bus, the log.
		families = append(families, unix.AF_UNIX)
	}
	var more []denial
	if s.Seccomp == SeccompClient {
		// Landlock knows UDP only since ABI 10. The bit is in the numbers of
		// SOCK_DGRAM and SOCK_RAW, and not in that of SOCK_STREAM.
		more = append(more, denial{"socket", []seccomp.Condition{
			{Argument: 0, Operation: seccomp.NotEqual, Value: unix.AF_UNIX},
			{Argument: 1, Operation: seccomp.BitsSet, Value: unix.SOCK_DGRAM},
		}})
	}
	if s.Seccomp == SeccompReader && len(s.Sockets) > 0 {
		// Servers of lookups are connected to; /dev/log and its like take datagrams.
		more = append(more, denial{"socket", []seccomp.Condition{
			{Argument: 0, Operation: seccomp.Equal, Value: unix.AF_UNIX},
			{Argument: 1, Operation: seccomp.BitsSet, Value: unix.SOCK_DGRAM},
		}})
	}
	return append(more, []denial{
		// A thread may be made, a process not.
		{"clone", []seccomp.Condition{{Argument: 0, Operation: seccomp.BitsNotSet, Value: unix.CLONE_THREAD}}},
		{"mmap", []seccomp.Condition{{Argument: 2, Operation: seccomp.BitsSet, Value: unix.PROT_EXEC}}},
		{"mprotect", []seccomp.Condition{{Argument: 2, Operation: seccomp.BitsSet, Value: unix.PROT_EXEC}}},
		{"socket", noneOf(0, families...)},
		// Multipath TCP would pass the port rules of Landlock, which know
		// only plain TCP.
		{"socket", noneOf(2, 0, unix.IPPROTO_TCP, unix.IPPROTO_UDP)},
		// Limits may be read, not set.
		{"prlimit64", noneOf(2, 0)},
		{"prctl", noneOf(0, unix.PR_SET_VMA, unix.PR_GET_NO_NEW_PRIVS, unix.PR_GET_SECCOMP,
			unix.PR_GET_DUMPABLE, unix.PR_CAPBSET_READ)},
	}...)
}

// noneOf holds when an argument has none of the values.
func noneOf(argument uint32, values ...uint64) []seccomp.Condition {
	var out []seccomp.Condition
	for _, v := range values {
		out = append(out, seccomp.Condition{Argument: argument, Operation: seccomp.NotEqual, Value: v})
	}
	return out
}

// Package privsep takes rights away from the process that calls it.
//
// It promises a daemon one call, Confine, after which the process has the user,
// the root directory, the files, the ports, the system calls and the memory
// that its Spec names and nothing else, and a second call, Assert, that tries
// the forbidden things from inside and returns an error for each that worked.
// A daemon opens what needs privilege, calls both, and only then looks at the
// first byte from outside.
//
// The layers, in the order in which they are put on:
//
//  1. every inherited descriptor is closed at exec; limits on memory,
//     descriptors, file size and processes, no core file;
//  2. Landlock: files and TCP ports, by the best ABI that the kernel offers
//     (before chroot, because its rules are paths of the real tree);
//  3. chroot to an empty directory, capability bounding set, groups, gid, uid,
//     when root; skipped, and reported as skipped, in an unprivileged instance;
//  4. no_new_privs, on every thread;
//  5. seccomp, on every thread, by profile.
//
// Everything but layer 3 is the same code with and without root, so that what
// the tests of a private instance see is what an installed suite runs under.
//
// It refuses to go on half confined: whatever the kernel offers and then denies
// is an error, and the caller must end. What the kernel does not offer at all
// (no Landlock) is no error but stands in the Report, to be told once at start.
//
// All of it acts on all threads of the process, which the Go runtime can only
// do in a program built without cgo; Confine says so when it is not.
//
// # Security
//
// The seccomp profiles are lists of what is allowed; everything else fails with
// EPERM. The rejected alternative, killing the process, is a little stronger
// against code that was taken over, but turns each new system call of a later Go
// runtime or libc-free package into a crash with mail in hand, while an error is
// met by code that must cope with errors anyway. What would matter after a
// take-over (execve, fork, ptrace, mount, setuid, making memory executable,
// opening files where the profile has none) is denied either way.
//
// A crash leaves nothing: the package writes nothing.
package privsep

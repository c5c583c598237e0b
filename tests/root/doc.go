// Package root proves, as root on a real machine, what the suite says about
// privileges: `make test-root`.
//
// It installs the suite with `make install` under a directory of its own, makes
// the users and groups with the commands of INSTALL (and removes those that it made),
// starts everything as root, and then looks from three sides:
//
//   - mail: what a user or a server sees, in mail_test.go and restart_test.go;
//   - the kernel's books: /proc/PID/status, root, fd and limits of every daemon, in
//     kernel_test.go;
//   - from inside: inside_test.go stops a thread of the RUNNING daemon, has it make
//     one system call, reads the answer and lets it go on (inject_test.go). What is
//     judged is the very process that serves mail, with its user, root
//     directory, Landlock domain and seccomp filters, and not a rebuilt likeness
//     of it; and no daemon needs code for tests.
//
// Hostile neighbours are in sockets_test.go (connections and frames) and
// hostile_test.go (links swapped under running deliveries).
//
// Without root, and outside `make test-root`, every test is skipped: users are
// made on this machine.
package root

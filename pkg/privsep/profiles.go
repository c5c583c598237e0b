package privsep

// runtimeCalls is what the Go runtime and plain reading, writing and waiting
// need, whatever the program does.
var runtimeCalls = []string{
	// Memory. Executable pages are denied by an extra rule.
	"brk", "madvise", "mincore", "mmap", "mprotect", "mremap", "munmap",
	// Threads and their signals: preemption sends tgkill to the process's own
	// threads. clone without CLONE_THREAD is denied by an extra rule.
	"clone", "exit", "exit_group", "futex", "gettid", "rt_sigaction",
	"rt_sigprocmask", "rt_sigreturn", "sched_getaffinity", "sched_yield",
	"set_robust_list", "sigaltstack", "tgkill", "rseq", "restart_syscall",
	"membarrier", "arch_prctl",
	// Time.
	"clock_getres", "clock_gettime", "clock_nanosleep", "gettimeofday",
	"nanosleep", "time", "setitimer", "timer_create", "timer_delete",
	"timer_settime",
	// Descriptors that are open already.
	"close", "dup", "dup3", "fcntl", "fstat", "lseek", "pread64", "pwrite64",
	"read", "readv", "write", "writev", "pipe2", "eventfd2",
	// Waiting.
	"epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait",
	"poll", "ppoll", "pselect6",
	// Asking who and where one is. The rules for prctl and prlimit64 allow
	// questions only.
	"capget", "getegid", "geteuid", "getgid", "getgroups", "getpid",
	"getppid", "getresgid", "getresuid", "getrlimit", "getrusage", "getuid",
	"prctl", "prlimit64", "sysinfo", "uname",
	"getrandom",
}

// socketCalls serve connections that were handed over, and pass descriptors.
// socketpair reaches nobody who was not given an end.
var socketCalls = []string{
	"accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt",
	"listen", "recvfrom", "recvmsg", "recvmmsg", "sendmsg", "sendmmsg",
	"sendto", "setsockopt", "shutdown", "socketpair",
	"sendfile", "splice",
}

// newSocketCalls make sockets. Of which families is an extra rule.
var newSocketCalls = []string{"socket"}

// readCalls open files that the path rules allow.
var readCalls = []string{
	"access", "faccessat", "faccessat2", "fadvise64", "fstatfs", "getcwd",
	"getdents64", "inotify_add_watch", "inotify_init1", "inotify_rm_watch",
	"lstat", "newfstatat", "open", "openat", "openat2", "readlink",
	"readlinkat", "stat", "statfs", "statx", "flock",
}

// writeCalls make, fill, flush, rename and remove files that the path rules
// allow. Owners are not changed and no link but a hard one is made.
var writeCalls = []string{
	"copy_file_range", "fallocate", "fchmod", "fchmodat", "fdatasync",
	"fsync", "ftruncate", "linkat", "mkdir", "mkdirat", "pwritev",
	"pwritev2", "rename", "renameat", "renameat2", "rmdir",
	"sync_file_range", "syncfs", "umask", "unlink", "unlinkat", "utimensat",
}

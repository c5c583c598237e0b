package privsep

import (
	"fmt"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// dataSlack is what the kernel's limit on private memory allows above
// Limits.Memory. The Go runtime takes its heap from the kernel in arenas of
// 64 MiB and keeps tables beside it, all of which count though untouched; less
// than two arenas of slack would kill programs that use a tenth of it.
const dataSlack = 192 << 20

// setLimits lowers the limits of this process. RLIMIT_DATA is used and not
// RLIMIT_AS because Go reserves hundreds of megabytes of addresses that it
// never fills: those count for AS and not for DATA.
func setLimits(l Limits, switching bool) error {
	if err := lower(unix.RLIMIT_CORE, 0, "core"); err != nil {
		return err
	}
	if l.Memory > 0 {
		debug.SetMemoryLimit(l.Memory)
		if err := lower(unix.RLIMIT_DATA, uint64(l.Memory)+dataSlack, "data"); err != nil {
			return err
		}
	}
	if l.NoFile > 0 {
		if err := lower(unix.RLIMIT_NOFILE, l.NoFile, "nofile"); err != nil {
			return err
		}
	}
	if l.FileSize > 0 {
		// Without this the kernel's signal ends the process where the code
		// expects EFBIG.
		signal.Ignore(syscall.SIGXFSZ)
		if err := lower(unix.RLIMIT_FSIZE, l.FileSize, "fsize"); err != nil {
			return err
		}
	}
	if l.Procs > 0 && switching {
		return lower(unix.RLIMIT_NPROC, l.Procs, "nproc")
	}
	return nil
}

// lower sets both limits of a resource to want, or to the hard limit in force
// when that is less: a limit is never raised here.
func lower(resource int, want uint64, name string) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(resource, &now); err != nil {
		return fmt.Errorf("read limit %s: %w", name, err)
	}
	want = min(want, now.Max)
	if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: want, Max: want}); err != nil {
		return fmt.Errorf("set limit %s to %d: %w", name, want, err)
	}
	return nil
}

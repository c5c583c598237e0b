package master

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// ErrRunning means that a live master holds the instance.
var ErrRunning = errors.New("the suite is running already")

// lock takes the instance's lock. The kernel drops it with the process that
// holds it, however that ends, so that a file which is only left over locks
// nothing; the pid in it is for people. A pid that is still there, as unlock
// takes it out, is that of a master that crashed.
func lock(path string) (f *os.File, crashed bool, err error) {
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("lock the instance: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, false, fmt.Errorf("%w (pid %s, lock %s)", ErrRunning, holder(f), path)
		}
		return nil, false, fmt.Errorf("lock the instance: %s: %w", path, err)
	}
	before, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, false, fmt.Errorf("lock the instance: %w", err)
	}
	// A full disk may not take the pid. The lock holds without it, and the
	// suite has to start, to make room.
	if n, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0); err == nil {
		_ = f.Truncate(int64(n))
	}
	return f, before.Size() > 0, nil
}

// unlock gives the instance up in good order.
func unlock(f *os.File) {
	_ = f.Truncate(0) // a pid that stays costs the next start no more than patience
	f.Close()
}

func holder(f *os.File) string {
	b, _ := io.ReadAll(io.LimitReader(f, 20))
	if pid := strings.TrimSpace(string(b)); pid != "" {
		return pid
	}
	return "unknown"
}

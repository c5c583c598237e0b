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
// nothing; the pid in it is for people.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the instance: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (pid %s, lock %s)", ErrRunning, holder(f), path)
		}
		return nil, fmt.Errorf("lock the instance: %s: %w", path, err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock the instance: %w", err)
	}
	return f, nil
}

func holder(f *os.File) string {
	b, _ := io.ReadAll(io.LimitReader(f, 20))
	if pid := strings.TrimSpace(string(b)); pid != "" {
		return pid
	}
	return "unknown"
}

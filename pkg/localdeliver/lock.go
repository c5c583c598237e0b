package localdeliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"filbert/pkg/durable"
)

// errLocked means that another program had the mailbox all the time.
var errLocked = errors.New("another program has the mailbox locked")

// staleLock is the age at which a dot lock counts as left behind. Programs that
// hold one longer touch it again.
const staleLock = 10 * time.Minute

// ofdSetLock is F_OFD_SETLK. A lock of the open file description conflicts with
// the fcntl locks of other programs as theirs do with each other, but belongs to
// this descriptor: the older kind would be lost when any other descriptor of the
// file in this process is closed.
const ofdSetLock = 37

// fcntlLock waits for the lock on the whole file until ctx ends.
func (w *worker) fcntlLock(ctx context.Context, f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	try := func() (bool, error) {
		lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
		var inner error
		err := raw.Control(func(fd uintptr) { inner = syscall.FcntlFlock(fd, ofdSetLock, &lock) })
		err = errors.Join(err, inner)
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("lock: %w", err)
		}
		return true, nil
	}
	return w.poll(ctx, try)
}

// dotLock makes name.lock and returns how to remove it. In a directory where
// the user may not make files (a system's mail spool with other rules) there is
// no dot lock and the fcntl lock has to do.
func (w *worker) dotLock(ctx context.Context, dir *durable.Dir, name string) (unlock func(), err error) {
	lock := name + ".lock"
	held := false
	err = w.poll(ctx, func() (bool, error) {
		f, err := dir.OpenFile(lock, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
		switch {
		case errors.Is(err, fs.ErrExist):
			return false, w.removeStale(dir, lock)
		case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
			return true, nil
		case err != nil:
			return false, fmt.Errorf("make %s: %w", lock, err)
		}
		held = true
		// The number is for people; nobody decides by it.
		_, werr := io.WriteString(f.OS(), strconv.Itoa(os.Getpid())+"\n")
		_ = f.Close()
		if werr != nil {
			_ = dir.Remove(lock)
			return false, fmt.Errorf("make %s: %w", lock, werr)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return func() {
		if held {
			_ = dir.Remove(lock)
		}
	}, nil
}

// removeStale removes a lock that is too old. Two programs that do so at the
// same moment may both go on; the fcntl lock keeps them apart.
func (w *worker) removeStale(dir *durable.Dir, lock string) error {
	info, err := dir.Stat(lock)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if w.wall().Sub(info.ModTime) < staleLock {
		return nil
	}
	if err := dir.Remove(lock); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the stale %s: %w", lock, err)
	}
	return nil
}

// poll tries until try says true, fails, or ctx ends. There is no way to be told
// when a dot lock goes, nor to wait for an fcntl lock within a time.
func (w *worker) poll(ctx context.Context, try func() (bool, error)) error {
	for {
		ok, err := try()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errLocked
		case <-time.After(w.lockPoll):
		}
	}
}

package durable

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// zeroChunk is how much Preallocate writes at a time.
const zeroChunk = 256 << 10

type osFile struct{ f *os.File }

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

func (o *osFile) ReadAt(p []byte, off int64) (int, error)  { return o.f.ReadAt(p, off) }
func (o *osFile) WriteAt(p []byte, off int64) (int, error) { return o.f.WriteAt(p, off) }
func (o *osFile) Write(p []byte) (int, error)              { return o.f.Write(p) }
func (o *osFile) Truncate(size int64) error                { return o.f.Truncate(size) }
func (o *osFile) OS() *os.File                             { return o.f }
func (o *osFile) Close() error                             { return o.f.Close() }

// control runs fn on the descriptor without taking it out of the os.File.
func (o *osFile) control(op string, fn func(fd int) error) error {
	raw, err := o.f.SyscallConn()
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, o.f.Name(), err)
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		inner = retry(func() error { return fn(int(fd)) })
	})
	return pathError(op, o.f.Name(), errors.Join(err, inner))
}

func (o *osFile) Datasync() error {
	return o.control("fdatasync", unix.Fdatasync)
}

func (o *osFile) Size() (int64, error) {
	var st unix.Stat_t
	err := o.control("fstat", func(fd int) error { return unix.Fstat(fd, &st) })
	return st.Size, err
}

func (o *osFile) Preallocate(size int64) error {
	// fallocate first: it fails at once, before anything is written, when
	// there is no room. The zeros after it turn "unwritten" extents into
	// written ones; otherwise the first write into each would change metadata
	// and its fdatasync would wait for the file system's journal.
	err := o.control("fallocate", func(fd int) error { return unix.Fallocate(fd, 0, 0, size) })
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	zeros := make([]byte, min(size, zeroChunk))
	for off := int64(0); off < size; {
		n, err := o.f.WriteAt(zeros[:min(size-off, zeroChunk)], off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return o.Datasync()
}

func (o *osFile) Lock() error {
	return o.control("lock", func(fd int) error { return unix.Flock(fd, unix.LOCK_EX) })
}

func (o *osFile) TryLock() error {
	err := o.control("lock", func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return pathError("lock", o.f.Name(), ErrLocked)
	}
	return err
}

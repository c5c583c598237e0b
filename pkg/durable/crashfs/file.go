package crashfs

import (
	"io"
	"math/rand/v2"
	"os"
	"syscall"

	"filbert/pkg/durable"
)

// file is one open description.
type file struct {
	fs     *FS
	name   string
	node   *node
	flag   int
	pos    int64
	closed bool
}

// ready says whether the file may be used, and written.
func (h *file) ready(write string) error {
	switch {
	case h.fs.cut:
		return ErrCut
	case h.closed:
		return fail("use", h.name, os.ErrClosed)
	case write != "" && h.flag&(os.O_WRONLY|os.O_RDWR) == 0:
		return fail(write, h.name, syscall.EBADF)
	}
	return nil
}

func (h *file) ReadAt(p []byte, off int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.ready(""); err != nil {
		return 0, err
	}
	if off >= int64(len(h.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *file) WriteAt(p []byte, off int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.flag&os.O_APPEND != 0 {
		return 0, fail("write at", h.name, os.ErrInvalid) // as os.File has it
	}
	return h.writeLocked(p, off)
}

func (h *file) Write(p []byte) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.flag&os.O_APPEND != 0 {
		h.pos = int64(len(h.node.data))
	}
	n, err := h.writeLocked(p, h.pos)
	h.pos += int64(n)
	return n, err
}

func (h *file) writeLocked(p []byte, off int64) (int, error) {
	if err := h.ready("write"); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	last, err := h.fs.step("write", h.name)
	if err != nil {
		return 0, err
	}
	more := off + int64(len(p)) - int64(len(h.node.data))
	fits := int64(len(p))
	if room := h.fs.roomFor(more); more > 0 && room < more {
		fits = max(0, fits-(more-room))
	}
	h.node.write(p[:fits], off)
	if last {
		return 0, ErrCut
	}
	if fits < int64(len(p)) {
		return int(fits), fail("write", h.name, syscall.ENOSPC)
	}
	return len(p), nil
}

func (h *file) Datasync() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	return h.datasyncLocked()
}

func (h *file) datasyncLocked() error {
	if err := h.ready(""); err != nil {
		return err
	}
	last, err := h.fs.step("datasync", h.name)
	if err != nil || last {
		return ErrCut
	}
	if h.fs.failFlush != nil && h.fs.failFlush(h.name) {
		// Some pages got through, the others are forgotten and no longer
		// dirty; readers still see them.
		r := rand.New(rand.NewPCG(uint64(h.fs.ops), 1))
		h.node.onDisk = h.node.survivor(r.IntN)
		h.node.versions, h.node.lengths = nil, nil
		return fail("fdatasync", h.name, syscall.EIO)
	}
	h.node.flush()
	return nil
}

func (h *file) Preallocate(size int64) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.ready("preallocate"); err != nil {
		return err
	}
	more := size - int64(len(h.node.data))
	if h.fs.roomFor(more) < more {
		return fail("preallocate", h.name, syscall.ENOSPC)
	}
	last, err := h.fs.step("preallocate", h.name)
	if err != nil {
		return err
	}
	h.node.resize(size)
	if last {
		return ErrCut
	}
	return h.datasyncLocked()
}

func (h *file) Truncate(size int64) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.ready("truncate"); err != nil {
		return err
	}
	last, err := h.fs.step("truncate", h.name)
	if err != nil {
		return err
	}
	h.node.resize(size)
	return ended(last)
}

func (h *file) Size() (int64, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.ready(""); err != nil {
		return 0, err
	}
	return int64(len(h.node.data)), nil
}

func (h *file) Lock() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	for h.node.holder != nil && h.node.holder != h && !h.fs.cut {
		h.fs.unlocked.Wait()
	}
	if err := h.ready(""); err != nil {
		return err
	}
	h.node.holder = h
	return nil
}

func (h *file) TryLock() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.ready(""); err != nil {
		return err
	}
	if h.node.holder != nil && h.node.holder != h {
		return fail("lock", h.name, durable.ErrLocked)
	}
	h.node.holder = h
	return nil
}

// OS is nil: there is no file of the system behind this one.
func (h *file) OS() *os.File { return nil }

func (h *file) Close() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.closed {
		return fail("close", h.name, os.ErrClosed)
	}
	h.closed = true
	if h.fs.cut {
		return ErrCut // and the node may be another FS's already: see Kill
	}
	if h.node.holder == h {
		h.node.holder = nil
		h.fs.unlocked.Broadcast()
	}
	return nil
}

package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// LargeFile is the content of a large message on its way in. It is written from
// front to back, then sealed, then named by a record; or discarded. One
// goroutine uses it.
type LargeFile struct {
	fs     durable.FS
	opt    Options
	id     queueid.ID
	file   durable.File
	sum    Large
	looked int64 // the length when the disk was last asked for room
	err    error // the first error: the file is good for nothing after it
}

// lookEach is how much of a large file is written between two looks at the
// disk: what is set aside for other uses is not for it.
const lookEach = 1 << 20

// CreateLarge begins the file of a large message. ErrFull: the disk is near its
// end. A crash leaves a file that no record names; the next Writer removes it.
func (w *Writer) CreateLarge(id queueid.ID) (*LargeFile, error) {
	if _, err := diskFree(w.fs, w.opt); err != nil {
		return nil, fmt.Errorf("create content of %s: %w", id, full(err))
	}
	f, err := w.fs.OpenFile(largeName(id), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create content of %s: %w", id, full(err))
	}
	return &LargeFile{fs: w.fs, opt: w.opt, id: id, file: f}, nil
}

// Write appends. ErrFull: the disk is full; the caller discards the file.
func (l *LargeFile) Write(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	if l.sum.Length-l.looked >= lookEach {
		l.looked = l.sum.Length
		if _, err := diskFree(l.fs, l.opt); err != nil {
			l.err = fmt.Errorf("write content of %s: %w", l.id, full(err))
			return 0, l.err
		}
	}
	n, err := l.file.Write(p)
	l.sum.CRC = crc32.Update(l.sum.CRC, castagnoli, p[:n])
	l.sum.Length += int64(n)
	if err != nil {
		l.err = fmt.Errorf("write content of %s: %w", l.id, full(err))
	}
	return n, l.err
}

// Seal makes the file and its name durable and says what the record must state.
func (l *LargeFile) Seal() (*Large, error) {
	if l.err != nil {
		return nil, l.err
	}
	if err := l.file.Datasync(); err != nil {
		l.err = fmt.Errorf("seal content of %s: %w: %w", l.id, ErrFlush, full(err))
		return nil, l.err
	}
	// A crash here may forget the name. No record names the file yet.
	if err := l.fs.SyncDir(incoming); err != nil {
		l.err = fmt.Errorf("seal content of %s: %w: %w", l.id, ErrFlush, full(err))
		return nil, l.err
	}
	sum := l.sum
	return &sum, nil
}

// OpenRead is a second, read-only descriptor of the file, to pass on.
func (l *LargeFile) OpenRead() (durable.File, error) {
	return l.fs.OpenFile(largeName(l.id), os.O_RDONLY, 0)
}

// Close gives the descriptor back after the commit. The file stays.
func (l *LargeFile) Close() error { return l.file.Close() }

// Discard closes and removes the file: the message was given up, or its commit
// failed. It must not be called once Commit returned nil.
func (l *LargeFile) Discard() error {
	return errors.Join(l.file.Close(), removeIfThere(l.fs, largeName(l.id)))
}

// OpenLarge opens the content of a record whose Large is set, read-only, and
// checks its length. CheckLarge looks at the bytes.
func OpenLarge(fsys durable.FS, id queueid.ID, want *Large) (durable.File, error) {
	f, err := fsys.OpenFile(largeName(id), os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open content of %s: %w", id, err)
	}
	size, err := f.Size()
	if err == nil && size != want.Length {
		err = fmt.Errorf("%d bytes instead of %d: %w", size, want.Length, ErrDamaged)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open content of %s: %w", id, err), f.Close())
	}
	return f, nil
}

// CheckLarge reads all of a large file and compares its checksum.
func CheckLarge(f durable.File, want *Large) error {
	buf := make([]byte, 256<<10)
	var crc uint32
	for off := int64(0); off < want.Length; {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), want.Length-off)], off)
		crc = crc32.Update(crc, castagnoli, buf[:n])
		off += int64(n)
		if err != nil && off < want.Length {
			return fmt.Errorf("check content: %w", err)
		}
	}
	if crc != want.CRC {
		return fmt.Errorf("check content: checksum: %w", ErrDamaged)
	}
	return nil
}

package qindex

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"

	"filbert/pkg/durable"
)

const (
	magic     = "FILBQIX"
	fileHead  = 20
	blockHead = 32
	// blockFull is how much is put into one block before the next is begun.
	blockFull = 32 << 10
	maxBlock  = blockFull + maxRecord
	filePerm  = 0o600
	temporary = ".new"
)

// ErrDamaged says that a file is not, or not to its end, what was written.
var ErrDamaged = errors.New("damaged index")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// file is one of the two while it is written.
type file struct {
	fs     durable.FS
	f      durable.File
	gen    uint64
	length int64  // what was written
	open   []byte // records of the block that is being filled
	out    []byte // blocks that are not written
}

// mark is what the head of a block says.
type mark struct {
	moment  int64
	partner uint64
	reach   int64
}

// create makes a file of its own generation in place of what bears the name.
func create(fsys durable.FS, name string) (*file, error) {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return nil, err
	}
	w := &file{fs: fsys, f: f, gen: rand.Uint64()}
	head := append(make([]byte, 0, fileHead), magic...)
	head = append(head, version)
	head = binary.BigEndian.AppendUint64(head, w.gen)
	head = binary.BigEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	w.out = head
	if err := w.write(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

// reopen opens a file that an earlier run has left.
func reopen(fsys durable.FS, name string) (*file, error) {
	f, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	head := make([]byte, fileHead)
	if n, err := f.ReadAt(head, 0); n < fileHead {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, errors.Join(err, f.Close())
		}
		return nil, errors.Join(fmt.Errorf("%w: no head", ErrDamaged), f.Close())
	}
	switch {
	case string(head[:7]) != magic || binary.BigEndian.Uint32(head[16:]) != crc32.Checksum(head[:16], castagnoli):
		return nil, errors.Join(fmt.Errorf("%w: no head", ErrDamaged), f.Close())
	case head[7] != version:
		return nil, errors.Join(fmt.Errorf("%w: it has version %d, ours is %d", ErrDamaged, head[7], version), f.Close())
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &file{fs: fsys, f: f, gen: binary.BigEndian.Uint64(head[8:]), length: size}, nil
}

// cut forgets what is behind the first length octets.
func (w *file) cut(length int64) error {
	w.length = length
	return w.f.Truncate(length)
}

// added ends the open block when it is full.
func (w *file) added(m mark) {
	if len(w.open) >= blockFull {
		w.seal(m)
	}
}

// seal ends the open block.
func (w *file) seal(m mark) {
	at := len(w.out)
	w.out = binary.BigEndian.AppendUint32(w.out, uint32(len(w.open)))
	w.out = append(w.out, 0, 0, 0, 0)
	w.out = binary.BigEndian.AppendUint64(w.out, uint64(m.moment))
	w.out = binary.BigEndian.AppendUint64(w.out, m.partner)
	w.out = binary.BigEndian.AppendUint64(w.out, uint64(m.reach))
	binary.BigEndian.PutUint32(w.out[at+4:], sum(w.gen, w.out[at:at+blockHead], w.open))
	w.out = append(w.out, w.open...)
	w.open = w.open[:0]
}

// sum is the checksum of a block: with the generation, so that what another file has left on
// the disk does not pass for it.
func sum(gen uint64, head, records []byte) uint32 {
	var g [8]byte
	binary.BigEndian.PutUint64(g[:], gen)
	c := crc32.Update(0, castagnoli, g[:])
	c = crc32.Update(c, castagnoli, head[:4])
	c = crc32.Update(c, castagnoli, head[8:])
	return crc32.Update(c, castagnoli, records)
}

// keepBuffer is how large a buffer may stay that was written.
const keepBuffer = 1 << 20

// write writes the blocks that are sealed.
func (w *file) write() error {
	n, err := w.f.WriteAt(w.out, w.length)
	w.length += int64(n)
	if w.out = w.out[:0]; cap(w.out) > keepBuffer {
		w.out = nil
	}
	return err
}

// blocks reads the blocks of the first size octets of a file, and tells how far they are
// good. records is valid until the next.
func blocks(f io.ReaderAt, gen uint64, size int64, take func(m mark, records []byte) error) (good int64, err error) {
	good = fileHead
	r := bufio.NewReaderSize(io.NewSectionReader(f, good, max(0, size-good)), 256<<10)
	head, buf := make([]byte, blockHead), make([]byte, 0, maxBlock)
	for good < size {
		if _, err := io.ReadFull(r, head); err != nil {
			return good, torn(err)
		}
		n := binary.BigEndian.Uint32(head)
		if n > maxBlock {
			return good, fmt.Errorf("%w: a block of %d octets", ErrDamaged, n)
		}
		buf = buf[:n]
		if _, err := io.ReadFull(r, buf); err != nil {
			return good, torn(err)
		}
		if sum(gen, head, buf) != binary.BigEndian.Uint32(head[4:]) {
			return good, fmt.Errorf("%w: a checksum is wrong", ErrDamaged)
		}
		m := mark{
			moment: int64(binary.BigEndian.Uint64(head[8:])), partner: binary.BigEndian.Uint64(head[16:]),
			reach: int64(binary.BigEndian.Uint64(head[24:])),
		}
		if err := take(m, buf); err != nil {
			return good, err
		}
		good += blockHead + int64(n)
	}
	return good, nil
}

func torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends in the middle of a block", ErrDamaged)
	}
	return err
}

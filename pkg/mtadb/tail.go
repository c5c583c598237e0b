package mtadb

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"syscall"

	"filbert/pkg/wire"
)

const (
	// chunk is how much of a log is read and written to the database at once.
	chunk = 512 << 10
	// headMost is how much of the beginning of a file tells it from another that got the
	// same inode.
	headMost = 256
	maxTails = 8
)

// tail is one log file and how far it has been read.
type tail struct {
	file *os.File
	mark mark
	// idle counts the looks at which nothing had come.
	idle int
}

// mark is what is remembered of a log file: which it is, and how far it was read.
type mark struct {
	dev, ino uint64
	head     uint32 // checksum of the first headSize octets
	headSize uint32
	offset   int64
}

func encodeMarks(tails []*tail) []byte {
	var e wire.Encoder
	e.Count(len(tails))
	for _, t := range tails {
		e.U64(t.mark.dev)
		e.U64(t.mark.ino)
		e.U32(t.mark.head)
		e.U32(t.mark.headSize)
		e.I64(t.mark.offset)
	}
	return e.Buf
}

func decodeMarks(b []byte) []mark {
	d := wire.NewDecoder(b)
	list := make([]mark, d.Count(maxTails, 32))
	for i := range list {
		list[i] = mark{d.U64(), d.U64(), d.U32(), d.U32(), d.I64()}
	}
	if d.Finish() != nil {
		return nil // the logs are read again
	}
	return list
}

// newTail takes a log file up where it was left, or at its beginning.
func newTail(file *os.File, marks []mark) (*tail, error) {
	t := &tail{file: file}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, errors.New("a log file without an inode")
	}
	t.mark.dev, t.mark.ino = st.Dev, st.Ino
	for _, m := range marks {
		if m.dev == t.mark.dev && m.ino == t.mark.ino && m.offset <= info.Size() {
			sum, n, err := headOf(file, m.headSize)
			if err == nil && n == m.headSize && sum == m.head {
				t.mark = m
			}
		}
	}
	return t, nil
}

func headOf(file *os.File, size uint32) (sum, n uint32, err error) {
	b := make([]byte, min(size, headMost))
	got, err := file.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return crc32.ChecksumIEEE(b[:got]), uint32(got), err
}

// isSame tells whether the file begins as it did: one that was cut short may have grown
// to where it was, and beyond.
func (t *tail) isSame() (bool, error) {
	sum, n, err := headOf(t.file, t.mark.headSize)
	return n == t.mark.headSize && sum == t.mark.head, err
}

// read gives the whole lines that have come, at most buf of them, and how far they
// reach. What is cut short begins again at its beginning.
func (t *tail) read(buf []byte) (lines []byte, next mark, err error) {
	info, err := t.file.Stat()
	if err != nil {
		return nil, t.mark, err
	}
	next = t.mark
	same, err := t.isSame()
	if err != nil {
		return nil, t.mark, err
	}
	if info.Size() < next.offset || !same {
		next.offset, next.headSize, next.head = 0, 0, 0
	}
	if info.Size() == next.offset {
		return nil, next, nil
	}
	var n int
	n, err = t.file.ReadAt(buf, next.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, t.mark, err
	}
	whole := bytes.LastIndexByte(buf[:n], '\n') + 1
	if whole == 0 && n == len(buf) {
		whole = n // no line is as long: go on in the middle of it
	}
	if whole == 0 {
		return nil, next, nil // half a line is read again when it is whole
	}
	next.offset += int64(whole)
	if next.headSize < headMost {
		size := uint32(min(next.offset, headMost))
		if next.head, next.headSize, err = headOf(t.file, size); err != nil {
			return nil, t.mark, err
		}
	}
	return buf[:whole], next, nil
}

package journal

import (
	"encoding/binary"
	"errors"
	"io/fs"

	"filbert/pkg/durable"
)

// maxMarksFile bounds what is read of a file of marks.
const maxMarksFile = marksHeader + markSize*(maxIndex+1)

// bitmap is a set of record indexes.
type bitmap []uint64

func (b bitmap) has(i uint32) bool {
	return int(i/64) < len(b) && b[i/64]&(1<<(i%64)) != 0
}

// add puts i in and says whether it was not there.
func (b *bitmap) add(i uint32) bool {
	for int(i/64) >= len(*b) {
		*b = append(*b, 0)
	}
	if b.has(i) {
		return false
	}
	(*b)[i/64] |= 1 << (i % 64)
	return true
}

// marks is what a file of marks says about one generation.
type marks struct {
	set   bitmap
	count uint32
	// flushed is how many marks were on stable storage when the Marker last
	// said so.
	flushed uint32
	// newest is the greatest generation found anywhere in the file.
	newest uint32
}

// settled says that every mark in the file has been flushed.
func (m *marks) settled() bool { return m.flushed == m.count }

// decodeMarks reads a file of marks for one generation. It is total: what it
// can't understand is not a mark, so that the record is attempted again.
func decodeMarks(b []byte, generation uint32) marks {
	var m marks
	if g, n, ok := decodeMarksHeader(b); ok {
		m.newest = g
		if g == generation {
			m.flushed = n
		}
	}
	if len(b) < marksHeader {
		return m
	}
	body := b[marksHeader:]
	for i := 0; (i+1)*markSize <= len(body) && i <= maxIndex; i++ {
		g := binary.BigEndian.Uint32(body[i*markSize:])
		m.newest = max(m.newest, g)
		if g == generation && g != 0 && m.set.add(uint32(i)) {
			m.count++
		}
	}
	return m
}

func decodeMarksHeader(b []byte) (generation, flushed uint32, ok bool) {
	if len(b) < 20 || string(b[:8]) != marksMagic || binary.BigEndian.Uint32(b[16:]) != checksum(b[:16]) {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:]), true
}

func putMarksHeader(b []byte, generation, flushed uint32) {
	copy(b, marksMagic)
	binary.BigEndian.PutUint32(b[8:], generation)
	binary.BigEndian.PutUint32(b[12:], flushed)
	binary.BigEndian.PutUint32(b[16:], checksum(b[:16]))
}

// encodeMarks makes a whole file of at least size bytes.
func encodeMarks(set bitmap, generation, flushed uint32, size int64) []byte {
	b := make([]byte, max(size, marksHeader+int64(len(set))*64*markSize))
	putMarksHeader(b, generation, flushed)
	for i := range uint32(len(set) * 64) {
		if set.has(i) {
			binary.BigEndian.PutUint32(b[marksHeader+markSize*i:], generation)
		}
	}
	return b
}

// loadMarks reads a segment's file of marks; none is the same as an empty one.
func loadMarks(fsys durable.FS, number, generation uint32) (marks, error) {
	b, err := durable.ReadFile(fsys, marksName(number), maxMarksFile)
	if errors.Is(err, fs.ErrNotExist) {
		return marks{}, nil
	}
	if err != nil {
		return marks{}, err
	}
	return decodeMarks(b, generation), nil
}

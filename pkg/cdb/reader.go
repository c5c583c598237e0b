package cdb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Bounds. The format's, and ours.
const (
	MaxSize    = 1<<32 - 1 // of a file
	headerSize = 2048      // 256 pairs of numbers
	slotSize   = 8
	// maxSlots bounds what one question looks at. Half of the slots are free in
	// what all writers make, so that chains are short unless a key has many values.
	maxSlots = 1 << 18
	// blockSlots are read at once.
	blockSlots = 16
)

// ErrCorrupt is wrapped by the errors about what can't be in a database.
var ErrCorrupt = errors.New("not a constant database, or damaged")

// Reader reads a database. It may be used by many goroutines.
type Reader struct {
	in     io.ReaderAt
	size   int64
	tables [256]struct{ pos, slots uint32 }
}

// NewReader reads the beginning of a database of a size, and checks that its
// hash tables lie within it: they are at the end, so that a file which is cut off
// or only half written is refused here.
func NewReader(in io.ReaderAt, size int64) (*Reader, error) {
	if size < headerSize || size > MaxSize {
		return nil, fmt.Errorf("%w: it has %d octets", ErrCorrupt, size)
	}
	var head [headerSize]byte
	if _, err := in.ReadAt(head[:], 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read the beginning: %w", err)
	}
	if head == ([headerSize]byte{}) {
		// Writers leave it free until they have written all the rest.
		return nil, fmt.Errorf("%w: it is not written to its end", ErrCorrupt)
	}
	r := &Reader{in: in, size: size}
	for i := range r.tables {
		t := &r.tables[i]
		t.pos = binary.LittleEndian.Uint32(head[8*i:])
		t.slots = binary.LittleEndian.Uint32(head[8*i+4:])
		if t.slots > 0 && int64(t.pos) < headerSize || int64(t.pos)+slotSize*int64(t.slots) > size {
			return nil, fmt.Errorf("%w: hash table %d is not within it", ErrCorrupt, i)
		}
	}
	return r, nil
}

// hash is the format's.
func hash(key []byte) uint32 {
	h := uint32(5381)
	for _, c := range key {
		h = h*33 ^ uint32(c)
	}
	return h
}

// Limits bound what a question may give.
type Limits struct {
	Values int // their number
	Octets int // of all together
}

// Find gives the values of a key, in the order in which they were written: none
// when the key is not there, an empty one when it has no data.
func (r *Reader) Find(ctx context.Context, key []byte, most Limits) ([][]byte, error) {
	h := hash(key)
	t := r.tables[h&0xff]
	if t.slots == 0 {
		return nil, nil
	}
	var values [][]byte
	var block [blockSlots * slotSize]byte
	first := (h >> 8) % t.slots
	for seen := uint32(0); seen < t.slots; {
		if seen > maxSlots {
			return nil, fmt.Errorf("%w: a chain of more than %d slots", ErrCorrupt, maxSlots)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		at := (first + seen) % t.slots // no overflow: slots < 2^29
		n := min(blockSlots, t.slots-at, t.slots-seen)
		b := block[:n*slotSize]
		if err := r.readAt(b, int64(t.pos)+int64(at)*slotSize); err != nil {
			return nil, err
		}
		for ; len(b) > 0; b = b[slotSize:] {
			pos := binary.LittleEndian.Uint32(b[4:])
			if pos == 0 {
				return values, nil
			}
			if binary.LittleEndian.Uint32(b) != h {
				continue
			}
			value, is, err := r.record(pos, key, most.Octets)
			if err != nil {
				return nil, err
			}
			if is {
				if most.Octets -= len(value); len(values) == most.Values || most.Octets < 0 {
					return nil, fmt.Errorf("%w: a key has too many values", ErrCorrupt)
				}
				values = append(values, value)
			}
		}
		seen += n
	}
	return values, nil
}

// record reads the record at a place, if it is of the key.
func (r *Reader) record(pos uint32, key []byte, most int) (value []byte, is bool, err error) {
	var head [8]byte
	if err := r.readAt(head[:], int64(pos)); err != nil {
		return nil, false, err
	}
	keyLen, dataLen := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
	from := int64(pos) + 8
	if int64(pos) < headerSize || from+int64(keyLen)+int64(dataLen) > r.size {
		return nil, false, fmt.Errorf("%w: a record is not within it", ErrCorrupt)
	}
	if int64(keyLen) != int64(len(key)) {
		return nil, false, nil
	}
	same, err := r.sameAt(from, key)
	if err != nil || !same {
		return nil, false, err
	}
	if int64(dataLen) > int64(most) {
		return nil, false, fmt.Errorf("%w: the data of a key has %d octets", ErrCorrupt, dataLen)
	}
	value = make([]byte, dataLen)
	return value, true, r.readAt(value, from+int64(keyLen))
}

// sameAt compares the key of a record.
func (r *Reader) sameAt(pos int64, key []byte) (bool, error) {
	var buf [256]byte
	for len(key) > 0 {
		n := min(len(buf), len(key))
		if err := r.readAt(buf[:n], pos); err != nil {
			return false, err
		}
		if string(buf[:n]) != string(key[:n]) {
			return false, nil
		}
		key, pos = key[n:], pos+int64(n)
	}
	return true, nil
}

func (r *Reader) readAt(b []byte, pos int64) error {
	if pos+int64(len(b)) > r.size {
		return fmt.Errorf("%w: a place is not within it", ErrCorrupt)
	}
	if n, err := r.in.ReadAt(b, pos); n < len(b) {
		return fmt.Errorf("read at %d: %w", pos, err)
	}
	return nil
}

package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"filbert/pkg/queueid"
)

// The layout of doc.go in numbers.
const (
	headerBlock  = 4096 // header of a segment, and the alignment of a flush
	headerCopy   = 2048 // where its second copy is
	headerSize   = 28
	recordHeader = 64
	recordAlign  = 8
	marksHeader  = 512
	markSize     = 4

	// maxIndex bounds the records of a segment: MaxSegmentSize over the
	// smallest record.
	maxIndex = MaxSegmentSize / recordHeader

	flagLarge = 1

	// MaxSegmentSize bounds Options.SegmentSize.
	MaxSegmentSize = 256 << 20
	// MaxContent bounds the length of a large file that a record may state.
	MaxContent = 1 << 40
)

const (
	segmentMagic = "FILBJRN1"
	marksMagic   = "FILBDON1"
	recordMagic  = "FJR1"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// segmentHeader is the header of one use of a segment.
type segmentHeader struct {
	number     uint32
	generation uint32
	tag        uint64
}

// put writes both copies into a block of headerBlock bytes.
func (h segmentHeader) put(block []byte) {
	clear(block[:headerBlock])
	for _, at := range []int{0, headerCopy} {
		b := block[at : at+headerSize]
		copy(b, segmentMagic)
		binary.BigEndian.PutUint32(b[8:], h.number)
		binary.BigEndian.PutUint32(b[12:], h.generation)
		binary.BigEndian.PutUint64(b[16:], h.tag)
		binary.BigEndian.PutUint32(b[24:], checksum(b[:24]))
	}
}

// readSegmentHeader finds the newest whole copy. ok is false when there is
// none: blank says whether the block is all zeros, a segment never used.
func readSegmentHeader(block []byte) (h segmentHeader, blank, ok bool) {
	for _, at := range []int{0, headerCopy} {
		b := block[at : at+headerSize]
		if string(b[:8]) != segmentMagic || binary.BigEndian.Uint32(b[24:]) != checksum(b[:24]) {
			continue
		}
		c := segmentHeader{
			number:     binary.BigEndian.Uint32(b[8:]),
			generation: binary.BigEndian.Uint32(b[12:]),
			tag:        binary.BigEndian.Uint64(b[16:]),
		}
		// The copies differ when a cut fell into the write of a new use;
		// its records, if any, are behind the newer header only, and those
		// of the old use were all done.
		if c.generation != 0 && (!ok || c.generation > h.generation) {
			h, ok = c, true
		}
	}
	if ok {
		return h, false, true
	}
	for _, c := range block {
		if c != 0 {
			return h, false, false
		}
	}
	return h, true, false
}

// recordHead is the fixed part of a record.
type recordHead struct {
	tag        uint64
	generation uint32
	index      uint32
	flags      uint32
	envelope   uint32
	content    uint64
	flush      uint32
	id         queueid.ID
	bodyCRC    uint32
	fileCRC    uint32
}

// put writes the head into 64 bytes.
func (h *recordHead) put(b []byte) {
	_ = b[recordHeader-1]
	copy(b, recordMagic)
	binary.BigEndian.PutUint64(b[8:], h.tag)
	binary.BigEndian.PutUint32(b[16:], h.generation)
	binary.BigEndian.PutUint32(b[20:], h.index)
	binary.BigEndian.PutUint32(b[24:], h.flags)
	binary.BigEndian.PutUint32(b[28:], h.envelope)
	binary.BigEndian.PutUint64(b[32:], h.content)
	binary.BigEndian.PutUint32(b[40:], h.flush)
	binary.BigEndian.PutUint32(b[44:], 0)
	binary.BigEndian.PutUint64(b[48:], uint64(h.id))
	binary.BigEndian.PutUint32(b[56:], h.bodyCRC)
	binary.BigEndian.PutUint32(b[60:], h.fileCRC)
	binary.BigEndian.PutUint32(b[4:], checksum(b[8:recordHeader]))
}

// readRecordHead decodes the head at off of a segment of size bytes, in the use
// that use describes. It refuses all that could not have been written there.
func readRecordHead(b []byte, off, size int64, use segmentHeader) (recordHead, error) {
	var h recordHead
	if len(b) < recordHeader || string(b[:4]) != recordMagic ||
		binary.BigEndian.Uint32(b[4:]) != checksum(b[8:recordHeader]) {
		return h, fmt.Errorf("no record at %d: %w", off, ErrDamaged)
	}
	h = recordHead{
		tag:        binary.BigEndian.Uint64(b[8:]),
		generation: binary.BigEndian.Uint32(b[16:]),
		index:      binary.BigEndian.Uint32(b[20:]),
		flags:      binary.BigEndian.Uint32(b[24:]),
		envelope:   binary.BigEndian.Uint32(b[28:]),
		content:    binary.BigEndian.Uint64(b[32:]),
		flush:      binary.BigEndian.Uint32(b[40:]),
		id:         queueid.ID(binary.BigEndian.Uint64(b[48:])),
		bodyCRC:    binary.BigEndian.Uint32(b[56:]),
		fileCRC:    binary.BigEndian.Uint32(b[60:]),
	}
	switch {
	case h.tag != use.tag || h.generation != use.generation:
		return h, fmt.Errorf("record at %d is of another use: %w", off, ErrGone)
	case h.index > maxIndex || h.flags&^flagLarge != 0 || h.id == 0 || h.content > MaxContent,
		h.flush > h.index || binary.BigEndian.Uint32(b[44:]) != 0,
		h.flags&flagLarge == 0 && h.content > uint64(size),
		h.length() > size-off:
		return h, fmt.Errorf("record at %d states impossible values: %w", off, ErrDamaged)
	}
	return h, nil
}

// length is that of the whole record in the segment, without padding. The
// fields were bounded, so that it can't overflow.
func (h *recordHead) length() int64 {
	n := int64(recordHeader) + int64(h.envelope)
	if h.flags&flagLarge == 0 {
		n += int64(h.content)
	}
	return n
}

func align(off, to int64) int64 { return (off + to - 1) &^ (to - 1) }

// The names below the spool.
const (
	incoming   = "incoming"
	corruptDir = "corrupt"
	writerLock = incoming + "/.cleanup"
	markerLock = incoming + "/.dispatch"
)

func segmentName(n uint32) string { return fmt.Sprintf("%s/%08d.j", incoming, n) }
func makingName(n uint32) string  { return fmt.Sprintf("%s/%08d.new", incoming, n) }
func marksName(n uint32) string   { return fmt.Sprintf("%s/%08d.done", incoming, n) }
func servedName(n uint32) string  { return fmt.Sprintf("%s/%08d.served", incoming, n) }

// largeName is the file of a large message's content.
func largeName(id queueid.ID) string { return incoming + "/" + id.String() }

// numberOf reads a name in incoming/ with the given ending.
func numberOf(name, ending string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, ending)
	if !ok || len(digits) != 8 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), err == nil && fmt.Sprintf("%08d", n) == digits
}

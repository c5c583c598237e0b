package journal

import (
	"errors"
	"fmt"

	"filbert/pkg/queueid"
	"filbert/pkg/wire"
)

// The errors by which callers decide. All of them mean "not accepted, try
// later"; none leaves anything behind.
var (
	// ErrFull: no room, in the journal or on the disk (blocks or inodes).
	ErrFull = errors.New("journal is full")
	// ErrFlush: the disk refused a write or a flush.
	ErrFlush = errors.New("journal flush failed")
	// ErrTooLarge: the record doesn't fit a segment; use CreateLarge.
	ErrTooLarge = errors.New("record is too large for the journal")
	// ErrClosed: the Writer or Marker was closed.
	ErrClosed = errors.New("journal is closed")
	// ErrInUse: another Writer holds the journal.
	ErrInUse = errors.New("journal has another writer")
)

// The errors of reading a record.
var (
	// ErrDamaged: the bytes are not what was written.
	ErrDamaged = errors.New("damaged journal record")
	// ErrGone: the segment has been reused, so the record was done.
	ErrGone = errors.New("journal record is gone")
)

// Ref names a record: where it lies, in which use of the segment.
type Ref struct {
	Segment    uint32
	Generation uint32
	Index      uint32
	Offset     int64
	Length     int64
}

// String is for logs: segment.generation.index.
func (r Ref) String() string {
	return fmt.Sprintf("%08d.%d.%d", r.Segment, r.Generation, r.Index)
}

// EncodeTo appends the reference.
func (r *Ref) EncodeTo(e *wire.Encoder) {
	e.U32(r.Segment)
	e.U32(r.Generation)
	e.U32(r.Index)
	e.I64(r.Offset)
	e.I64(r.Length)
}

// DecodeFrom reads a reference; d says what was wrong.
func (r *Ref) DecodeFrom(d *wire.Decoder) {
	r.Segment = d.U32()
	r.Generation = d.U32()
	r.Index = d.U32()
	r.Offset = d.I64()
	r.Length = d.I64()
	if r.Generation == 0 || r.Index > maxIndex || r.Offset < headerBlock || r.Offset%recordAlign != 0 ||
		r.Length < recordHeader || r.Length > MaxSegmentSize || r.Offset > MaxSegmentSize-r.Length {
		d.Fail("journal reference %d.%d.%d at %d, %d bytes", r.Segment, r.Generation, r.Index, r.Offset, r.Length)
	}
}

// Record is one message as the journal keeps it.
type Record struct {
	ID       queueid.ID
	Envelope []byte
	// Content is the text of a small message; nil with Large.
	Content []byte
	// Large says that the content is in incoming/ID, sealed before the commit.
	Large *Large
	// Internal lets the record use the segments kept in reserve: for the
	// suite's own reports, which have nobody who could try again.
	Internal bool
}

// Large describes the content of a large message.
type Large struct {
	Length int64
	CRC    uint32 // CRC-32C of all of it
}

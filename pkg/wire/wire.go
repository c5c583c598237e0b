// Package wire is the binary encoding of everything that crosses a socket or
// is kept in the spool: fixed-width big-endian integers, length-counted
// strings and counted lists, in one order, without tags.
//
// It promises the reader that a decode is total and bounded: a short, long or
// absurd input is an error, never a panic, never an allocation larger than the
// input itself. It promises the writer that what was encoded decodes to the
// same value. It refuses left-over bytes (Decoder.Finish). It knows no mail
// words: what the bytes mean is said by the package that encodes them.
//
// The format carries no newline, quote or separator, so that no text of a peer
// can end one field and begin another.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// MaxString is the greatest length, in bytes, of one string or byte field.
const MaxString = 16 << 20

// ErrMalformed is wrapped by every decoding error.
var ErrMalformed = errors.New("malformed record")

// Encoder appends values to a buffer. The zero value is ready.
type Encoder struct {
	Buf []byte
}

// U8 appends one byte.
func (e *Encoder) U8(v uint8) { e.Buf = append(e.Buf, v) }

// U16 appends 2 bytes.
func (e *Encoder) U16(v uint16) { e.Buf = binary.BigEndian.AppendUint16(e.Buf, v) }

// U32 appends 4 bytes.
func (e *Encoder) U32(v uint32) { e.Buf = binary.BigEndian.AppendUint32(e.Buf, v) }

// U64 appends 8 bytes.
func (e *Encoder) U64(v uint64) { e.Buf = binary.BigEndian.AppendUint64(e.Buf, v) }

// I64 appends 8 bytes, two's complement.
func (e *Encoder) I64(v int64) { e.U64(uint64(v)) }

// Bool appends one byte, 0 or 1.
func (e *Encoder) Bool(v bool) {
	if v {
		e.U8(1)
		return
	}
	e.U8(0)
}

// String appends a 4-byte length and the bytes.
func (e *Encoder) String(s string) {
	e.U32(uint32(len(s)))
	e.Buf = append(e.Buf, s...)
}

// Bytes appends a 4-byte length and the bytes.
func (e *Encoder) Bytes(b []byte) {
	e.U32(uint32(len(b)))
	e.Buf = append(e.Buf, b...)
}

// Count appends the number of elements of a list that follows.
func (e *Encoder) Count(n int) { e.U32(uint32(n)) }

// Decoder takes values off the front of a buffer. After the first error every
// further read returns a zero value; ask Err or Finish once at the end.
type Decoder struct {
	buf []byte
	err error
}

// NewDecoder reads from b. Strings are copied out of it; Bytes alias it.
func NewDecoder(b []byte) *Decoder { return &Decoder{buf: b} }

// Err is the first error met.
func (d *Decoder) Err() error { return d.err }

// Fail records an error of the caller's own (a value out of range) as if the
// decoder had met it.
func (d *Decoder) Fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
}

// Finish reports the first error, or that bytes were left over.
func (d *Decoder) Finish() error {
	if d.err == nil && len(d.buf) != 0 {
		d.Fail("%d bytes left over", len(d.buf))
	}
	return d.err
}

// Rest is the number of bytes not yet read.
func (d *Decoder) Rest() int { return len(d.buf) }

func (d *Decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n < 0 || n > len(d.buf) {
		d.Fail("wanted %d bytes, %d remain", n, len(d.buf))
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

// U8 reads one byte.
func (d *Decoder) U8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 reads 2 bytes.
func (d *Decoder) U16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// U32 reads 4 bytes.
func (d *Decoder) U32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// U64 reads 8 bytes.
func (d *Decoder) U64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// I64 reads 8 bytes, two's complement.
func (d *Decoder) I64() int64 { return int64(d.U64()) }

// Bool reads one byte and refuses all but 0 and 1.
func (d *Decoder) Bool() bool {
	switch v := d.U8(); v {
	case 0:
		return false
	case 1:
		return true
	default:
		d.Fail("truth value %d", v)
		return false
	}
}

// Bytes reads a length-counted field of at most max bytes; the result aliases
// the input.
func (d *Decoder) Bytes(max int) []byte {
	n := d.U32()
	if d.err == nil && (uint64(n) > uint64(max) || n > math.MaxInt32) {
		d.Fail("field of %d bytes where at most %d may be", n, max)
		return nil
	}
	return d.take(int(n))
}

// String reads a length-counted field of at most max bytes.
func (d *Decoder) String(max int) string { return string(d.Bytes(max)) }

// Count reads the number of elements of a list: at most max, and no more than
// could follow in the bytes that remain if each took least bytes (so that a
// count can't make the caller allocate more than was sent).
func (d *Decoder) Count(max, least int) int {
	n := d.U32()
	if d.err != nil {
		return 0
	}
	if least < 1 {
		least = 1
	}
	if uint64(n) > uint64(max) || uint64(n) > uint64(len(d.buf)/least) {
		d.Fail("list of %d elements (at most %d; %d bytes remain)", n, max, len(d.buf))
		return 0
	}
	return int(n)
}

package quirk

import (
	"time"

	"filbert/pkg/wire"
)

// recordVersion is the first octet of a record. One of another version is forgotten, and
// learned again.
const recordVersion = 1

// Marshal is the facts as they are remembered.
func (f *Facts) Marshal() []byte {
	var e wire.Encoder
	e.U8(recordVersion)
	e.String(f.Name)
	for _, t := range f.times() {
		e.I64(milliOrZero(*t))
	}
	for _, m := range f.marks() {
		m.encodeTo(&e)
	}
	e.U32(uint32(f.Took))
	encodeExtensions(&e, f.Extensions)
	e.I64(f.Size)
	f.Times.encodeTo(&e)
	return e.Buf
}

// Unmarshal reads a record; false: it makes no sense.
func Unmarshal(b []byte) (*Facts, bool) {
	f := new(Facts)
	d := wire.NewDecoder(b)
	if d.U8() != recordVersion {
		return nil, false
	}
	f.Name = d.String(maxName)
	for _, t := range f.times() {
		*t = timeOrZero(d.I64())
	}
	for _, m := range f.marks() {
		m.decodeFrom(d)
	}
	f.Took = int(d.U32())
	f.Extensions = decodeExtensions(d)
	f.Size = d.I64()
	f.Times.decodeFrom(d)
	if d.Finish() != nil || f.IsZero() {
		return nil, false
	}
	return f, true
}

func (f *Facts) times() []*time.Time {
	return []*time.Time{&f.First, &f.Last, &f.Greeted, &f.Offered, &f.Secured}
}

func (f *Facts) marks() []*Mark { return []*Mark{&f.EHLO, &f.TLS, &f.OutOfStep, &f.TooMany} }

package journal

import (
	"bytes"
	"encoding/binary"
	"testing"

	"filbert/pkg/wire"
)

func TestMarksOfAnEarlierUseHideNothing(t *testing.T) {
	// Any mixture of old and new sectors of a file of marks.
	old := encodeMarks(bitmap{^uint64(0), ^uint64(0), ^uint64(0)}, 5, 192, 0)
	fresh := encodeMarks(bitmap{1}, 6, 1, int64(len(old)))
	for mix := range 1 << (len(old) / 256) {
		b := bytes.Clone(old)
		for s := range len(old) / 256 {
			if mix&(1<<s) != 0 {
				copy(b[s*256:(s+1)*256], fresh[s*256:])
			}
		}
		m := decodeMarks(b, 6)
		if m.count > 1 || m.count == 1 && !m.set.has(0) {
			t.Fatalf("mixture %b has %d marks", mix, m.count)
		}
	}
}

func TestReferenceSurvivesTheWire(t *testing.T) {
	want := Ref{Segment: 3, Generation: 9, Index: 4, Offset: headerBlock + 8, Length: 100}
	var e wire.Encoder
	want.EncodeTo(&e)
	var got Ref
	d := wire.NewDecoder(e.Buf)
	got.DecodeFrom(d)
	if err := d.Finish(); err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []Ref{{}, {Generation: 1, Offset: 1, Length: 100}, {Generation: 1, Offset: headerBlock, Length: 1 << 40}} {
		e.Buf = nil
		bad.EncodeTo(&e)
		d := wire.NewDecoder(e.Buf)
		got.DecodeFrom(d)
		if d.Finish() == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

func TestRecordHeadIsReadAsWritten(t *testing.T) {
	use := segmentHeader{number: 1, generation: 2, tag: 3}
	want := recordHead{tag: 3, generation: 2, index: 9, envelope: 10, content: 20, flush: 8, id: 5, bodyCRC: 6, fileCRC: 7}
	b := make([]byte, recordHeader)
	want.put(b)
	if got, err := readRecordHead(b, headerBlock, small, use); err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1
		if _, err := readRecordHead(c, headerBlock, small, use); err == nil {
			t.Errorf("a flipped bit in byte %d went unnoticed", i)
		}
	}
	binary.BigEndian.PutUint64(b[32:], 1<<63)
	binary.BigEndian.PutUint32(b[4:], checksum(b[8:]))
	if _, err := readRecordHead(b, headerBlock, small, use); err == nil {
		t.Error("an impossible length went unnoticed")
	}
}

package journal

import (
	"bytes"
	"testing"
)

// image is the bytes of a segment with three flushes of two records each.
func image() ([]byte, segmentHeader) {
	use := segmentHeader{number: 1, generation: 2, tag: 3}
	b := make([]byte, headerBlock, small)
	use.put(b)
	for i := range uint32(6) {
		r := message(int(i) + 1)
		h := recordHead{
			tag: use.tag, generation: use.generation, index: i, flush: i &^ 1, id: r.ID,
			envelope: uint32(len(r.Envelope)), content: uint64(len(r.Content)),
			bodyCRC: bodyChecksum(r.Envelope, r.Content),
		}
		head := make([]byte, recordHeader)
		h.put(head)
		b = append(append(append(b, head...), r.Envelope...), r.Content...)
		b = append(b, make([]byte, align(int64(len(b)), recordAlign)-int64(len(b)))...)
		if i&1 == 1 {
			b = append(b, make([]byte, align(int64(len(b)), headerBlock)-int64(len(b)))...)
		}
	}
	return b, use
}

// FuzzWalkSegment damages a segment somewhere and looks that whatever is still
// read is what was written, in order, within the bytes, and that the rest is
// accounted for.
func FuzzWalkSegment(f *testing.F) {
	f.Add(0, []byte("?"))
	f.Add(headerBlock, []byte("FJR1FJR1"))
	f.Add(headerBlock+40, []byte{0, 0, 0, 9})
	f.Add(2*headerBlock, make([]byte, headerBlock))
	whole, use := image()
	f.Add(headerBlock+64, whole[headerBlock:headerBlock+600])
	f.Fuzz(func(t *testing.T, at int, damage []byte) {
		b := bytes.Clone(whole)
		if at < 0 || at > len(b) {
			return
		}
		copy(b[at:], damage)
		w := walkSegment(b, use)
		seen := make(map[uint32]bool)
		for _, r := range w.records {
			end := r.off + r.head.length()
			if r.off < headerBlock || end > int64(len(b)) || seen[r.head.index] {
				t.Fatalf("record %d at %d, %d bytes", r.head.index, r.off, r.head.length())
			}
			seen[r.head.index] = true
			if got := r.head.record(b[r.off:end]); !sameRecord(got, message(int(r.head.index)+1)) {
				t.Fatalf("record %d is not what was written", r.head.index)
			}
		}
		for _, h := range w.holes {
			if h.from < headerBlock || h.to > int64(len(b)) || h.from > h.to || h.count == 0 {
				t.Fatalf("hole %+v", h)
			}
			for i := h.first; i < h.first+h.count; i++ {
				if seen[i] {
					t.Fatalf("index %d is both there and missing", i)
				}
				seen[i] = true
			}
		}
		if len(seen) != int(w.next) {
			t.Fatalf("%d of %d indexes are accounted for", len(seen), w.next)
		}
	})
}

// FuzzRecordHead gives the decoder anything; what it accepts it would write.
func FuzzRecordHead(f *testing.F) {
	whole, use := image()
	f.Add(whole[headerBlock : headerBlock+recordHeader])
	f.Add(make([]byte, recordHeader))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readRecordHead(b, headerBlock, small, use)
		if err != nil {
			return
		}
		again := make([]byte, recordHeader)
		h.put(again)
		if !bytes.Equal(again, b[:recordHeader]) || h.length() > small-headerBlock || h.length() < recordHeader {
			t.Fatalf("%+v", h)
		}
	})
}

// FuzzSegmentHeader gives the decoder anything.
func FuzzSegmentHeader(f *testing.F) {
	whole, _ := image()
	f.Add(whole[:headerBlock])
	f.Add(make([]byte, headerBlock))
	f.Fuzz(func(t *testing.T, b []byte) {
		block := make([]byte, headerBlock)
		copy(block, b)
		h, blank, ok := readSegmentHeader(block)
		if ok && (blank || h.generation == 0) {
			t.Fatalf("%+v", h)
		}
	})
}

// FuzzMarks gives the decoder anything; a mark must be there in so many bytes.
func FuzzMarks(f *testing.F) {
	f.Add(encodeMarks(bitmap{5}, 7, 2, 0), uint32(7))
	f.Add([]byte("FILBDON1"), uint32(0))
	f.Add(make([]byte, marksHeader+9), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, generation uint32) {
		m := decodeMarks(b, generation)
		if int(m.count) > max(0, len(b)-marksHeader)/markSize || m.count > 0 && (generation == 0 || m.newest < generation) {
			t.Fatalf("%d marks in %d bytes", m.count, len(b))
		}
		again := decodeMarks(encodeMarks(m.set, generation, m.flushed, 0), generation)
		if again.count != m.count {
			t.Fatalf("%d marks became %d", m.count, again.count)
		}
	})
}

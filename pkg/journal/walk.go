package journal

import (
	"bytes"
	"hash/crc32"
)

// A walk is what one segment holds, found by reading it from front to back.
type walk struct {
	use     segmentHeader
	records []located
	holes   []hole
	// flush is the index of the first record of the last flush that left
	// anything. What was before it had been flushed with success.
	flush uint32
	// next is one more than the last index seen.
	next uint32
}

// located is a whole record.
type located struct {
	head recordHead
	off  int64
}

// A hole is records that must have been there and cannot be read.
type hole struct {
	first, count uint32
	from, to     int64
}

// torn says that the hole's records were part of the last flush: never
// acknowledged, or so late that nothing can tell.
func (h hole) torn(flush uint32) bool { return h.first >= flush }

// walkSegment finds all records of the use in the bytes of a segment. It is a
// pure function, total on any input, linear in its length.
func walkSegment(seg []byte, use segmentHeader) walk {
	w := walk{use: use}
	pos := int64(headerBlock)
	for {
		head, off, ok := nextHead(seg, pos, use)
		if !ok {
			return w
		}
		if head.index < w.next {
			// Indexes increase in a use. A head that looks whole and
			// does not fit is a piece of something damaged.
			pos = off + recordAlign
			continue
		}
		if head.index > w.next {
			w.holes = append(w.holes, hole{first: w.next, count: head.index - w.next, from: pos, to: off})
		}
		end := off + head.length()
		if bodyWhole(seg[off:end], &head) {
			w.records = append(w.records, located{head, off})
		} else {
			w.holes = append(w.holes, hole{first: head.index, count: 1, from: off, to: end})
		}
		w.flush = max(w.flush, head.flush)
		w.next = head.index + 1
		pos = align(end, recordAlign)
	}
}

// nextHead finds the first valid head at or behind pos: nearly always right
// there or, when a flush ended, behind less than a page of zeros.
func nextHead(seg []byte, pos int64, use segmentHeader) (recordHead, int64, bool) {
	size := int64(len(seg))
	for pos+recordHeader <= size {
		i := bytes.Index(seg[pos:], []byte(recordMagic))
		if i < 0 {
			break
		}
		off := pos + int64(i)
		if off%recordAlign == 0 {
			if h, err := readRecordHead(seg[off:], off, size, use); err == nil {
				return h, off, true
			}
		}
		pos = off + 1
	}
	return recordHead{}, 0, false
}

// bodyWhole checks a record's body against its head; b is the whole record.
func bodyWhole(b []byte, h *recordHead) bool {
	return checksum(b[recordHeader:]) == h.bodyCRC
}

// bodyChecksum is the checksum over envelope and content, which need not lie
// one behind the other.
func bodyChecksum(envelope, content []byte) uint32 {
	return crc32.Update(checksum(envelope), castagnoli, content)
}

// record cuts a whole record into its parts, which alias b.
func (h *recordHead) record(b []byte) Record {
	r := Record{ID: h.id, Envelope: b[recordHeader : recordHeader+int64(h.envelope)]}
	if h.flags&flagLarge != 0 {
		r.Large = &Large{Length: int64(h.content), CRC: h.fileCRC}
		return r
	}
	r.Content = b[recordHeader+int64(h.envelope) : h.length()]
	return r
}

// ref names the record.
func (w *walk) ref(l located) Ref {
	return Ref{
		Segment:    w.use.number,
		Generation: w.use.generation,
		Index:      l.head.index,
		Offset:     l.off,
		Length:     l.head.length(),
	}
}

package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// Found is a whole record that Scan met. The record's bytes are valid until the
// callback returns.
type Found struct {
	Ref    Ref
	Record Record
	// Done: the record has its mark (on disk, or in the Marker that scans).
	Done bool
}

// Report is what a scan met beside whole records.
type Report struct {
	Segments int // with a header
	Records  int // whole
	Undone   int // whole and without a mark
	Torn     int // dropped: part of a flush that was never acknowledged
	Damage   []Damage
	// Unreadable is the segments that the disk would not give at all.
	Unreadable []error
}

// Damage is acknowledged records that can no longer be read.
type Damage struct {
	Segment    uint32
	Generation uint32 // 0: the segment's header is unreadable, so all of it is
	First      uint32 // index of the first record that is missing
	Count      uint32
	Offset     int64 // the bytes to keep
	Length     int64
	// Large is set when the record is whole and its large file is not.
	Large queueid.ID
	// Done: all of these records have their mark, so nothing is lost.
	Done bool
}

// Scan reads the whole journal and tells each whole record of the current use
// of each segment, oldest use first. It changes nothing and may run while the
// Writer and the Marker are at work; a commit that is under way may be told or
// not. An error of fn ends it.
func Scan(fsys durable.FS, fn func(Found) error) (Report, error) {
	return scan(fsys, nil, fn)
}

func scan(fsys durable.FS, m *Marker, fn func(Found) error) (Report, error) {
	var rep Report
	list, err := listSegments(fsys)
	if err != nil {
		return rep, fmt.Errorf("scan journal: %w", err)
	}
	var buf []byte
	for _, s := range list {
		if s.blank {
			continue
		}
		rep.Segments++
		if !s.ok {
			rep.Damage = append(rep.Damage, Damage{Segment: s.header.number, Length: s.size})
			continue
		}
		var w walk
		if w, buf, err = readSegment(fsys, s.header.number, buf); err != nil {
			rep.Unreadable = append(rep.Unreadable, fmt.Errorf("scan journal: %w", err))
			continue
		}
		done, err := loadMarks(fsys, w.use.number, w.use.generation)
		if err != nil {
			// Without marks all is undone: delivered twice, not lost.
			rep.Unreadable = append(rep.Unreadable, fmt.Errorf("scan journal: marks: %w", err))
		}
		if m != nil {
			if err := settleSegment(fsys, &w, done.set); err != nil {
				rep.Unreadable = append(rep.Unreadable, fmt.Errorf("scan journal: %w", err))
			}
		}
		if err := tell(&rep, &w, buf, done.set, m, fn); err != nil {
			return rep, err
		}
	}
	return rep, nil
}

// settleSegment flushes a segment before its undone records are acted upon. A
// Writer that was killed before its flush returned leaves records that are whole
// in the page cache alone: were one delivered or filed now, a power cut could
// then forget it and keep pieces of what came of it.
func settleSegment(fsys durable.FS, w *walk, done bitmap) error {
	if !slices.ContainsFunc(w.records, func(l located) bool { return !done.has(l.head.index) }) {
		return nil
	}
	f, err := fsys.OpenFile(segmentName(w.use.number), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Datasync(), f.Close())
}

// tell passes on what one segment holds.
func tell(rep *Report, w *walk, buf []byte, done bitmap, m *Marker, fn func(Found) error) error {
	isDone := func(index uint32) bool {
		return done.has(index) || m.isDone(w.use.number, w.use.generation, index)
	}
	for _, h := range w.holes {
		if h.torn(w.flush) {
			rep.Torn += int(h.count)
			continue
		}
		d := Damage{
			Segment: w.use.number, Generation: w.use.generation,
			First: h.first, Count: h.count,
			Offset: h.from, Length: h.to - h.from, Done: true,
		}
		for i := range h.count {
			d.Done = d.Done && isDone(h.first+i)
		}
		rep.Damage = append(rep.Damage, d)
	}
	for _, l := range w.records {
		f := Found{
			Ref:    w.ref(l),
			Record: l.head.record(buf[l.off : l.off+l.head.length()]),
			Done:   isDone(l.head.index),
		}
		rep.Records++
		if !f.Done {
			rep.Undone++
		}
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

// listed is a segment file with its header.
type listed struct {
	header    segmentHeader
	size      int64
	blank, ok bool
}

// listSegments finds all segments, in the order in which their uses began.
func listSegments(fsys durable.FS) ([]listed, error) {
	var list []listed
	for e, err := range fsys.ReadDir(incoming) {
		if err != nil {
			return nil, err
		}
		n, ok := numberOf(e.Name, ".j")
		if !ok {
			continue
		}
		s, err := readHeader(fsys, n)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b listed) int {
		return cmp.Or(cmp.Compare(a.header.generation, b.header.generation),
			cmp.Compare(a.header.number, b.header.number))
	})
	return list, nil
}

func readHeader(fsys durable.FS, n uint32) (listed, error) {
	f, err := fsys.OpenFile(segmentName(n), os.O_RDONLY, 0)
	if err != nil {
		return listed{}, err
	}
	defer f.Close()
	s := listed{}
	if s.size, err = f.Size(); err != nil {
		return s, err
	}
	block := make([]byte, headerBlock)
	if _, err := f.ReadAt(block, 0); err != nil && !errors.Is(err, io.EOF) {
		return s, err
	}
	s.header, s.blank, s.ok = readSegmentHeader(block)
	if s.ok && s.header.number != n || s.size > MaxSegmentSize {
		// A segment under another's name was not made by a Writer.
		s.ok, s.blank = false, false
	}
	s.header.number = n
	return s, nil
}

// scanRounds bounds how often a segment that changes under the reader is read
// again: each reuse of a segment takes a second at least.
const scanRounds = 4

// readSegment reads and walks one segment, into buf or a larger one.
//
// A Writer may be appending meanwhile, and the reader may have passed a place
// before a record was written there and still see the record of a later flush
// behind it. That is no damage: so a segment with damage is read twice, and only
// a hole that lies before what the FIRST reading knew as flushed is real.
func readSegment(fsys durable.FS, n uint32, buf []byte) (walk, []byte, error) {
	var before walk
	for round := range scanRounds {
		size, buf2, err := slurp(fsys, n, buf)
		buf = buf2
		if err != nil {
			return walk{}, buf, err
		}
		h, _, ok := readSegmentHeader(buf[:headerBlock])
		if !ok || size < headerBlock {
			return walk{}, buf, fmt.Errorf("segment %08d: header vanished: %w", n, ErrDamaged)
		}
		w := walkSegment(buf, h)
		if !slices.ContainsFunc(w.holes, func(h hole) bool { return !h.torn(w.flush) }) {
			return w, buf, nil
		}
		if round > 0 && before.use == h {
			w.flush = before.flush
			return w, buf, nil
		}
		before = w
	}
	return walk{}, buf, fmt.Errorf("segment %08d changes too fast to be read", n)
}

func slurp(fsys durable.FS, n uint32, buf []byte) (int64, []byte, error) {
	f, err := fsys.OpenFile(segmentName(n), os.O_RDONLY, 0)
	if err != nil {
		return 0, buf, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return 0, buf, err
	}
	if size > MaxSegmentSize {
		return 0, buf, fmt.Errorf("segment %08d: %d bytes: %w", n, size, ErrDamaged)
	}
	need := max(size, headerBlock)
	if int64(cap(buf)) < need {
		buf = make([]byte, need)
	}
	buf = buf[:need]
	clear(buf[size:])
	if _, err := f.ReadAt(buf[:size], 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, buf, err
	}
	return size, buf, nil
}

// Read reads one record again and checks it. ErrGone: the segment has been
// reused, so the record was done. ErrDamaged: it is not what was written.
func Read(fsys durable.FS, ref Ref) (Record, error) {
	f, err := fsys.OpenFile(segmentName(ref.Segment), os.O_RDONLY, 0)
	if err != nil {
		return Record{}, fmt.Errorf("read record %s: %w", ref, err)
	}
	defer f.Close()
	r, err := readRecord(f, ref)
	if err != nil {
		return Record{}, fmt.Errorf("read record %s: %w", ref, err)
	}
	return r, nil
}

func readRecord(f durable.File, ref Ref) (Record, error) {
	if ref.Length < recordHeader || ref.Length > MaxSegmentSize {
		return Record{}, ErrDamaged
	}
	block := make([]byte, headerBlock)
	if _, err := f.ReadAt(block, 0); err != nil && !errors.Is(err, io.EOF) {
		return Record{}, err
	}
	use, _, ok := readSegmentHeader(block)
	if !ok {
		return Record{}, ErrDamaged
	}
	if use.generation != ref.Generation {
		return Record{}, ErrGone
	}
	b := make([]byte, ref.Length)
	if _, err := f.ReadAt(b, ref.Offset); err != nil && !errors.Is(err, io.EOF) {
		return Record{}, err
	}
	h, err := readRecordHead(b, ref.Offset, ref.Offset+ref.Length, use)
	if err != nil {
		return Record{}, err
	}
	if h.index != ref.Index || h.length() != ref.Length || !bodyWhole(b, &h) {
		return Record{}, ErrDamaged
	}
	return h.record(b), nil
}

package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"filbert/pkg/durable"
)

// segment is one file of the journal in the Writer's hands.
type segment struct {
	use  segmentHeader
	file durable.File
	size int64
	// begun: the header of this use is on disk.
	begun bool
	tail  int64  // where the next flush begins
	next  uint32 // index of the next record
	// reserved: it came out of the reserve and takes Internal records only.
	reserved bool
	// owed is, of a segment found at the start, the records that want a mark;
	// of one that was filled since, nil: all below next.
	owed  []uint32
	found bool
}

// takes says whether p may be appended. The nil segment takes nothing.
func (s *segment) takes(p *pending) bool {
	return s != nil && (!s.reserved || p.rec.Internal) && s.takesAt(p, s.tail)
}

// takesAt says whether there is room for p at an offset.
func (s *segment) takesAt(p *pending, at int64) bool {
	return align(at+p.length, headerBlock) <= s.size && s.next < maxIndex
}

// begin gives the segment to a new use, in memory alone.
func (s *segment) begin(generation uint32) {
	var tag [8]byte
	_, _ = rand.Read(tag[:]) // it never fails: crypto/rand ends the process instead
	s.use.generation = generation
	s.use.tag = binary.BigEndian.Uint64(tag[:])
	s.begun, s.reserved, s.found = false, false, false
	s.owed = nil
	s.tail, s.next = headerBlock, 0
}

// finished says, by the marks on disk, whether the use needs nothing more.
//
// Invariant: true only when each mark has been flushed. Otherwise a power cut
// after the reuse could leave old records whose marks it forgot.
func (s *segment) finished(fsys durable.FS) (bool, error) {
	m, err := loadMarks(fsys, s.use.number, s.use.generation)
	if err != nil {
		return false, err
	}
	if !m.settled() {
		return false, nil
	}
	if s.found {
		for _, i := range s.owed {
			if !m.set.has(i) {
				return false, nil
			}
		}
		return true, nil
	}
	for i := range s.next {
		if !m.set.has(i) {
			return false, nil
		}
	}
	return true, nil
}

// expectedRecord is the mean record for which marks are preallocated. A segment
// with smaller ones makes its file of marks grow.
const expectedRecord = 1024

// makeSegment makes a segment that was never used, and its file of marks.
func makeSegment(fsys durable.FS, number uint32, size int64) (*segment, error) {
	if err := makeMarks(fsys, number, size); err != nil {
		return nil, err
	}
	name, temp := segmentName(number), makingName(number)
	f, err := fsys.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	err = f.Preallocate(size)
	if err == nil {
		// A crash here leaves NNNNNNNN.new, which the next Writer removes.
		err = fsys.Rename(temp, name)
	}
	if err == nil {
		// A crash here leaves the segment or not; it holds no record. The
		// first commit into it must not be answered while its name could
		// still vanish, so the name is flushed before anyone gets it.
		err = fsys.SyncDir(incoming)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("make %s: %w", name, err), f.Close(),
			removeIfThere(fsys, temp), removeIfThere(fsys, name))
		return nil, err
	}
	return &segment{use: segmentHeader{number: number}, file: f, size: size}, nil
}

// makeMarks makes the file of marks, so that marking can't meet a full disk. It
// belongs to the Marker from then on.
func makeMarks(fsys durable.FS, number uint32, size int64) error {
	name := marksName(number)
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	if err := f.Preallocate(marksHeader + markSize*(size/expectedRecord)); err != nil {
		return errors.Join(fmt.Errorf("make %s: %w", name, err), f.Close(), removeIfThere(fsys, name))
	}
	return f.Close()
}

func removeIfThere(fsys durable.FS, name string) error {
	if err := fsys.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

package mtadb

import (
	"encoding/binary"
	"fmt"
	"sort"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"filbert/pkg/queueid"
)

// part is a stretch of the history: the messages from first up to the first of the next
// part, whenever something happens to them.
type part struct {
	number uint32
	first  queueid.ID
	bytes  uint64 // written to it, before compression
}

const (
	// partAge and partShare say when a new part begins: history is dropped by parts,
	// so each must be a small piece of it, and a query looks into each, so there must
	// not be many.
	partAge   = 24 * time.Hour
	partShare = 8 // of memory.max_size, before compression
	// partAhead is how far the clock of an id may be ahead. A part that began in the
	// future would keep all others from ending.
	partAhead = time.Minute
)

func (s *store) loadParts() error {
	s.parts = nil
	err := s.each(prefixed([]byte{keyPart}), func(key, value []byte) bool {
		if len(key) == 5 && len(value) == 16 {
			s.parts = append(s.parts, part{binary.BigEndian.Uint32(key[1:]),
				queueid.ID(binary.BigEndian.Uint64(value)), binary.BigEndian.Uint64(value[8:])})
		}
		return true
	})
	if err == nil && len(s.parts) == 0 {
		s.parts = []part{{number: 1}}
	}
	if !sort.SliceIsSorted(s.parts, func(i, j int) bool { return s.parts[i].first < s.parts[j].first }) {
		return fmt.Errorf("%w: the parts of the history are not in order", errDamaged)
	}
	return err
}

// partOf is the index of the part that a message belongs to, -1 if it was dropped.
func partOf(parts []part, id queueid.ID) int {
	return sort.Search(len(parts), func(i int) bool { return parts[i].first > id }) - 1
}

// beginPartLocked begins a new part with a message when that is due.
func (s *store) beginPartLocked(id queueid.ID, now time.Time, maxSize uint64) {
	last := s.parts[len(s.parts)-1]
	at := id.Time()
	full := last.bytes >= maxSize/partShare
	if id <= last.first || !full && at.Sub(last.first.Time()) < partAge || at.After(now.Add(partAhead)) {
		return
	}
	if last.first == 0 && last.bytes == 0 && len(s.parts) == 1 { // the first message of all
		s.parts[0].first = queueid.FromTime(at.Add(-partAge / 2))
		return
	}
	s.parts = append(s.parts, part{number: last.number + 1, first: id})
}

func (s *store) savePart(b *pebble.Batch, p part) error {
	v := binary.BigEndian.AppendUint64(nil, uint64(p.first))
	if err := b.Set(partKey(keyPart, p.number), binary.BigEndian.AppendUint64(v, p.bytes), nil); err != nil {
		return fmt.Errorf("write the history: %w", err)
	}
	return nil
}

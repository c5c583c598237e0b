package mtadb

import (
	"encoding/binary"
	"time"

	"filbert/pkg/proto"
)

// sweepEvery is how often what has expired is looked for.
const sweepEvery = time.Minute

// sweep drops what has expired, and of kinds that are over their bounds what expires
// first.
func (s *store) sweep(now time.Time) error {
	for _, kind := range proto.MemoryKinds() {
		for {
			n, err := s.sweepSome(kind, now)
			if err != nil {
				return err
			}
			if n < sweepAtOnce {
				break
			}
		}
	}
	return nil
}

// sweepAtOnce bounds how long the writers wait for the sweeper.
const sweepAtOnce = 1000

// sweepSome looks at some of the next to expire, and says how many it looked at. An
// entry of a record that was renewed or forgotten since goes alone.
func (s *store) sweepSome(kind proto.MemoryKind, now time.Time) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	over := overBy(s.counts[kind], bounds(kind))
	var entries, records [][]byte
	err := s.each(prefixed([]byte{keyExpiry, byte(kind)}), func(key, _ []byte) bool {
		if len(key) < 10 {
			return true
		}
		at := int64(binary.BigEndian.Uint64(key[2:]))
		if at > now.Unix() && over == 0 {
			return false
		}
		entries = append(entries, append([]byte(nil), key...))
		name := recordKey(kind, string(key[10:]))
		if r, ok := s.readRecord(name); ok && (r.gone(now) || over > 0 && r.expires <= at) {
			records = append(records, name)
			if over > 0 {
				over--
			}
		}
		return len(entries) < sweepAtOnce
	})
	if err != nil {
		return 0, err
	}
	if _, err := s.dropLocked(records); err != nil {
		return 0, err
	}
	return len(entries), s.deleteLocked(entries)
}

// overBy is how many records are too many. Of a kind that is too large, a tenth.
func overBy(c count, most bound) uint64 {
	var n uint64
	if c.records > most.records {
		n = c.records - most.records
	}
	if c.bytes > most.bytes {
		n = max(n, c.records/10, 1)
	}
	return n
}

func (s *store) readRecord(key []byte) (record, bool) {
	v, err := s.get(key)
	if err != nil {
		return record{}, false
	}
	return decodeRecord(v)
}

func (s *store) deleteLocked(keys [][]byte) error {
	b := s.db.NewBatch()
	defer b.Close()
	for _, k := range keys {
		if err := b.Delete(k, nil); err != nil {
			return err
		}
	}
	return s.commitLocked(b)
}

// sweepHistory drops the parts that are wholly older than age, and the oldest while all
// take more of the disk than size.
func (s *store) sweepHistory(now time.Time, age time.Duration, size uint64) error {
	for {
		s.mu.Lock()
		parts := append([]part(nil), s.parts...)
		s.mu.Unlock()
		if len(parts) < 2 {
			return nil // the one that is being written
		}
		old := parts[1].first.Time().Before(now.Add(-age))
		if !old {
			used, err := s.historySize()
			if err != nil || used <= size {
				return err
			}
		}
		if err := s.dropPart(parts[0]); err != nil {
			return err
		}
	}
}

// historySize is about how much of the disk the history takes.
func (s *store) historySize() (uint64, error) {
	var sum uint64
	for _, table := range []byte{keyEvents, keyIndex} {
		n, err := s.db.EstimateDiskUsage([]byte{table}, []byte{table + 1})
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func (s *store) dropPart(p part) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.db.NewBatch()
	defer b.Close()
	for _, table := range []byte{keyEvents, keyIndex} {
		from := partKey(table, p.number)
		if err := b.DeleteRange(from, after(from), nil); err != nil {
			return err
		}
	}
	if err := b.Delete(partKey(keyPart, p.number), nil); err != nil {
		return err
	}
	if err := s.commitLocked(b); err != nil {
		return err
	}
	if len(s.parts) > 0 && s.parts[0].number == p.number {
		s.parts = s.parts[1:]
	}
	return nil
}

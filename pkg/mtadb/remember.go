package mtadb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"filbert/pkg/proto"
)

// bound is how much of a kind is kept. What is beyond goes in the order of expiry.
type bound struct {
	records, bytes uint64
	age            time.Duration // of what names no end of its own
}

// bounds are some hundred bytes a record for the busiest machine that we know of, so
// that all kinds together stay below 200 MB.
func bounds(kind proto.MemoryKind) bound {
	switch kind {
	case proto.MemoryHost: // longer than mail is ever tried
		return bound{200_000, 48 << 20, 30 * 24 * time.Hour}
	case proto.MemoryAddress:
		return bound{400_000, 64 << 20, 30 * 24 * time.Hour}
	case proto.MemoryQuirk:
		return bound{200_000, 48 << 20, 30 * 24 * time.Hour}
	case proto.MemoryCallout:
		return bound{200_000, 32 << 20, 7 * 24 * time.Hour}
	}
	return bound{}
}

// The value of a record: version, when it was kept and when it expires (0: never), and
// the data as its writer gave it.
const (
	recordVersion = 1
	recordHead    = 1 + 8 + 8
)

// record is one that is stored.
type record struct {
	kept, expires int64 // Unix seconds
	data          []byte
}

func decodeRecord(v []byte) (record, bool) {
	if len(v) < recordHead || v[0] != recordVersion {
		return record{}, false
	}
	return record{int64(binary.BigEndian.Uint64(v[1:])), int64(binary.BigEndian.Uint64(v[9:])), v[recordHead:]}, true
}

func (r record) gone(now time.Time) bool { return r.expires != 0 && r.expires <= now.Unix() }

func encodeRecord(r *proto.MemoryRecord, now time.Time, expires int64) []byte {
	v := make([]byte, 0, recordHead+len(r.Value))
	v = append(v, recordVersion)
	v = binary.BigEndian.AppendUint64(v, uint64(now.Unix()))
	v = binary.BigEndian.AppendUint64(v, uint64(expires))
	return append(v, r.Value...)
}

func expiry(r *proto.MemoryRecord, now time.Time) int64 {
	if r.Expires != 0 {
		return r.Expires
	}
	return now.Add(bounds(r.Kind).age).Unix()
}

// remember keeps records, all or none.
func (s *store) remember(list []proto.MemoryRecord, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.db.NewIndexedBatch() // a key may come twice
	defer b.Close()
	counts := copyCounts(s.counts)
	for i := range list {
		r := &list[i]
		if r.Key == "" {
			return errors.New("a record without a key")
		}
		key, expires := recordKey(r.Kind, r.Key), expiry(r, now)
		value := encodeRecord(r, now, expires)
		c := counts[r.Kind]
		had, err := s.sizeIn(b, key)
		if err != nil {
			return err
		}
		if had < 0 {
			c.records++
			had = 0
		}
		c.bytes += uint64(len(key)+len(value)) - uint64(had)
		counts[r.Kind] = c
		err = b.Set(key, value, nil)
		if err == nil {
			err = b.Set(expiryKey(r.Kind, expires, r.Key), nil, nil)
		}
		if err != nil {
			return fmt.Errorf("remember: %w", err)
		}
	}
	return s.commitCountsLocked(b, counts)
}

func copyCounts(m map[proto.MemoryKind]count) map[proto.MemoryKind]count {
	out := make(map[proto.MemoryKind]count, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// sizeIn is the size of a key with its value, -1 if there is none.
func (s *store) sizeIn(b *pebble.Batch, key []byte) (int, error) {
	v, closer, err := b.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return -1, nil
	}
	if err != nil {
		return 0, s.readError(err)
	}
	defer closer.Close()
	return len(key) + len(v), nil
}

// commitCountsLocked writes a batch with the counts that it makes: they are true
// after a kill, whichever batch was the last.
func (s *store) commitCountsLocked(b *pebble.Batch, counts map[proto.MemoryKind]count) error {
	for kind, c := range counts {
		if c == s.counts[kind] {
			continue
		}
		v := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, c.records), c.bytes)
		if err := b.Set([]byte{keyCount, byte(kind)}, v, nil); err != nil {
			return fmt.Errorf("count records: %w", err)
		}
	}
	if err := s.commitLocked(b); err != nil {
		return err
	}
	s.counts = counts
	return nil
}

// maxPage bounds the data of one page.
const maxPage = 4 << 20

// stored is a record with its key, for a page.
type stored struct {
	key string
	record
}

// recall reads a page of records whose keys begin with prefix and come after the key
// after.
func (s *store) recall(kind proto.MemoryKind, prefix, behind string, limit int, now time.Time) (page []stored, more bool, err error) {
	o := prefixed(recordKey(kind, prefix))
	if behind >= prefix && behind != "" {
		o.from = append(recordKey(kind, behind), 0)
	}
	size := 0
	err = s.each(o, func(key, value []byte) bool {
		r, ok := decodeRecord(value)
		if !ok || r.gone(now) {
			return true
		}
		if len(page) == limit || size >= maxPage {
			more = true
			return false
		}
		r.data = append([]byte(nil), r.data...)
		page = append(page, stored{string(key[2:]), r})
		size += len(key) + len(value)
		return true
	})
	return page, more, err
}

// forgetAtOnce is how many records one batch drops.
const forgetAtOnce = 10_000

// forget drops one record, or all whose keys begin with key, and counts them.
func (s *store) forget(kind proto.MemoryKind, key string, how match) (uint32, error) {
	o := prefixed(recordKey(kind, key))
	if how == exactly {
		o.to = append(recordKey(kind, key), 0)
	}
	var n uint32
	for {
		var keys [][]byte
		err := s.each(o, func(key, _ []byte) bool {
			keys = append(keys, append([]byte(nil), key...))
			return len(keys) < forgetAtOnce
		})
		if err != nil || len(keys) == 0 {
			return n, err
		}
		s.mu.Lock()
		dropped, err := s.dropLocked(keys)
		s.mu.Unlock()
		n += dropped
		if err != nil {
			return n, err
		}
	}
}

type match int

const (
	exactly match = iota
	beginning
)

// dropLocked removes records by their keys in the database. Their entries in the
// order of expiry are left to the sweeper.
func (s *store) dropLocked(keys [][]byte) (uint32, error) {
	b := s.db.NewIndexedBatch()
	defer b.Close()
	counts := copyCounts(s.counts)
	var n uint32
	for _, key := range keys {
		had, err := s.sizeIn(b, key)
		if err != nil {
			return 0, err
		}
		if had < 0 {
			continue
		}
		kind := proto.MemoryKind(key[1])
		c := counts[kind]
		c.records--
		c.bytes -= uint64(had)
		counts[kind] = c
		n++
		if err := b.Delete(key, nil); err != nil {
			return 0, fmt.Errorf("forget: %w", err)
		}
	}
	return n, s.commitCountsLocked(b, counts)
}

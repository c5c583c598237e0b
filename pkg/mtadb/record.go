package mtadb

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"filbert/pkg/history"
	"filbert/pkg/queueid"
)

// The first byte of a value of the history.
const (
	eventsOfMessage = 1
	eventAlone      = 2 // it concerns no message: a refusal
)

// digest is some events of the log, gathered by message, that go to the database as one
// batch.
type digest struct {
	order   []queueid.ID
	byID    map[queueid.ID][]history.Event
	alone   []history.Event
	skipped int // lines that were not understood
}

func newDigest() *digest { return &digest{byID: map[queueid.ID][]history.Event{}} }

// of the events that concern no message, those that say what became of mail.
func isRefusal(e *history.Event) bool { return e.Verb == "refused" }

func (d *digest) line(line []byte) {
	e, err := history.Parse(line)
	switch {
	case err != nil:
		d.skipped++
	case !e.ID.IsZero():
		list, ok := d.byID[e.ID]
		if !ok {
			d.order = append(d.order, e.ID)
		}
		d.byID[e.ID] = append(list, e)
	case isRefusal(&e):
		d.alone = append(d.alone, e)
	}
}

// record writes a digest and the places up to which the logs were read.
func (s *store) record(d *digest, tails []byte, now time.Time, maxSize uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.db.NewBatch()
	defer b.Close()
	touched := map[uint32]bool{}
	w := historyWriter{store: s, batch: b, touched: touched}
	for _, id := range d.order {
		s.beginPartLocked(id, now, maxSize)
		w.write(id, eventsOfMessage, d.byID[id])
	}
	for i := range d.alone {
		e := &d.alone[i]
		w.write(queueid.FromTime(e.At)|queueid.ID(i&0x3fff), eventAlone, d.alone[i:i+1])
	}
	for i := range s.parts {
		if touched[s.parts[i].number] && w.err == nil {
			w.err = s.savePart(b, s.parts[i])
		}
	}
	if tails != nil && w.err == nil {
		w.err = b.Set([]byte{keyTails}, tails, nil)
	}
	if w.err != nil {
		return fmt.Errorf("write the history: %w", w.err)
	}
	return s.commitLocked(b)
}

// historyWriter puts messages into a batch.
type historyWriter struct {
	store   *store
	batch   *pebble.Batch
	touched map[uint32]bool
	value   []byte
	key     []byte
	terms   []history.Term
	hashes  []uint64
	err     error
}

// write adds events of one message. Its key ends in the time and a checksum of them:
// more events of the same message are another entry.
func (w *historyWriter) write(id queueid.ID, kind byte, events []history.Event) {
	at := partOf(w.store.parts, id)
	if at < 0 || w.err != nil {
		return // that part of the history was dropped
	}
	p := &w.store.parts[at]
	w.value = append(w.value[:0], kind)
	w.terms = w.terms[:0]
	for i := range events {
		w.value = w.store.codec.Append(w.value, &events[i])
		w.terms = history.Terms(w.terms, &events[i])
	}
	w.key = append(w.key[:0], keyEvents)
	w.key = binary.BigEndian.AppendUint32(w.key, p.number)
	w.key = binary.BigEndian.AppendUint64(w.key, uint64(id))
	w.key = binary.BigEndian.AppendUint64(w.key, uint64(events[0].At.UnixMilli()))
	w.key = binary.BigEndian.AppendUint32(w.key, crc32.ChecksumIEEE(w.value))
	w.set(p, w.value)
	w.index(p, id)
	w.touched[p.number] = true
}

func (w *historyWriter) set(p *part, value []byte) {
	if w.err == nil {
		w.err = w.batch.Set(w.key, value, nil)
		p.bytes += uint64(len(w.key) + len(value))
	}
}

// index adds what leads to a message, each way once.
func (w *historyWriter) index(p *part, id queueid.ID) {
	w.hashes = w.hashes[:0]
terms:
	for _, t := range w.terms {
		h := termHash(t)
		// A message with very many recipients has as many terms: then a few are
		// written twice, to the same key.
		for _, have := range w.hashes[max(0, len(w.hashes)-16):] {
			if have == h {
				continue terms
			}
		}
		w.hashes = append(w.hashes, h)
		w.key = append(w.key[:0], keyIndex)
		w.key = binary.BigEndian.AppendUint32(w.key, p.number)
		w.key = binary.BigEndian.AppendUint64(w.key, h)
		w.key = binary.BigEndian.AppendUint64(w.key, uint64(id))
		w.set(p, nil)
	}
}

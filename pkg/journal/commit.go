package journal

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// maxFlush bounds the bytes that one flush carries, and so the buffer. Past a
// megabyte a larger flush is no faster per record.
const maxFlush = 4 << 20

// run is the committer: one goroutine, so that while one flush is under way the
// records of the next gather, and nobody has to elect who flushes.
func (w *Writer) run() {
	var batch []*pending
	for {
		var ok bool
		if batch, ok = w.take(batch); !ok {
			return
		}
		w.commitAll(batch)
		clear(batch)
	}
}

// take waits for records and takes all that wait.
func (w *Writer) take(spare []*pending) ([]*pending, bool) {
	for {
		w.mu.Lock()
		if len(w.queue) > 0 {
			batch := w.queue
			w.queue = spare[:0]
			w.mu.Unlock()
			return batch, true
		}
		closed := w.closed
		w.mu.Unlock()
		if closed {
			return nil, false
		}
		<-w.wake
	}
}

// commitAll writes the records in as few flushes as they allow: one, unless they
// fill the segment or the buffer.
func (w *Writer) commitAll(batch []*pending) {
	for len(batch) > 0 {
		if err := w.ensureActive(batch[0]); err != nil {
			batch[0].answer(Ref{}, err)
			batch = batch[1:]
			continue
		}
		n := w.fill(batch)
		began := time.Now()
		err := w.flush(n)
		if err == nil {
			w.opt.Flushed(n, time.Since(began))
		}
		for _, p := range batch[:n] {
			p.answer(p.ref, err)
		}
		batch = batch[n:]
	}
}

// answer tells the one who waits.
func (p *pending) answer(ref Ref, err error) {
	if p.done != nil {
		p.done(ref, err)
		return
	}
	p.ref, p.err = ref, err
	close(p.ready)
}

// ensureActive makes w.active a segment that takes p.
func (w *Writer) ensureActive(p *pending) error {
	if w.active.takes(p) {
		return nil
	}
	if w.active != nil && !w.active.takesAt(p, w.active.tail) {
		// Full. It goes to the others before one of them is asked for, as it
		// may itself be the next that is done.
		w.pool.retireFull(w.active)
		w.active = nil
	}
	next, err := w.pool.next(p.rec.Internal)
	if err != nil {
		return err
	}
	if w.active != nil {
		w.pool.retireFull(w.active) // of the reserve, and there is room again
	}
	w.active = next
	return nil
}

// fill encodes into the buffer the records from the front of batch that fit
// the active segment and one flush, and gives each its reference. There is at
// least one. This is the only copy of the content that the journal makes.
func (w *Writer) fill(batch []*pending) int {
	s := w.active
	w.buf = w.buf[:0]
	start := s.tail
	if !s.begun {
		// The header of a new use goes out with its first records, so that
		// beginning one costs no flush of its own.
		w.buf = append(w.buf, make([]byte, headerBlock)...)
		s.use.put(w.buf)
		start = 0
	}
	first := s.next
	for i, p := range batch {
		at := start + int64(len(w.buf))
		if i > 0 && (!s.takes(p) || !s.takesAt(p, at) || int64(len(w.buf))+p.length > maxFlush) {
			return i
		}
		w.encode(p, at, first)
	}
	return len(batch)
}

// encode appends one record, which will lie at the offset at.
func (w *Writer) encode(p *pending, at int64, first uint32) {
	s := w.active
	p.ref = Ref{Segment: s.use.number, Generation: s.use.generation, Index: s.next, Offset: at, Length: p.length}
	h := recordHead{
		tag: s.use.tag, generation: s.use.generation, index: s.next,
		envelope: uint32(len(p.rec.Envelope)), content: uint64(len(p.rec.Content)),
		flush: first, id: p.rec.ID, bodyCRC: p.crc,
	}
	if l := p.rec.Large; l != nil {
		h.flags, h.content, h.fileCRC = flagLarge, uint64(l.Length), l.CRC
	}
	var head [recordHeader]byte
	h.put(head[:])
	w.buf = append(w.buf, head[:]...)
	w.buf = append(w.buf, p.rec.Envelope...)
	w.buf = append(w.buf, p.rec.Content...)
	w.pad(recordAlign)
	s.next++
}

// pad fills the buffer with zeros up to a multiple.
func (w *Writer) pad(to int64) {
	var zeros [headerBlock]byte
	n := int64(len(w.buf))
	w.buf = append(w.buf, zeros[:align(n, to)-n]...)
}

// flush writes the buffer behind what the active segment holds, and makes it
// durable. After an error the segment is never written again.
func (w *Writer) flush(records int) error {
	s := w.active
	// Whole pages: the kernel need not read the rest of the last one first,
	// and the next flush does not touch it.
	w.pad(headerBlock)
	off := s.tail
	if !s.begun {
		off = 0
	}
	_, err := s.file.WriteAt(w.buf, off)
	if err == nil {
		// The 250 may be sent only after this returns: until then a power
		// cut may forget any part of what was written above, and a client
		// that had its 250 would never send the message again.
		err = s.file.Datasync()
	}
	if err != nil {
		// To flush again would be to ask a kernel that may have dropped the
		// pages, and to believe it. The records of this flush may or may not
		// be on disk; their senders hear "try again later".
		w.active = nil
		err = fmt.Errorf("segment %08d, %d records: %w: %w", s.use.number, records, ErrFlush, err)
		w.pool.retireBroken(s, err)
		return err
	}
	s.begun = true
	s.tail = off + int64(len(w.buf))
	w.pool.setActive(s)
	return nil
}

// full turns "no room" of the operating system into ErrFull.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

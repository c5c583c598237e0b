package journal

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// recover finds what earlier runs left, one branch per state of a segment, and
// prepares fresh segments. It appends to nothing that it finds.
func (p *pool) recover() error {
	if err := removeUnfinished(p.fs); err != nil {
		return err
	}
	list, err := listSegments(p.fs)
	if err != nil {
		return err
	}
	if err := p.skipMarked(); err != nil {
		return err
	}
	keep := make(map[queueid.ID]bool) // large files that a record may need
	sound := true                     // all records could be read
	var buf []byte
	for _, l := range list {
		p.files++
		p.number = max(p.number, l.header.number)
		p.last = max(p.last, l.header.generation)
		var ok bool
		if buf, ok, err = p.found(l, buf, keep); err != nil {
			return err
		}
		sound = sound && ok
	}
	if sound {
		if err := removeOrphans(p.fs, keep); err != nil {
			return err
		}
	}
	// Names that a killed Writer left may be in memory alone; a record must
	// not be acknowledged in a segment whose name can vanish.
	if err := p.fs.SyncDir(incoming); err != nil {
		return err
	}
	p.failure = p.round()
	return nil
}

// skipMarked keeps the next generations above all that have a mark, so that no
// mark is ever taken for one of a later use, whatever became of the segments.
func (p *pool) skipMarked() error {
	for e, err := range p.fs.ReadDir(incoming) {
		if err != nil {
			return err
		}
		n, ok := numberOf(e.Name, ".done")
		if !ok {
			continue
		}
		m, err := loadMarks(p.fs, n, 0)
		if err != nil {
			p.opt.Problem(fmt.Errorf("marks of segment %08d: %w", n, err))
		}
		p.last = max(p.last, m.newest)
	}
	return nil
}

// idMargin is how much younger than the last write of its segment a record's id
// may be: one that overran its millisecond.
const idMargin = time.Second

// found takes in one segment file; ok is false when part of it can't be read.
func (p *pool) found(l listed, buf []byte, keep map[queueid.ID]bool) (_ []byte, ok bool, err error) {
	n := l.header.number
	// The newest records may be gone, with the first flush of the next use that
	// was cut off; what was filed of them bears their ids.
	if info, err := p.fs.Stat(segmentName(n)); err == nil {
		p.lastID = max(p.lastID, queueid.NewGenerator(0).Next(info.ModTime.Add(idMargin)))
	}
	m, err := loadMarks(p.fs, n, l.header.generation)
	if err != nil {
		p.opt.Problem(fmt.Errorf("marks of segment %08d: %w", n, err))
	}
	s := &segment{use: l.header, size: l.size, found: true}
	switch {
	case l.blank:
		// Never used, or cut off in its first flush: nothing in it was
		// acknowledged.
		if s.file, err = p.fs.OpenFile(segmentName(n), os.O_RDWR, 0); err != nil {
			return buf, false, err
		}
		return buf, true, p.readyLocked(s)
	case !l.ok:
		p.opt.Problem(fmt.Errorf("segment %08d: header: %w; left alone", n, ErrDamaged))
		p.broken = append(p.broken, s)
		return buf, false, nil
	}
	var w walk
	if w, buf, err = readSegment(p.fs, n, buf); err != nil {
		p.opt.Problem(fmt.Errorf("%w; left alone", err))
		p.broken = append(p.broken, s)
		return buf, false, nil
	}
	for _, r := range w.records {
		p.lastID = max(p.lastID, r.head.id)
	}
	damaged := s.note(&w, m, keep)
	if damaged > 0 {
		p.opt.Problem(fmt.Errorf("segment %08d: %d acknowledged records: %w", n, damaged, ErrDamaged))
	}
	if s.file, err = p.fs.OpenFile(segmentName(n), os.O_RDWR, 0); err != nil {
		return buf, false, err
	}
	if len(s.owed) == 0 && m.settled() {
		return buf, damaged == 0, p.readyLocked(s)
	}
	p.live[n] = s
	return buf, damaged == 0, nil
}

// note works out which records of a found segment still want a mark.
func (s *segment) note(w *walk, m marks, keep map[queueid.ID]bool) (damaged int) {
	for _, r := range w.records {
		done := m.set.has(r.head.index)
		if !done {
			s.owed = append(s.owed, r.head.index)
		}
		if r.head.flags&flagLarge != 0 && (!done || !m.settled()) {
			// Unsettled: a power cut now could bring the record back.
			keep[r.head.id] = true
		}
	}
	for _, h := range w.holes {
		if h.torn(w.flush) {
			continue // never acknowledged: nobody will mark it
		}
		for i := h.first; i < h.first+h.count; i++ {
			if !m.set.has(i) {
				s.owed = append(s.owed, i)
				damaged++
			}
		}
	}
	return damaged
}

// removeUnfinished removes segments that a crash left half made.
func removeUnfinished(fsys durable.FS) error {
	return removeMatching(fsys, func(name string) bool {
		_, ok := numberOf(name, ".new")
		return ok
	})
}

// removeOrphans removes the large files that no record needs: of messages that
// were never accepted, or that are done.
func removeOrphans(fsys durable.FS, keep map[queueid.ID]bool) error {
	return removeMatching(fsys, func(name string) bool {
		id, err := queueid.Parse(name)
		return err == nil && name == id.String() && !keep[id]
	})
}

func removeMatching(fsys durable.FS, match func(string) bool) error {
	var names []string
	for e, err := range fsys.ReadDir(incoming) {
		if err != nil {
			return err
		}
		if match(e.Name) {
			names = append(names, strings.Clone(e.Name))
		}
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, removeIfThere(fsys, incoming+"/"+name))
	}
	return errors.Join(errs...)
}

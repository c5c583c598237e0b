package journal

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"filbert/pkg/durable"
)

// snapshot is the state of one file of marks when a flush began.
type snapshot struct {
	f          *markFile
	file       durable.File
	generation uint32
	set        bitmap
	count      uint32
	rewrite    bool
}

// flush makes durable all marks made before it began, and then does what waited
// for that. Flushes follow one another.
func (m *Marker) flush() error {
	m.flushing.Lock()
	defer m.flushing.Unlock()
	snaps, after := m.collect()
	began := time.Now()
	var errs []error
	for _, s := range snaps {
		if err := m.flushFile(s); err != nil {
			errs = append(errs, fmt.Errorf("flush marks of segment %08d: %w", s.f.number, err))
		}
	}
	if len(errs) > 0 {
		m.mu.Lock()
		m.after = append(after, m.after...)
		m.mu.Unlock()
		return errors.Join(errs...)
	}
	if len(snaps) > 0 {
		m.opt.Flushed(time.Since(began))
	}
	for _, fn := range after {
		fn()
	}
	for _, s := range snaps {
		if m.gapless(s) {
			m.opt.SegmentFree(s.f.number, s.generation)
		}
	}
	return nil
}

func (m *Marker) collect() ([]snapshot, []func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var snaps []snapshot
	for _, f := range m.files {
		if f.dirty {
			snaps = append(snaps, snapshot{
				f: f, file: f.file, generation: f.generation,
				set: slices.Clone(f.set), count: f.count, rewrite: f.rewrite || f.file == nil,
			})
		}
	}
	slices.SortFunc(snaps, func(a, b snapshot) int { return int(a.f.number) - int(b.f.number) })
	after := m.after
	m.after = nil
	return snaps, after
}

// flushFile makes one file's marks durable, in place or, when the file can't be
// relied on any more, in a fresh one.
func (m *Marker) flushFile(s snapshot) error {
	err := m.put(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		// Never flush the same file twice: the second flush would say yes
		// about pages that the first one lost.
		s.f.rewrite = true
		return err
	}
	if s.rewrite {
		err = s.f.reopen(m.fs, s)
	}
	if s.f.generation == s.generation {
		s.f.flushed = s.set
		s.f.dirty = s.f.count != s.count
	}
	return err
}

func (m *Marker) put(s snapshot) error {
	if s.rewrite {
		return durable.WriteFile(m.fs, marksName(s.f.number), 0o600,
			encodeMarks(s.set, s.generation, s.count, marksHeader))
	}
	if err := s.file.Datasync(); err != nil {
		return err
	}
	// A crash here leaves marks that are durable and not counted as such: the
	// segment is reused later, after the next flush.
	var b [20]byte
	putMarksHeader(b[:], s.generation, s.count)
	_, err := s.file.WriteAt(b[:], 0)
	return err
}

// reopen turns to the fresh file and puts in the marks that were made while it
// was written.
func (f *markFile) reopen(fsys durable.FS, s snapshot) error {
	var errs []error
	if f.file != nil {
		errs = append(errs, f.file.Close())
		f.file = nil
	}
	f.rewrite = false
	for i := range uint32(len(f.set) * 64) {
		if f.set.has(i) && (f.generation != s.generation || !s.set.has(i)) {
			if err := f.write(fsys, i); err != nil {
				f.rewrite = true
				return errors.Join(append(errs, err)...)
			}
		}
	}
	return errors.Join(errs...)
}

// gapless says that the marks are 0 to some index, all flushed.
func (m *Marker) gapless(s snapshot) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := s.f
	return f.generation == s.generation && !f.dirty && f.count == f.highest+1
}

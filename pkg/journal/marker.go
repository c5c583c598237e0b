package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// DefaultFlushEvery is how long a mark may stay unflushed.
const DefaultFlushEvery = time.Second

// MarkerOptions shape a Marker. Zero values mean the defaults.
type MarkerOptions struct {
	// FlushEvery is how often marks are flushed.
	FlushEvery time.Duration
	// SegmentFree is told, after a flush, of each segment that may be free:
	// all records that were ever marked in it lie without a gap. It is a hint
	// for Writer.Release. It must not call the Marker.
	SegmentFree func(segment, generation uint32)
	// Problem is told of marks that could not be written; they are tried
	// again in a fresh file.
	Problem func(error)
	// Flushed is told of each flush that made marks durable, and how long it took. It
	// must be quick. nil: nobody is told.
	Flushed func(took time.Duration)
}

// Marker marks records that need nothing more. There is one per spool, in
// dispatch. Its methods may be used by several goroutines.
type Marker struct {
	fs   durable.FS
	opt  MarkerOptions
	lock durable.File

	flushing sync.Mutex // held during a flush; before mu

	mu     sync.Mutex
	files  map[uint32]*markFile
	after  []func() // called after the next flush that succeeds
	closed bool

	serving map[uint32]*servedFile      // by segment
	served  map[servedKey][]servedEntry // what earlier runs have left, of undone records

	stop chan struct{}
	wg   sync.WaitGroup
}

// markFile is the marks of one segment.
type markFile struct {
	number     uint32
	generation uint32
	file       durable.File // nil: not open yet
	set        bitmap
	count      uint32
	highest    uint32
	flushed    bitmap
	dirty      bool // set has more than flushed
	// rewrite: a write or flush of the file failed, so that nothing that is in
	// it can be relied on. The next flush makes another.
	rewrite bool
}

// OpenMarker loads all marks and starts to flush behind.
func OpenMarker(fsys durable.FS, opt MarkerOptions) (*Marker, error) {
	if opt.FlushEvery <= 0 {
		opt.FlushEvery = DefaultFlushEvery
	}
	if opt.SegmentFree == nil {
		opt.SegmentFree = func(uint32, uint32) {}
	}
	if opt.Problem == nil {
		opt.Problem = func(error) {}
	}
	if opt.Flushed == nil {
		opt.Flushed = func(time.Duration) {}
	}
	lock, err := takeLock(fsys, markerLock)
	if err != nil {
		return nil, fmt.Errorf("open marks: %w", err)
	}
	m := &Marker{
		fs: fsys, opt: opt, lock: lock, files: make(map[uint32]*markFile), stop: make(chan struct{}),
		serving: make(map[uint32]*servedFile), served: make(map[servedKey][]servedEntry),
	}
	if err := m.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open marks: %w", err), lock.Close())
	}
	m.wg.Go(m.flushBehind)
	return m, nil
}

// load reads the marks of the current use of each segment.
func (m *Marker) load() error {
	list, err := listSegments(m.fs)
	if err != nil {
		return err
	}
	for _, l := range list {
		if !l.ok {
			continue
		}
		got, err := loadMarks(m.fs, l.header.number, l.header.generation)
		if err != nil {
			m.opt.Problem(fmt.Errorf("marks of segment %08d: %w", l.header.number, err))
		}
		f := &markFile{number: l.header.number, generation: l.header.generation, set: got.set, count: got.count}
		for i := range uint32(len(got.set) * 64) {
			if got.set.has(i) {
				f.highest = i
			}
		}
		// What an earlier run wrote and did not see flushed may be in the
		// page cache alone. A failed flush of that run can't be told from
		// a missing one, so such a file is written anew.
		f.dirty = !got.settled()
		f.rewrite = f.dirty
		if !f.dirty {
			f.flushed = slices.Clone(got.set)
		}
		m.files[f.number] = f
		m.loadServed(f.number, f.generation, f.set)
	}
	return nil
}

// Done marks a record as needing nothing more. The mark is in the file when Done
// returns, so that a crash of this process does not lose it; it is flushed
// within about a second.
func (m *Marker) Done(ref Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doneLocked(ref.Segment, ref.Generation, ref.Index)
}

// DoneLarge is Done for a record with Large set: it also removes incoming/ID,
// once the mark is on disk. (Before that a power cut would bring the record
// back, and its content would be gone.)
func (m *Marker) DoneLarge(ref Ref, id queueid.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doneLocked(ref.Segment, ref.Generation, ref.Index)
	m.after = append(m.after, func() {
		if err := removeIfThere(m.fs, largeName(id)); err != nil {
			m.opt.Problem(fmt.Errorf("remove content of %s: %w", id, err))
		}
	})
}

func (m *Marker) doneLocked(segment, generation, index uint32) {
	f := m.files[segment]
	if f == nil {
		f = &markFile{number: segment}
		m.files[segment] = f
	}
	switch {
	case f.generation > generation || index > maxIndex:
		return // reused since: it was done
	case f.generation < generation:
		f.begin(generation)
	}
	if !f.set.add(index) {
		return
	}
	f.count++
	f.highest = max(f.highest, index)
	f.dirty = true
	delete(m.served, servedKey{segment, generation, index})
	if f.rewrite || m.closed {
		return
	}
	if err := f.write(m.fs, index); err != nil {
		f.rewrite = true
		if errors.Is(err, fs.ErrNotExist) {
			return // a power cut forgot the file while it was empty
		}
		m.opt.Problem(fmt.Errorf("mark %08d.%d.%d: %w", segment, generation, index, err))
	}
}

// begin forgets the marks of an earlier use. Those in the file need not be
// wiped: each bears its generation.
func (f *markFile) begin(generation uint32) {
	f.generation = generation
	f.set, f.flushed = nil, nil
	f.count, f.highest = 0, 0
	f.dirty = false
}

// write puts one mark into the file, which the Writer made. It does not make
// one: the name of a new file has to be flushed too, which a rewrite does.
func (f *markFile) write(fsys durable.FS, index uint32) error {
	if f.file == nil {
		file, err := fsys.OpenFile(marksName(f.number), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		f.file = file
	}
	var b [markSize]byte
	binary.BigEndian.PutUint32(b[:], f.generation)
	_, err := f.file.WriteAt(b[:], marksHeader+markSize*int64(index))
	return err
}

// isDone is for a scan; a nil Marker knows nothing.
func (m *Marker) isDone(segment, generation, index uint32) bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[segment]
	return f != nil && (f.generation > generation || f.generation == generation && f.set.has(index))
}

// IsDone tells whether a record was marked.
func (m *Marker) IsDone(ref Ref) bool { return m.isDone(ref.Segment, ref.Generation, ref.Index) }

// Flushed tells whether a record's mark is known to be on stable storage. Before
// that its file under deferred/ must not be removed: a power cut would bring the
// record back and nothing would say that its recipients were served.
func (m *Marker) Flushed(ref Ref) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[ref.Segment]
	return f != nil && (f.generation > ref.Generation ||
		f.generation == ref.Generation && f.flushed.has(ref.Index))
}

// AfterFlush has fn called once all marks made so far are on stable storage:
// from the goroutine of a later flush, in the order of the calls. fn must not
// call Flush functions of the Marker.
func (m *Marker) AfterFlush(fn func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.after = append(m.after, fn)
}

// FlushNow returns when all marks made before the call are on stable storage.
func (m *Marker) FlushNow(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("flush marks: %w", err)
	}
	return m.flush()
}

func (m *Marker) flushBehind() {
	tick := time.NewTicker(m.opt.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-tick.C:
			if err := m.flush(); err != nil {
				m.opt.Problem(err)
			}
		}
	}
}

// Close flushes and gives the marks up.
func (m *Marker) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.mu.Unlock()
	close(m.stop)
	m.wg.Wait()
	err := m.flush()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, f := range m.files {
		if f.file != nil {
			err = errors.Join(err, f.file.Close())
		}
	}
	return errors.Join(err, m.closeServed(), m.lock.Close())
}

package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// The defaults of Options.
const (
	DefaultSegmentSize = 16 << 20
	DefaultMaxSegments = 64
	DefaultReserve     = 1
)

// Options shape a Writer. Zero values mean the defaults.
type Options struct {
	// SegmentSize is the length of new segments, a multiple of 4,096.
	SegmentSize int64
	// MaxSegments bounds the number of segment files.
	MaxSegments int
	// Reserve is how many of them are kept for Internal records.
	Reserve int
	// MinFreeBytes and MinFreeInodes of the file system are left alone: below
	// them no segment is made, no large file begun, and Capacity says no.
	MinFreeBytes  int64
	MinFreeInodes int64
	// Problem is told what no caller of Commit would hear: a segment that was
	// retired, one that could not be made. It may be called from several
	// goroutines and must not call the Writer.
	Problem func(error)
	// Flushed is told of each flush that made records durable: how many, and how long
	// it took. It must be quick. nil: nobody is told.
	Flushed func(records int, took time.Duration)
}

func (o Options) withDefaults() (Options, error) {
	if o.SegmentSize == 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	if o.MaxSegments == 0 {
		o.MaxSegments = DefaultMaxSegments
	}
	if o.Reserve == 0 {
		o.Reserve = DefaultReserve
	}
	if o.Problem == nil {
		o.Problem = func(error) {}
	}
	if o.Flushed == nil {
		o.Flushed = func(int, time.Duration) {}
	}
	if o.SegmentSize < 4*headerBlock || o.SegmentSize%headerBlock != 0 || o.SegmentSize > MaxSegmentSize {
		return o, fmt.Errorf("segment size %d: must be a multiple of %d from %d to %d",
			o.SegmentSize, headerBlock, 4*headerBlock, MaxSegmentSize)
	}
	if o.Reserve < 0 || o.MaxSegments <= o.Reserve {
		return o, fmt.Errorf("%d segments with %d in reserve leave none", o.MaxSegments, o.Reserve)
	}
	return o, nil
}

// Writer commits records. There is one per spool, in cleanup. Its methods may
// be used by several goroutines.
type Writer struct {
	fs   durable.FS
	opt  Options
	lock durable.File
	pool pool

	mu     sync.Mutex
	queue  []*pending // waiting for the next flush
	closed bool
	wake   chan struct{} // holds one token when queue or closed changed

	// The committer's own.
	active *segment
	buf    []byte

	wg sync.WaitGroup
}

// Open takes the journal in fsys, which has the directory incoming/, for
// writing: it looks through all segments, removes what was never accepted, and
// prepares fresh ones. ErrInUse: there is another Writer. A disk that is full
// is no error here; Commit then says ErrFull.
func Open(fsys durable.FS, opt Options) (*Writer, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	lock, err := takeLock(fsys, writerLock)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	w := &Writer{fs: fsys, opt: opt, lock: lock, wake: make(chan struct{}, 1)}
	w.pool.init(fsys, opt)
	if err := w.pool.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal: %w", err), w.pool.close(), lock.Close())
	}
	w.wg.Go(w.run)
	w.wg.Go(w.pool.keepReady)
	return w, nil
}

func takeLock(fsys durable.FS, name string) (durable.File, error) {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.TryLock(); err != nil {
		if errors.Is(err, durable.ErrLocked) {
			err = ErrInUse
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// pending is a record on its way to the disk.
type pending struct {
	rec    Record
	crc    uint32
	length int64
	ref    Ref
	err    error
	done   func(Ref, error) // CommitAsync
	ready  chan struct{}    // Commit
}

var errNoContent = errors.New("journal record without an id, or with content in two places")

// prepare does what can be done outside the committer: checking and summing.
func (w *Writer) prepare(rec Record) (*pending, error) {
	if rec.ID.IsZero() || rec.Large != nil && (rec.Content != nil || rec.Large.Length < 0 || rec.Large.Length > MaxContent) {
		return nil, errNoContent
	}
	p := &pending{rec: rec, length: recordHeader + int64(len(rec.Envelope)) + int64(len(rec.Content))}
	if p.length > w.MaxRecord() {
		return nil, ErrTooLarge
	}
	p.crc = bodyChecksum(rec.Envelope, rec.Content)
	return p, nil
}

// MaxRecord is the greatest length of envelope and content together, plus 64,
// that a record may have.
func (w *Writer) MaxRecord() int64 { return w.opt.SegmentSize / 4 }

// Commit puts a record on stable storage, together with all that others commit
// at the same time, and returns when it is there. From then on the message is
// ours. An error means that it is not, and wraps ErrFull, ErrFlush, ErrTooLarge
// or ErrClosed, or is that of ctx, which ends only the wait for the flush before:
// once the record is being written Commit waits for the answer of the disk.
//
// The record's bytes must not change until Commit returns.
func (w *Writer) Commit(ctx context.Context, rec Record) (Ref, error) {
	p, err := w.prepare(rec)
	if err != nil {
		return Ref{}, fmt.Errorf("commit %s: %w", rec.ID, err)
	}
	p.ready = make(chan struct{})
	if err := w.enqueue(p); err != nil {
		return Ref{}, fmt.Errorf("commit %s: %w", rec.ID, err)
	}
	select {
	case <-p.ready:
	case <-ctx.Done():
		if w.withdraw(p) {
			return Ref{}, fmt.Errorf("commit %s: %w", rec.ID, ctx.Err())
		}
		// Being written: to say "no" now could make it a message that we
		// have and nobody attempts.
		<-p.ready
	}
	if p.err != nil {
		return Ref{}, fmt.Errorf("commit %s: %w", rec.ID, p.err)
	}
	return p.ref, nil
}

// CommitAsync is Commit that calls done with the result, once, from the
// committer's goroutine (so done must be quick and must not wait for another
// commit), or before it returns when the record is refused at once.
func (w *Writer) CommitAsync(rec Record, done func(Ref, error)) {
	p, err := w.prepare(rec)
	if err == nil {
		p.done = func(ref Ref, err error) {
			if err != nil {
				err = fmt.Errorf("commit %s: %w", rec.ID, err)
			}
			done(ref, err)
		}
		err = w.enqueue(p)
	}
	if err != nil {
		done(Ref{}, fmt.Errorf("commit %s: %w", rec.ID, err))
	}
}

func (w *Writer) enqueue(p *pending) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	w.queue = append(w.queue, p)
	w.kick()
	return nil
}

// kick wakes the committer.
func (w *Writer) kick() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// withdraw takes a record back that the committer has not taken yet.
func (w *Writer) withdraw(p *pending) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, q := range w.queue {
		if q == p {
			w.queue = append(w.queue[:i], w.queue[i+1:]...)
			return true
		}
	}
	return false
}

// Capacity tells how many bytes one message may have, and whether the journal
// takes messages at all. It is cheap enough to be asked per message.
func (w *Writer) Capacity() (free int64, accepting bool) {
	if !w.pool.roomy() {
		return 0, false
	}
	free, err := diskFree(w.fs, w.opt)
	return free, err == nil
}

// diskFree is what the file system has above what is to be left alone.
func diskFree(fsys durable.FS, opt Options) (int64, error) {
	s, err := fsys.Statfs()
	if err != nil {
		return 0, err
	}
	if s.FreeBytes <= opt.MinFreeBytes || s.FreeInodes <= opt.MinFreeInodes {
		return 0, fmt.Errorf("%d bytes and %d inodes are free: %w", s.FreeBytes, s.FreeInodes, ErrFull)
	}
	return s.FreeBytes - opt.MinFreeBytes, nil
}

// LastID is no older than any id that was committed before Open. Ids made
// from here on must be greater, or a clock that was set back could make one twice.
func (w *Writer) LastID() queueid.ID { return w.pool.lastID }

// Release is dispatch's hint that a use of a segment is done. It is checked
// against the marks on disk, so that a hint that is late, doubled or wrong does
// no harm, and one that is lost costs no more than a later look.
func (w *Writer) Release(segment, generation uint32) error {
	return w.pool.release(segment, generation)
}

// Close waits for the commits that are under way, refuses others, and gives the
// journal up. What is in it stays.
func (w *Writer) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	w.kick()
	w.mu.Unlock()
	w.pool.stop()
	w.wg.Wait()
	var err error
	if w.active != nil {
		err = w.active.file.Close()
	}
	return errors.Join(err, w.pool.close(), w.lock.Close())
}

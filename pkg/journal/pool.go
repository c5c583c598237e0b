package journal

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// lookPause is how long a full journal waits after a look at the marks that was
// in vain, so that a flood of refused commits does not become a flood of reads.
const lookPause = 50 * time.Millisecond

// pool keeps the segments that the committer does not write at the moment: those
// ready for a use, and those that wait for their marks. A goroutine of its own
// (keepReady) makes and recycles them, so that the committer seldom waits.
type pool struct {
	fs  durable.FS
	opt Options

	mu      sync.Mutex
	changed *sync.Cond
	stopped bool
	free    []*segment          // ready for a use
	live    map[uint32]*segment // full or found: some record may want a mark
	broken  []*segment          // retired: not written again before the next start
	files   int                 // segment files that there are
	number  uint32              // greatest number of a segment
	last    uint32              // greatest generation given out or found
	lastID  queueid.ID          // the newest id found at the start

	// A round of keepReady answers all that was asked before it began.
	asked, answered uint64
	failure         error     // why the last round made no segment
	vainAt          time.Time // the last look that somebody asked for in vain

	// What Capacity wants to know of the committer's segment.
	activeLeft int64
}

func (p *pool) init(fsys durable.FS, opt Options) {
	p.fs, p.opt = fsys, opt
	p.changed = sync.NewCond(&p.mu)
	p.live = make(map[uint32]*segment)
}

// next gives out a segment for a new use, if need be out of the reserve for a
// record that may have it.
func (p *pool) next(internal bool) (*segment, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shortLocked() && p.worthLookingLocked() {
		ticket := p.askLocked()
		for p.answered < ticket && !p.stopped {
			p.changed.Wait()
		}
		if p.shortLocked() {
			p.vainAt = time.Now()
		}
	}
	switch {
	case !p.shortLocked():
		return p.takeLocked()
	case internal && len(p.free) > 0:
		s, err := p.takeLocked()
		if err == nil {
			s.reserved = true
		}
		return s, err
	}
	if p.failure != nil {
		return nil, p.failure
	}
	return nil, ErrFull
}

// shortLocked says that there is nothing ready beyond the reserve.
func (p *pool) shortLocked() bool { return len(p.free) <= p.opt.Reserve }

func (p *pool) worthLookingLocked() bool {
	return !p.stopped && (p.failure == nil || time.Since(p.vainAt) > lookPause)
}

func (p *pool) askLocked() uint64 {
	p.asked++
	p.changed.Broadcast()
	return p.asked
}

// takeLocked begins a new use of a ready segment.
func (p *pool) takeLocked() (*segment, error) {
	if p.last == math.MaxUint32 {
		return nil, fmt.Errorf("generations are used up: empty incoming/ by hand: %w", ErrFull)
	}
	p.last++
	s := p.free[0]
	p.free = slices.Delete(p.free, 0, 1)
	s.begin(p.last)
	if p.shortLocked() {
		p.askLocked()
	}
	return s, nil
}

// setActive notes how much the committer's segment still takes.
func (p *pool) setActive(s *segment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.activeLeft = s.size - s.tail
	if s.reserved {
		p.activeLeft = 0
	}
}

// roomy says whether a normal record would be taken, and has the marks looked at
// when not, so that the answer becomes yes without anybody committing.
func (p *pool) roomy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.shortLocked() || p.activeLeft >= p.opt.SegmentSize/4 {
		return true
	}
	if p.failure == nil && (p.asked > p.answered || p.files < p.opt.MaxSegments) {
		return true // one is being made
	}
	if p.asked == p.answered && p.worthLookingLocked() {
		p.askLocked()
		p.vainAt = time.Now()
	}
	return false
}

// retireFull puts away a segment that has no room for the next record.
func (p *pool) retireFull(s *segment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.activeLeft = 0
	p.live[s.use.number] = s
}

// retireBroken puts away a segment whose write or flush failed.
func (p *pool) retireBroken(s *segment, err error) {
	p.mu.Lock()
	p.broken = append(p.broken, s)
	p.activeLeft = 0
	p.mu.Unlock()
	p.opt.Problem(fmt.Errorf("retired until the next start: %w", err))
}

// keepReady does the rounds that are asked for.
func (p *pool) keepReady() {
	for {
		p.mu.Lock()
		for p.asked == p.answered && !p.stopped {
			p.changed.Wait()
		}
		ticket, stopped := p.asked, p.stopped
		p.mu.Unlock()
		if stopped {
			return
		}
		err := p.round()
		p.mu.Lock()
		p.answered, p.failure = ticket, err
		p.changed.Broadcast()
		p.mu.Unlock()
	}
}

// round recycles what is finished and, when that is not enough, makes a segment.
func (p *pool) round() error {
	if err := p.look(); err != nil {
		p.opt.Problem(err)
	}
	for {
		p.mu.Lock()
		enough, files, number := !p.shortLocked() || p.stopped, p.files, p.number+1
		p.mu.Unlock()
		if enough {
			return nil
		}
		if files >= p.opt.MaxSegments {
			return fmt.Errorf("%d segments are in use: %w", files, ErrFull)
		}
		if err := p.grow(number); err != nil {
			p.opt.Problem(err)
			return err
		}
	}
}

// grow makes one more segment.
func (p *pool) grow(number uint32) error {
	free, err := diskFree(p.fs, p.opt)
	if err != nil {
		return fmt.Errorf("make segment: %w", err)
	}
	if free < p.opt.SegmentSize {
		return fmt.Errorf("make segment: %d bytes are free: %w", free, ErrFull)
	}
	s, err := makeSegment(p.fs, number, p.opt.SegmentSize)
	if err != nil {
		return fmt.Errorf("make segment: %w", full(err))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.number = number
	p.files++
	p.free = append(p.free, s)
	return nil
}

// look recycles each segment that needs nothing more.
func (p *pool) look() error {
	p.mu.Lock()
	live := slices.Collect(maps.Values(p.live))
	p.mu.Unlock()
	slices.SortFunc(live, func(a, b *segment) int { return int(a.use.number) - int(b.use.number) })
	var errs []error
	for _, s := range live {
		if done, err := s.finished(p.fs); err != nil {
			errs = append(errs, fmt.Errorf("look at marks: %w", err))
		} else if done {
			errs = append(errs, p.recycle(s))
		}
	}
	return errors.Join(errs...)
}

// release looks at one segment at once.
func (p *pool) release(number, generation uint32) error {
	p.mu.Lock()
	s := p.live[number]
	p.mu.Unlock()
	// The use of a live segment does not change until it is recycled, and a
	// hint about an earlier use means nothing.
	if s == nil || s.use.generation != generation {
		return nil
	}
	done, err := s.finished(p.fs)
	if err != nil || !done {
		return err
	}
	return p.recycle(s)
}

// recycle makes a finished segment ready again, or removes one of a size that
// is no longer configured.
func (p *pool) recycle(s *segment) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live[s.use.number] != s {
		return nil // somebody else was faster
	}
	delete(p.live, s.use.number)
	return p.readyLocked(s)
}

func (p *pool) readyLocked(s *segment) error {
	if s.size == p.opt.SegmentSize {
		p.free = append(p.free, s)
		return nil
	}
	p.files--
	// A crash here, or a power cut that forgets the removal, leaves a segment
	// whose records are all done.
	return errors.Join(s.file.Close(), removeIfThere(p.fs, segmentName(s.use.number)))
}

// stop ends keepReady and all waiting for it.
func (p *pool) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.changed.Broadcast()
}

// close closes the files that the pool holds.
func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, s := range slices.Concat(p.free, p.broken, slices.Collect(maps.Values(p.live))) {
		if s.file != nil {
			errs = append(errs, s.file.Close())
		}
	}
	p.free, p.broken, p.live = nil, nil, nil
	return errors.Join(errs...)
}

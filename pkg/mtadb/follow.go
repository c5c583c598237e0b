package mtadb

import (
	"bytes"
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"filbert/pkg/event"
)

const (
	// followEvery is how often the log is looked at. What comes in between is one
	// batch, and most messages are received and delivered within it.
	followEvery = time.Second
	// leaveAfter is how many looks at an old log find nothing before it is closed: a
	// program that was asked to take the new one may be busy.
	leaveAfter = 60
)

// follower reads the log into the history.
type follower struct {
	log     *event.Log
	now     func() time.Time
	maxSize func() uint64

	mu    sync.Mutex
	fresh []*os.File // logs that master sent, to be followed from now on

	tails []*tail // the one that is written last
	buf   []byte

	// For people.
	state   atomic.Pointer[string] // what keeps it from following, "" if nothing does
	skipped atomic.Int64           // lines that were not understood
	behind  atomic.Int64           // octets that are not read yet
	told    bool
}

// add takes a log that master has opened anew.
func (f *follower) add(file *os.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.fresh) == maxTails/2 {
		f.fresh[0].Close()
		f.fresh = f.fresh[1:]
	}
	f.fresh = append(f.fresh, file)
}

// begin takes up the logs that were open when the process started.
func (f *follower) begin(s *store, files []*os.File) error {
	v, err := s.get([]byte{keyTails})
	if err != nil {
		return err
	}
	marks := decodeMarks(v)
	for i, file := range files {
		t, err := newTail(file, marks)
		if err != nil {
			return err
		}
		// An older log is read on where it was left, or not at all.
		if i < len(files)-1 && t.mark.offset == 0 {
			continue
		}
		f.tails = append(f.tails, t)
	}
	return nil
}

// run follows until ctx ends, while there is room.
func (f *follower) run(ctx context.Context, s *store, room func() error) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		more, err := false, room()
		if err == nil {
			more, err = f.look(s)
		}
		f.tell(err)
		if more && err == nil && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tell says once that following has become impossible.
func (f *follower) tell(err error) {
	why := ""
	if err != nil {
		why = err.Error()
	}
	f.state.Store(&why)
	if err != nil && !f.told {
		f.log.Emit(event.TroubleOf(0, "following the log for the history", err))
	}
	f.told = err != nil
}

func (f *follower) look(s *store) (more bool, err error) {
	f.mu.Lock()
	fresh := f.fresh
	f.fresh = nil
	f.mu.Unlock()
	for _, file := range fresh {
		t, err := newTail(file, nil)
		if err != nil {
			return false, err
		}
		f.tails = append(f.tails, t)
	}
	if f.buf == nil {
		f.buf = make([]byte, chunk)
	}
	for i, t := range f.tails {
		again, err := f.advance(s, t)
		if err != nil {
			return false, err
		}
		if again {
			return true, nil // the older ones first, as far as there is more
		}
		if i < len(f.tails)-1 {
			t.idle++
		}
	}
	f.leaveOld()
	f.behind.Store(0)
	return false, nil
}

// advance reads a piece of one log into the database. A piece is written with its
// end, in one batch: after a kill it is there with it, or is read again.
func (f *follower) advance(s *store, t *tail) (again bool, err error) {
	lines, next, err := t.read(f.buf)
	if err != nil {
		return false, err
	}
	if len(lines) == 0 {
		t.mark = next
		return false, nil
	}
	t.idle = 0
	d := newDigest()
	for len(lines) > 0 {
		line, rest, _ := bytes.Cut(lines, []byte("\n"))
		if len(line) > 0 {
			d.line(line)
		}
		lines = rest
	}
	before := t.mark
	t.mark = next
	if err := s.record(d, encodeMarks(f.tails), f.now(), f.maxSize()); err != nil {
		t.mark = before
		return false, err
	}
	f.skipped.Add(int64(d.skipped))
	if info, err := t.file.Stat(); err == nil {
		f.behind.Store(max(0, info.Size()-next.offset))
	}
	return next.offset-before.offset >= chunk/2 || f.behind.Load() >= chunk/2, nil
}

// leaveOld closes logs that were renamed long ago.
func (f *follower) leaveOld() {
	var keep []*tail
	for i, t := range f.tails {
		last := i == len(f.tails)-1
		if !last && (t.idle >= leaveAfter || len(f.tails)-i > maxTails) {
			t.file.Close()
			continue
		}
		keep = append(keep, t)
	}
	f.tails = keep
}

func (f *follower) close() {
	for _, t := range f.tails {
		t.file.Close()
	}
	f.tails = nil
}

package qindex

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// Dir is the directory in the spool.
const Dir = "index"

const (
	scheduleName  = Dir + "/schedule"
	addressesName = Dir + "/addresses"
)

// Index is the two files. One goroutine writes; Search may be called beside it.
type Index struct {
	fs       durable.FS
	schedule *file
	moment   int64 // of the last whole Flush

	mu        sync.Mutex // of the name of the other file, and how far it is whole
	addresses *file
	reach     int64

	// lost: the schedule has records from before the addresses were lost, which say that
	// theirs are there. Until it is written anew no block promises any.
	lost    bool
	records int
}

// Report is what an earlier run has left.
type Report struct {
	// Moment: all that the earlier run knew before it was told. Latest is the greatest
	// moment of all blocks: the clock was set back since if it lies in the future.
	Moment, Latest time.Time
	// Paired: the addresses of what is Addressed can be searched. If they can't, that stays
	// so for every Open until a Rewriting has told which records have theirs again.
	Paired bool
	// Torn is why all or the end of it was thrown away, nil if it was not.
	Torn error
}

// Open tells take what an earlier run has left, in its order, and goes on behind it. The
// record is take's until it returns.
func Open(fsys durable.FS, take func(*Record)) (*Index, Report, error) {
	x := &Index{fs: fsys}
	var rep Report
	var last mark
	s, err := reopen(fsys, scheduleName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return x.anew(rep)
	case errors.Is(err, ErrDamaged):
		rep.Torn = err
		return x.anew(rep)
	case err != nil:
		return nil, rep, fmt.Errorf("open the index: %w", err)
	}
	x.schedule = s
	var latest int64
	good, err := blocks(s.f, s.gen, s.length, func(m mark, records []byte) error {
		n, err := tell(records, take)
		x.records += n
		last, latest = m, max(latest, m.moment)
		return err
	})
	if errors.Is(err, ErrDamaged) {
		rep.Torn, err = err, s.cut(good)
	}
	if err != nil {
		return nil, rep, errors.Join(fmt.Errorf("read the index: %w", err), s.f.Close())
	}
	x.moment = last.moment
	rep.Moment, rep.Latest = time.UnixMilli(last.moment), time.UnixMilli(latest)
	rep.Paired, err = x.pair(last)
	if err != nil {
		return nil, rep, errors.Join(fmt.Errorf("open the index: %w", err), s.f.Close())
	}
	return x, rep, nil
}

// tell decodes the records of a block.
func tell(records []byte, take func(*Record)) (n int, err error) {
	var r Record
	for len(records) > 0 {
		if records, err = r.decode(records); err != nil {
			return n, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		take(&r)
		n++
	}
	return n, nil
}

// anew begins with nothing.
func (x *Index) anew(rep Report) (*Index, Report, error) {
	var err error
	if x.schedule, err = create(x.fs, scheduleName); err == nil {
		x.addresses, err = create(x.fs, addressesName)
	}
	if err != nil {
		x.Close()
		return nil, rep, fmt.Errorf("make the index: %w", err)
	}
	x.reach = x.addresses.length
	return x, rep, nil
}

// pair opens the file of addresses that the schedule means, or makes one.
func (x *Index) pair(m mark) (paired bool, err error) {
	a, err := reopen(x.fs, addressesName)
	if err == nil && (m.reach < fileHead || a.gen != m.partner || a.length < m.reach) {
		err = errors.Join(ErrDamaged, a.f.Close())
	}
	if err == nil {
		// What is behind was written for records that did not make it.
		x.addresses, x.reach = a, m.reach
		return true, a.cut(m.reach)
	}
	if !errors.Is(err, ErrDamaged) && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if x.addresses, err = create(x.fs, addressesName); err == nil {
		x.reach, x.lost = x.addresses.length, true
	}
	return false, err
}

// Put keeps a record, with the next Flush.
func (x *Index) Put(r *Record) {
	x.schedule.open = r.appendTo(x.schedule.open)
	x.records++
	x.schedule.added(mark{moment: x.moment, reach: unfinished})
}

// PutAddresses keeps the addresses of a message: the sender's first. They must fit.
func (x *Index) PutAddresses(id queueid.ID, addresses []string) {
	x.addresses.open = appendAddresses(x.addresses.open, id, addresses)
	x.addresses.added(mark{})
}

// unfinished is the reach in blocks of a Flush before its last: their records may have
// addresses that were not written yet.
const unfinished = -1

// mark is that of the last block of a Flush.
func (x *Index) mark(moment int64) mark {
	if x.lost {
		return mark{moment: moment, reach: unfinished}
	}
	return mark{moment: moment, partner: x.addresses.gen, reach: x.reach}
}

// Flush writes what was put. All that its user knew before moment must have been. Nothing is
// forced to the disk.
func (x *Index) Flush(moment time.Time) error {
	x.addresses.seal(mark{})
	if err := x.addresses.write(); err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	x.mu.Lock()
	x.reach = x.addresses.length
	x.mu.Unlock()
	// Invariant: the addresses are written before a record says that they are.
	x.schedule.seal(x.mark(moment.UnixMilli()))
	if err := x.schedule.write(); err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	x.moment = moment.UnixMilli()
	return nil
}

// Records is how many lie in the schedule, and Octets how large the other file is, for who
// decides when to write them anew.
func (x *Index) Records() int { return x.records }

// Octets is the size of the file of addresses.
func (x *Index) Octets() int64 { return x.reach }

// Close gives the files back. What was not flushed is lost.
func (x *Index) Close() {
	for _, w := range []*file{x.schedule, x.addresses} {
		if w != nil {
			_ = w.f.Close() // nothing was promised
		}
	}
}

// Discard removes the files: who can't write them must not leave them to be believed.
func (x *Index) Discard() error {
	x.Close()
	return errors.Join(x.fs.Remove(scheduleName), x.fs.Remove(addressesName))
}

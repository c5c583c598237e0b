package qindex

import (
	"errors"
	"fmt"
	"os"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// Search tells the addresses of each message that were flushed, the sender's first, in
// no order; of some messages more than once, and of some that are gone. The list is
// take's until it returns, its strings for good.
func (x *Index) Search(take func(id queueid.ID, addresses []string) error) error {
	x.mu.Lock()
	f, err := x.fs.OpenFile(addressesName, os.O_RDONLY, 0)
	gen, reach := x.addresses.gen, x.reach
	x.mu.Unlock()
	if err != nil {
		return fmt.Errorf("search the index: %w", err)
	}
	defer f.Close()
	if err := search(f, gen, reach, take); err != nil {
		return fmt.Errorf("search the index: %w", err)
	}
	return nil
}

func search(f durable.File, gen uint64, reach int64, take func(id queueid.ID, addresses []string) error) error {
	var list []string
	_, err := blocks(f, gen, reach, func(_ mark, records []byte) error {
		text := string(records) // once for all the strings in it
		for len(text) > 0 {
			id, addresses, rest, err := decodeAddresses(text, list)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			if err := take(id, addresses); err != nil {
				return err
			}
			list, text = addresses, rest
		}
		return nil
	})
	return err
}

// Rewriting is the schedule in a new file, without what is no more so.
type Rewriting struct {
	x       *Index
	w       *file
	records int
}

// Rewrite begins it. Nothing may be put or flushed until Commit or Abort.
func (x *Index) Rewrite() (*Rewriting, error) {
	w, err := create(x.fs, scheduleName+temporary)
	if err != nil {
		return nil, fmt.Errorf("rewrite the index: %w", err)
	}
	return &Rewriting{x: x, w: w}, nil
}

// Put adds a record.
func (r *Rewriting) Put(rec *Record) {
	r.w.open = rec.appendTo(r.w.open)
	r.records++
	r.w.added(mark{reach: unfinished})
}

// Spill writes what was put, so that it does not take memory.
func (r *Rewriting) Spill() error { return r.w.write() }

// Commit puts the new file in the place of the old.
func (r *Rewriting) Commit(moment time.Time) error {
	lost := r.x.lost
	r.x.lost = false
	r.w.seal(r.x.mark(moment.UnixMilli()))
	err := r.w.write()
	if err == nil {
		err = r.x.fs.Rename(scheduleName+temporary, scheduleName)
	}
	if err != nil {
		r.x.lost = lost
		r.Abort()
		return fmt.Errorf("rewrite the index: %w", err)
	}
	_ = r.x.schedule.f.Close()
	r.x.schedule, r.x.records, r.x.moment = r.w, r.records, moment.UnixMilli()
	return nil
}

// Abort leaves the old one.
func (r *Rewriting) Abort() {
	_ = errors.Join(r.w.f.Close(), r.x.fs.Remove(scheduleName+temporary))
}

// Tidy writes the addresses anew of those messages that are still wanted. A Flush must
// follow, for the schedule to mean the new file.
func (x *Index) Tidy(wanted func(queueid.ID) bool) error {
	w, err := create(x.fs, addressesName+temporary)
	if err != nil {
		return fmt.Errorf("tidy the index: %w", err)
	}
	err = x.Search(func(id queueid.ID, addresses []string) error {
		if !wanted(id) {
			return nil
		}
		w.open = appendAddresses(w.open, id, addresses)
		if w.added(mark{}); len(w.out) < keepBuffer {
			return nil
		}
		return w.write()
	})
	if err == nil {
		w.seal(mark{})
		err = w.write()
	}
	if err != nil {
		return fmt.Errorf("tidy the index: %w", errors.Join(err, w.f.Close(), x.fs.Remove(addressesName+temporary)))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.fs.Rename(addressesName+temporary, addressesName); err != nil {
		return fmt.Errorf("tidy the index: %w", errors.Join(err, w.f.Close(), x.fs.Remove(addressesName+temporary)))
	}
	_ = x.addresses.f.Close()
	x.addresses, x.reach = w, w.length
	return nil
}

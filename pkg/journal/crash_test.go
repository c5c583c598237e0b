package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"filbert/pkg/durable/crashfs"
	"filbert/pkg/queueid"
)

// survivals is how many selections of unflushed bytes and names are tried at
// each cut, beside "nothing" and "everything".
const survivals = 20

// ledger is what a scenario was told before the power went.
type ledger struct {
	acked  map[queueid.ID]bool
	marked map[queueid.ID]bool // Done was called
	sure   map[queueid.ID]bool // and its flush returned nil
}

// life runs cleanup and dispatch on a disk until the cut: small messages in
// several flushes at a time, a large one, marks, and more than the segments
// hold, so that one is reused.
func life(f *crashfs.FS, l *ledger, base int) error {
	w, err := Open(f, Options{SegmentSize: small, MaxSegments: 4})
	if err != nil {
		return err
	}
	defer w.Close()
	m, err := OpenMarker(f, MarkerOptions{FlushEvery: 1 << 60})
	if err != nil {
		return err
	}
	defer m.Close()
	var refs []Ref
	var ids, mine []queueid.ID // mine: marked in this life
	for round := range 8 {
		type answer struct {
			id  queueid.ID
			ref Ref
			err error
		}
		answers := make(chan answer, 3)
		for i := range 3 {
			r := message(base + round*10 + i)
			w.CommitAsync(r, func(ref Ref, err error) { answers <- answer{r.ID, ref, err} })
		}
		for range 3 {
			a := <-answers
			if a.err != nil {
				return a.err
			}
			l.acked[a.id] = true
			refs, ids = append(refs, a.ref), append(ids, a.id)
		}
		if round == 1 {
			if err := largeLife(w, l, queueid.ID(base+99)); err != nil {
				return err
			}
		}
		// All but the last of each round.
		for len(refs) > 1 {
			l.marked[ids[0]] = true
			mine = append(mine, ids[0])
			m.Done(refs[0])
			refs, ids = refs[1:], ids[1:]
		}
		if err := m.flush(); err != nil {
			return err
		}
		for _, id := range mine {
			l.sure[id] = true
		}
		_ = w.pool.look()
	}
	return nil
}

func largeLife(w *Writer, l *ledger, id queueid.ID) error {
	file, err := w.CreateLarge(id)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(bytes.Repeat([]byte("large"), 2000)); err != nil {
		return err
	}
	sum, err := file.Seal()
	if err != nil {
		return err
	}
	if _, err := w.Commit(context.Background(), Record{ID: id, Envelope: []byte("e"), Large: sum}); err != nil {
		return err
	}
	l.acked[id] = true
	return nil
}

// recovered restarts dispatch on what is left, and says what it would attempt.
func recovered(f *crashfs.FS) (undone, done []queueid.ID, err error) {
	m, err := OpenMarker(f, MarkerOptions{FlushEvery: 1 << 60})
	if err != nil {
		return nil, nil, err
	}
	rep, err := m.Recover(func(r Found) error {
		if r.Record.Large == nil && !sameRecord(r.Record, message(int(r.Record.ID))) {
			return fmt.Errorf("record %s is half: %w", r.Record.ID, ErrDamaged)
		}
		undone = append(undone, r.Record.ID)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if len(rep.Damage) > 0 {
		return nil, nil, fmt.Errorf("a power cut looks like damage: %+v", rep.Damage)
	}
	_, err = Scan(f, func(r Found) error {
		if r.Done {
			done = append(done, r.Record.ID)
		}
		return nil
	})
	return undone, done, errors.Join(err, m.Close())
}

// check compares what is left with what was promised.
func (l *ledger) check(f *crashfs.FS) error {
	undone, done, err := recovered(f)
	if err != nil {
		return err
	}
	for id := range l.acked {
		if !l.marked[id] && !slices.Contains(undone, id) {
			return fmt.Errorf("acknowledged message %s is lost", id)
		}
	}
	for _, id := range undone {
		if l.sure[id] {
			return fmt.Errorf("message %s, whose mark was flushed, is attempted again", id)
		}
	}
	for _, id := range done {
		if !l.marked[id] {
			return fmt.Errorf("message %s is done and was never marked", id)
		}
	}
	again, _, err := recovered(f)
	if err != nil || !slices.Equal(again, undone) {
		return fmt.Errorf("a second recovery finds %v instead of %v: %w", again, undone, err)
	}
	return nil
}

func newLedger() *ledger {
	return &ledger{make(map[queueid.ID]bool), make(map[queueid.ID]bool), make(map[queueid.ID]bool)}
}

func (l *ledger) clone() *ledger {
	return &ledger{maps.Clone(l.acked), maps.Clone(l.marked), maps.Clone(l.sure)}
}

// TestAcceptanceSurvivesPowerCut cuts the power after every single write, flush,
// rename and removal of a life, looks at several survivals of each cut, and then
// lives on what survived and cuts that too.
func TestAcceptanceSurvivesPowerCut(t *testing.T) {
	for at := 1; ; at++ {
		f := newFS(t)
		f.CutAt(at)
		l := newLedger()
		err := life(f, l, 1)
		if err != nil && !errors.Is(err, crashfs.ErrCut) {
			t.Fatalf("cut %d: %v", at, err)
		}
		for seed := range uint64(survivals) {
			disk := f.Restart(seed)
			if err := l.check(disk); err != nil {
				t.Fatalf("cut %d, seed %d: %v\n%q", at, seed, err, f.Trace())
			}
			if at%4 != int(seed)%4 {
				continue
			}
			second := l.clone()
			if seed%8 >= 4 {
				// The same with the processes killed first.
				again := newFS(t)
				again.CutAt(at)
				second = newLedger()
				_ = life(again, second, 1)
				disk = again.Kill()
			}
			disk.CutAt(1 + (at*7+int(seed)*13)%120)
			if err := life(disk, second, 1001); err != nil && !errors.Is(err, crashfs.ErrCut) && !errors.Is(err, ErrFull) {
				t.Fatalf("cut %d, seed %d, second life: %v", at, seed, err)
			}
			if err := second.check(disk.Restart(seed + 100)); err != nil {
				t.Fatalf("cut %d, seed %d, second life: %v", at, seed, err)
			}
		}
		if err == nil {
			t.Logf("%d cuts", at)
			return
		}
	}
}

package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// SweepReport is what Sweep met and mended. The caller tells people about Lone
// and Strange.
type SweepReport struct {
	Messages int // message files in both queues
	Moved    int // S4': brought together
	Finished int // S6: lone logs of finished messages, removed
	Temp     int // unfinished files, removed
	// Lone is messages without any log: damage. They are attempted as if
	// for the first time.
	Lone []queueid.ID
	// Strange is the files that belong to no message, moved to corrupt/.
	Strange []string
}

// Sweep walks the names in deferred/ and hold/ and mends what a crash left of a
// move or a removal. It opens only what looks wrong, so that a million messages
// cost a second. A second Sweep finds nothing to do.
//
// Requires: Resolve was called for every undone journal record, and nobody else
// is writing to the spool.
func (s *Spool) Sweep() (SweepReport, error) {
	return s.SweepBeside(context.Background(), func(queueid.ID) (func(), bool) { return func() {}, true })
}

// Claim makes a message the caller's alone until release is called; ok is false if somebody
// else has it.
type Claim func(id queueid.ID) (release func(), ok bool)

// SweepBeside is Sweep while others write to the spool. What it reads of a directory is a
// suspicion only, as files come and go meanwhile: a message that looks wrong is claimed, and
// looked at again before anything is done. One that somebody has in hands is left to
// him. It may be ended between two messages.
//
// Requires: Resolve was called for every undone journal record; whoever claims a message
// that was in the spool before calls Mend before he does anything about it.
func (s *Spool) SweepBeside(ctx context.Context, claim Claim) (SweepReport, error) {
	rep, err := s.sweep(ctx, claim)
	if err != nil {
		err = fmt.Errorf("sweep: %w", err)
	}
	return rep, err
}

// Mend does for one message what Sweep does for all.
//
// Requires: the caller alone has it, and it is in no state in which a record of the journal
// is undone.
func (s *Spool) Mend(id queueid.ID) (SweepReport, error) {
	var rep SweepReport
	t, err := s.traceOf(id)
	if err == nil {
		err = s.mend(&rep, id, &t)
	}
	if err != nil {
		err = fmt.Errorf("mend message %s: %w", id, err)
	}
	return rep, err
}

func (s *Spool) sweep(ctx context.Context, claim Claim) (SweepReport, error) {
	var rep SweepReport
	shards := make(map[string]bool)
	for _, q := range []Queue{Deferred, Hold} {
		for e, err := range s.fs.ReadDir(q.String()) {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return rep, err
			}
			if e.Type == fs.ModeDir {
				shards[strings.Clone(e.Name)] = true
			} else if err := s.strange(&rep, q.String()+"/"+e.Name); err != nil {
				return rep, err
			}
		}
	}
	traces := make(map[queueid.ID]trace) // one for all shards: a shard is as large as the next
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		if err := ctx.Err(); err != nil {
			return rep, err
		}
		if err := s.sweepShard(&rep, shard, traces, claim); err != nil {
			return rep, err
		}
	}
	return rep, nil
}

// trace is which files of one message there are.
type trace struct {
	message, log [Hold + 1]bool // by Queue
}

// sound tells whether a message lies whole in one place, with nothing in the other.
func (t *trace) sound() bool {
	for _, q := range []Queue{Deferred, Hold} {
		if o := q.other(); t.message[q] && t.log[q] && !t.message[o] && !t.log[o] {
			return true
		}
	}
	return false
}

// traceOf looks for the files of one message.
func (s *Spool) traceOf(id queueid.ID) (t trace, err error) {
	for _, q := range []Queue{Deferred, Hold} {
		if t.message[q], err = s.exists(messageName(q, id)); err != nil {
			return t, err
		}
		if t.log[q], err = s.exists(logName(q, id)); err != nil {
			return t, err
		}
	}
	return t, nil
}

// sweepShard looks at one shard of both queues together, about a thousandth of
// the spool.
func (s *Spool) sweepShard(rep *SweepReport, shard string, traces map[queueid.ID]trace, claim Claim) error {
	clear(traces)
	for _, q := range []Queue{Deferred, Hold} {
		if err := s.listShard(rep, q, shard, traces, claim); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(traces)) {
		t := traces[id]
		if t.sound() {
			rep.Messages++
			continue
		}
		if err := s.mendSuspect(rep, id, claim); err != nil {
			return fmt.Errorf("message %s: %w", id, err)
		}
	}
	return nil
}

// mendSuspect looks again at a message that looked wrong, once nobody else can change it.
func (s *Spool) mendSuspect(rep *SweepReport, id queueid.ID, claim Claim) error {
	release, ok := claim(id)
	if !ok {
		return nil
	}
	defer release()
	t, err := s.traceOf(id)
	if err != nil || t == (trace{}) {
		return err // it has gone as it should
	}
	return s.mend(rep, id, &t)
}

// removeTemp removes an unfinished file, unless somebody is at it.
func (s *Spool) removeTemp(rep *SweepReport, name string, claim Claim) error {
	base := strings.TrimSuffix(name[strings.LastIndexByte(name, '/')+1:], tempSuffix)
	if id, err := queueid.Parse(strings.TrimSuffix(base, logSuffix)); err == nil {
		release, ok := claim(id)
		if !ok {
			return nil
		}
		defer release()
		if there, err := s.exists(name); err != nil || !there {
			return err
		}
	}
	rep.Temp++
	return s.remove(name)
}

func (s *Spool) listShard(rep *SweepReport, q Queue, shard string, traces map[queueid.ID]trace, claim Claim) error {
	dir := q.String() + "/" + shard
	var temp, strange []string
	for e, err := range s.fs.ReadDir(dir) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		base, isLog := strings.CutSuffix(e.Name, logSuffix)
		id, err := queueid.Parse(base)
		switch {
		case strings.HasSuffix(e.Name, tempSuffix):
			temp = append(temp, dir+"/"+e.Name)
			continue
		case err != nil || id.String() != base || id.Shard() != shard || e.Type != 0:
			strange = append(strange, dir+"/"+e.Name)
			continue
		}
		t := traces[id]
		if isLog {
			t.log[q] = true
		} else {
			t.message[q] = true
		}
		traces[id] = t
	}
	for _, name := range temp {
		if err := s.removeTemp(rep, name, claim); err != nil {
			return err
		}
	}
	for _, name := range strange {
		if err := s.strange(rep, name); err != nil {
			return err
		}
	}
	return nil
}

// mend has one branch per state that names alone can tell.
func (s *Spool) mend(rep *SweepReport, id queueid.ID, t *trace) error {
	switch {
	case !t.message[Deferred] && !t.message[Hold]:
		return s.mendLoneLogs(rep, id, t)
	case t.message[Deferred] && t.message[Hold]:
		// S4', cut while the message was carried: both names are one file.
		// Held is the safe reading: an administrator sees it and can act,
		// while an attempt can't be taken back.
		rep.Moved++
		if err := s.keepOne(messageName(Hold, id), messageName(Deferred, id), id, Hold); err != nil {
			return err
		}
		t.message[Deferred] = false
	}
	rep.Messages++
	q := Deferred
	if t.message[Hold] {
		q = Hold
	}
	o := q.other()
	switch {
	case t.log[q] && t.log[o]:
		// S4', cut while the log was carried.
		rep.Moved++
		return s.keepOne(logName(q, id), logName(o, id), id, q)
	case t.log[o]:
		// S4', cut between the log and the message.
		rep.Moved++
		return s.carry(logName(o, id), logName(q, id), id, o, q)
	case !t.log[q]:
		rep.Lone = append(rep.Lone, id)
	}
	return nil
}

// keepOne removes the second name of a file once the first, in q, is durable.
func (s *Spool) keepOne(keep, drop string, id queueid.ID, q Queue) error {
	if err := s.fs.SyncDir(durable.Parent(keep)); err != nil {
		return err
	}
	if err := s.remove(drop); err != nil {
		return err
	}
	return s.fs.SyncDir(shardDir(q.other(), id))
}

// mendLoneLogs deals with logs whose message is gone.
func (s *Spool) mendLoneLogs(rep *SweepReport, id queueid.ID, t *trace) error {
	for _, q := range []Queue{Deferred, Hold} {
		if !t.log[q] {
			continue
		}
		done, err := s.finished(q, id)
		if err != nil {
			return err
		}
		if done {
			// S6, cut in the last step of Remove; or S6', which nobody may have flushed.
			rep.Finished++
			if err := s.Reap(q, []queueid.ID{id}); err != nil {
				return err
			}
			continue
		}
		// Who has finished the message may have removed what is left of it meanwhile.
		if there, err := s.exists(logName(q, id)); err != nil || !there {
			return err
		}
		if err := s.strange(rep, logName(q, id)); err != nil {
			return err
		}
	}
	return nil
}

// strange moves a file that belongs to no message out of the way.
func (s *Spool) strange(rep *SweepReport, name string) error {
	rep.Strange = append(rep.Strange, name)
	return s.quarantineFile(name)
}

// quarantineFile moves one file to corrupt/, under a name that is free there.
func (s *Spool) quarantineFile(name string) error {
	if err := durable.MkdirAll(s.fs, corruptDir, dirPerm); err != nil {
		return err
	}
	base := corruptDir + "/" + strings.ReplaceAll(name, "/", "-")
	to := base
	for n := 1; ; n++ {
		taken, err := s.exists(to)
		if err != nil {
			return err
		}
		if !taken {
			break
		}
		to = fmt.Sprintf("%s.%d", base, n)
	}
	if err := s.fs.Rename(name, to); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return s.fs.SyncDir(corruptDir)
}

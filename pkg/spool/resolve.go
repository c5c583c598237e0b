package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"filbert/pkg/queueid"
)

// Resolution says what becomes of an undone journal record.
type Resolution uint8

// The resolutions.
const (
	// Attempt: S2 or S3', nothing of the message is filed (any more).
	Attempt Resolution = 1
	// AlreadyFiled: S3, the spool has it: the caller marks the record done.
	AlreadyFiled Resolution = 2
)

// Resolve says what to do with a journal record that has no mark, by what lies
// in the queues, and removes what a crash left of filing it.
//
// Requires: nobody is filing this message.
func (s *Spool) Resolve(id queueid.ID) (Resolution, error) {
	for _, q := range []Queue{Deferred, Hold} {
		whole, err := s.whole(q, id)
		if err != nil {
			return 0, fmt.Errorf("resolve message %s: %w", id, err)
		}
		if whole {
			if err := s.settle(q, id); err != nil {
				return 0, fmt.Errorf("resolve message %s: %w", id, err)
			}
			return AlreadyFiled, nil
		}
	}
	for _, q := range []Queue{Deferred, Hold} {
		if err := s.clear(q, id); err != nil {
			return 0, fmt.Errorf("resolve message %s: %w", id, err)
		}
	}
	return Attempt, nil
}

// whole says whether a message lies in q with all of its content and the first
// lines of its log.
func (s *Spool) whole(q Queue, id queueid.ID) (bool, error) {
	e, err := openMessage(s.fs, messageName(q, id), id)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer e.Close()
	if err := e.Check(); errors.Is(err, ErrDamaged) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return s.logWhole(q, &e.head)
}

// settle makes durable a message in S3. A process that was killed may have left
// it whole in the page cache alone, and the caller's mark must not reach the
// disk before the message has.
func (s *Spool) settle(q Queue, id queueid.ID) error {
	for _, name := range []string{messageName(q, id), logName(q, id)} {
		f, err := s.fs.OpenFile(name, os.O_RDONLY, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Datasync(), f.Close()); err != nil {
			return err
		}
	}
	return s.fs.SyncDir(shardDir(q, id))
}

// clear removes a torn message and its log (S3'), or a lone log (S2).
func (s *Spool) clear(q Queue, id queueid.ID) error {
	message, err := s.exists(messageName(q, id))
	if err != nil {
		return err
	}
	log, err := s.exists(logName(q, id))
	if err != nil || !message && !log {
		return err
	}
	if err := s.remove(messageName(q, id)); err != nil {
		return err
	}
	// A crash here has the next start do the same again.
	if err := s.remove(logName(q, id)); err != nil {
		return err
	}
	return s.fs.SyncDir(shardDir(q, id))
}

// Has tells whether a message lies in a queue, as far as can be said without opening it:
// where the disk can't be asked, it does.
func (s *Spool) Has(q Queue, id queueid.ID) bool {
	has, err := s.exists(messageName(q, id))
	return has || err != nil
}

// LogChanged is when a line was last added to the log of a message.
func (s *Spool) LogChanged(q Queue, id queueid.ID) (time.Time, error) {
	info, err := s.fs.Stat(logName(q, id))
	if err != nil {
		return time.Time{}, fmt.Errorf("look at the log of %s: %w", id, err)
	}
	return info.ModTime, nil
}

// Scan tells the ids in a queue, in no order and in bounded memory. Files that
// are no messages are Sweep's business and passed over. A message that moves
// or goes meanwhile may be told or not.
func (s *Spool) Scan(q Queue) func(yield func(queueid.ID, error) bool) {
	return func(yield func(queueid.ID, error) bool) {
		for shard, err := range s.fs.ReadDir(q.String()) {
			if errors.Is(err, fs.ErrNotExist) {
				return
			}
			if err != nil {
				yield(0, fmt.Errorf("scan %s: %w", q, err))
				return
			}
			if shard.Type != fs.ModeDir {
				continue
			}
			for e, err := range s.fs.ReadDir(q.String() + "/" + shard.Name) {
				if errors.Is(err, fs.ErrNotExist) {
					break
				}
				if err != nil {
					yield(0, fmt.Errorf("scan %s: %w", q, err))
					return
				}
				id, err := queueid.Parse(e.Name)
				if err != nil || e.Type != 0 || id.String() != e.Name || id.Shard() != shard.Name {
					continue
				}
				if !yield(id, nil) {
					return
				}
			}
		}
	}
}

// CorruptName is where Quarantine puts the message, for people; a number is
// added when that is taken.
func CorruptName(q Queue, id queueid.ID) string {
	return corruptDir + "/" + strings.ReplaceAll(messageName(q, id), "/", "-")
}

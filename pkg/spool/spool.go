package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// The errors by which callers decide.
var (
	// ErrDamaged: the file is not what was written.
	ErrDamaged = errors.New("damaged spool file")
	// ErrFull: no room on the disk (blocks or inodes); nothing was left behind.
	ErrFull = errors.New("spool is full")
	// ErrBadLine: a log line that would not be read back as it is.
	ErrBadLine = errors.New("bad log line")
)

// Queue is one of the two places of a message.
type Queue uint8

// The queues.
const (
	Deferred Queue = 1 // qmgr has it tried when it is due
	Hold     Queue = 2 // an administrator or a rule holds it
)

// String is the name of the directory.
func (q Queue) String() string {
	switch q {
	case Deferred:
		return "deferred"
	case Hold:
		return "hold"
	}
	return "unknown"
}

// other is the queue that a message could have been moved from or to.
func (q Queue) other() Queue {
	if q == Deferred {
		return Hold
	}
	return Deferred
}

const (
	incomingDir = "incoming"
	maildropDir = "maildrop"
	corruptDir  = "corrupt"

	logSuffix  = ".log"
	tempSuffix = ".new" // of durable.WriteFile

	filePerm = 0o600
	dirPerm  = 0o700
)

// Spool is the files of one instance. Its methods may be used by several
// goroutines, but by one at a time for one message.
type Spool struct {
	fs durable.FS

	mu    sync.Mutex
	known map[string]bool // directories of shards that are there for certain
}

// New is the spool in the directory that fsys is.
func New(fsys durable.FS) *Spool {
	return &Spool{fs: fsys, known: make(map[string]bool)}
}

// Prepare makes the directories of a spool where they are missing. maildrop's
// owner, group and mode are the installer's.
func Prepare(fsys durable.FS) error {
	for _, dir := range []string{incomingDir, Deferred.String(), Hold.String(), maildropDir, corruptDir} {
		if err := durable.MkdirAll(fsys, dir, dirPerm); err != nil {
			return fmt.Errorf("prepare spool: %w", err)
		}
	}
	return nil
}

func shardDir(q Queue, id queueid.ID) string { return q.String() + "/" + id.Shard() }

func messageName(q Queue, id queueid.ID) string { return shardDir(q, id) + "/" + id.String() }

func logName(q Queue, id queueid.ID) string { return messageName(q, id) + logSuffix }

// ensureShard makes the directory of id in q, durably.
func (s *Spool) ensureShard(q Queue, id queueid.ID) error {
	dir := shardDir(q, id)
	s.mu.Lock()
	known := s.known[dir]
	s.mu.Unlock()
	if known {
		return nil
	}
	if err := durable.MkdirAll(s.fs, dir, dirPerm); err != nil {
		return err
	}
	// It may have been made by a process that was killed before its flush.
	if err := s.fs.SyncDir(q.String()); err != nil {
		return err
	}
	s.mu.Lock()
	s.known[dir] = true
	s.mu.Unlock()
	return nil
}

func (s *Spool) exists(name string) (bool, error) {
	switch _, err := s.fs.Stat(name); {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	default:
		return false, err
	}
}

// remove removes a file; that it is not there is no error.
func (s *Spool) remove(name string) error {
	if err := s.fs.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

package spool

import (
	"fmt"

	"filbert/pkg/queueid"
)

// Move takes a message with its log from one queue to the other, durably. The
// message file is what decides where a message is; the log goes before it, so
// that a message in the new place has its log there too.
//
// Requires: nobody has the message under way.
func (s *Spool) Move(id queueid.ID, from, to Queue) error {
	if err := s.move(id, from, to); err != nil {
		return fmt.Errorf("move message %s from %s to %s: %w", id, from, to, full(err))
	}
	return nil
}

func (s *Spool) move(id queueid.ID, from, to Queue) error {
	if _, err := s.fs.Stat(messageName(from, id)); err != nil {
		return err
	}
	if err := s.ensureShard(to, id); err != nil {
		return err
	}
	hasLog, err := s.exists(logName(from, id))
	if err != nil {
		return err
	}
	if hasLog {
		if err := s.carry(logName(from, id), logName(to, id), id, from, to); err != nil {
			return err
		}
	}
	// A crash here leaves the message in the old place and its log in the
	// new one (S4'): Sweep brings the log back.
	return s.carry(messageName(from, id), messageName(to, id), id, from, to)
}

// carry renames one file between the queues and makes that durable.
func (s *Spool) carry(oldName, newName string, id queueid.ID, from, to Queue) error {
	if err := s.fs.Rename(oldName, newName); err != nil {
		return err
	}
	// A crash here may leave the file under either name or under both.
	// The new name is flushed first: were the old one's removal made durable
	// before, the file could be left under none.
	if err := s.fs.SyncDir(shardDir(to, id)); err != nil {
		return err
	}
	return s.fs.SyncDir(shardDir(from, id))
}

// Quarantine moves a message that can't be understood, and its log, to corrupt/.
// What is there under the same name already is kept as well.
func (s *Spool) Quarantine(q Queue, id queueid.ID) error {
	for _, name := range []string{messageName(q, id), logName(q, id)} {
		if err := s.quarantineFile(name); err != nil {
			return fmt.Errorf("quarantine message %s: %w", id, err)
		}
	}
	if err := s.fs.SyncDir(shardDir(q, id)); err != nil {
		return fmt.Errorf("quarantine message %s: %w", id, err)
	}
	return nil
}

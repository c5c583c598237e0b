package spool

import (
	"errors"
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

// carry takes one file to the other queue, durably. Not by one rename: the file
// systems that journal names make that atomic, but where another process flushes
// the old directory at the same time nothing but that promise would keep the
// file from being left under neither name. Two names at a time need no promise.
func (s *Spool) carry(oldName, newName string, id queueid.ID, from, to Queue) error {
	if err := s.fs.Link(oldName, newName); err != nil {
		return err
	}
	// A crash here leaves the file under its old name, or under both (S4').
	if err := s.fs.SyncDir(shardDir(to, id)); err != nil {
		return errors.Join(err, s.remove(newName)) // it stays where it was
	}
	if err := s.fs.Remove(oldName); err != nil {
		return err
	}
	// A crash here may bring the old name back: again both (S4').
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

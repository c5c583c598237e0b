package spool

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// Finish ends a message without a flush: S6'. Its file takes the place of its log, in
// one step, so that there is never a message whose log is gone. To every later Log it
// says "finished". A killed process leaves it so; a power cut within the
// next moment may bring back the message and its log as they were flushed last.
// Reap removes what is left.
//
// Requires: the mark of the message's journal record is on stable storage.
func (s *Spool) Finish(q Queue, id queueid.ID) error {
	if err := s.fs.Rename(messageName(q, id), logName(q, id)); err != nil {
		return fmt.Errorf("finish message %s in %s: %w", id, q, err)
	}
	return nil
}

// Reap removes what Finish has left of these messages, with one flush for each
// directory: before that a removal could reach the disk alone, and the message would
// look like one that was never attempted. What it could not remove Sweep will.
func (s *Spool) Reap(q Queue, ids []queueid.ID) error {
	byDir := make(map[string][]queueid.ID)
	for _, id := range ids {
		byDir[shardDir(q, id)] = append(byDir[shardDir(q, id)], id)
	}
	var errs []error
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		if err := s.fs.SyncDir(dir); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, id := range byDir[dir] {
			errs = append(errs, s.remove(logName(q, id)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove what is finished in %s: %w", q, err)
	}
	return nil
}

// isMessage tells whether what should be a log is the file of a finished message.
func isMessage(f durable.File) (bool, error) {
	var b [len(messageMagic)]byte
	if _, err := f.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return string(b[:]) == messageMagic, nil
}

package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// File puts a message and the first lines of its log into a queue, durably. When
// it returns nil the caller marks the journal's record done; after an error
// nothing is left, and the record goes on to own the message. ErrFull: no room.
//
// Requires: no message of that id is in either queue.
func (s *Spool) File(q Queue, m *Message) error {
	if err := s.file(q, m); err != nil {
		return fmt.Errorf("file message %s in %s: %w", m.ID, q, full(err))
	}
	return nil
}

func (s *Spool) file(q Queue, m *Message) error {
	if m.ID.IsZero() || len(m.Envelope) > MaxEnvelope {
		return errors.New("no id, or an envelope that is too long")
	}
	lines, err := encodeLines(nil, m.Log)
	if err != nil {
		return err
	}
	if err := s.ensureShard(q, m.ID); err != nil {
		return err
	}
	made, err := s.writeBoth(q, m, lines)
	if err == nil {
		// A crash here leaves any of: nothing, a lone log, a torn or whole
		// message with or without its log. The header tells them apart
		// (S2, S3', S3).
		err = s.fs.SyncDir(shardDir(q, m.ID))
	}
	if err == nil {
		return nil
	}
	for _, name := range made {
		err = errors.Join(err, s.remove(name))
	}
	// The removal is flushed, so that these names can't come back after the
	// message was dealt with in another way.
	return errors.Join(err, s.fs.SyncDir(shardDir(q, m.ID)))
}

// writeBoth writes the log and the message, and says which files it made.
func (s *Spool) writeBoth(q Queue, m *Message, lines []byte) (made []string, err error) {
	name, logFile := messageName(q, m.ID), logName(q, m.ID)
	if err := writeNew(s.fs, logFile, filePerm, func(f durable.File) error { return writeAll(f, lines) }); err != nil {
		return nil, err
	}
	// A crash here leaves a lone log: S2 still.
	if err := writeNew(s.fs, name, filePerm, func(f durable.File) error { return m.write(f, lines) }); err != nil {
		return []string{logFile}, err
	}
	return []string{name, logFile}, nil
}

// writeNew makes a file that was not there, has it written, and flushes it. After
// an error it is gone again.
func writeNew(fsys durable.FS, name string, perm fs.FileMode, write func(durable.File) error) error {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Datasync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, fsys.Remove(name))
	}
	return nil
}

func writeAll(f durable.File, b []byte) error {
	_, err := f.Write(b)
	return err
}

// write writes all of the message. The header goes last, as it states what the
// content's checksum is.
func (m *Message) write(f durable.File, lines []byte) error {
	h := header{
		id:          m.ID,
		envelope:    uint32(len(m.Envelope)),
		envelopeCRC: crc32.Checksum(m.Envelope, castagnoli),
		logLength:   uint32(len(lines)),
		logCRC:      crc32.Checksum(lines, castagnoli),
	}
	if err := writeAll(f, make([]byte, messageHeader)); err != nil {
		return err
	}
	if err := writeAll(f, m.Envelope); err != nil {
		return err
	}
	if err := writeAll(f, m.Content); err != nil {
		return err
	}
	h.contentCRC = crc32.Checksum(m.Content, castagnoli)
	h.content = int64(len(m.Content))
	if m.Body != nil {
		// Not io.Copy to f: the checksum needs to see the bytes.
		sum := &summing{to: f, crc: h.contentCRC}
		n, err := io.CopyBuffer(sum, io.NewSectionReader(m.Body, 0, m.Body.Size()), make([]byte, 128<<10))
		if err != nil {
			return err
		}
		if n != m.Body.Size() {
			return fmt.Errorf("body has %d bytes instead of %d: %w", n, m.Body.Size(), io.ErrUnexpectedEOF)
		}
		h.contentCRC = sum.crc
		h.content += n
	}
	_, err := f.WriteAt(h.encode(), 0)
	return err
}

// summing is a writer that sums up what passes.
type summing struct {
	to  io.Writer
	crc uint32
}

func (s *summing) Write(p []byte) (int, error) {
	n, err := s.to.Write(p)
	s.crc = crc32.Update(s.crc, castagnoli, p[:n])
	return n, err
}

// full turns "no room" of the operating system into ErrFull.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// Remove ends a message: S6. Its log says "finished" first, so that a crash in
// between has nobody attempt it again. A caller that appended the Finished line
// together with the last outcomes saves a flush.
//
// Requires: the mark of the message's journal record is on stable storage.
func (s *Spool) Remove(q Queue, id queueid.ID, now time.Time) error {
	if err := s.removeMessage(q, id, now); err != nil {
		return fmt.Errorf("remove message %s from %s: %w", id, q, err)
	}
	return nil
}

func (s *Spool) removeMessage(q Queue, id queueid.ID, now time.Time) error {
	done, err := s.finished(q, id)
	if err != nil {
		return err
	}
	if !done {
		last := []LogLine{{Time: now, Verb: Finished, Recipient: WholeMessage}}
		// A full disk must not keep what would make room. A crash then leaves the
		// message as it was, or a lone log that is set aside.
		if err := s.AppendLog(q, id, last); err != nil && !errors.Is(err, ErrFull) {
			return err
		}
	}
	if err := s.remove(messageName(q, id)); err != nil {
		return err
	}
	// A crash here leaves a finished message, with its file or without.
	// The log must not go before the message is gone for certain: without it
	// the message would look like one that was never attempted.
	if err := s.fs.SyncDir(shardDir(q, id)); err != nil {
		return err
	}
	// Nobody waits for this: a log that comes back is removed by Sweep.
	return s.remove(logName(q, id))
}

package spool

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"os"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// maxLog bounds what is read of a log when it has to be written anew.
const maxLog = 256 << 20

func encodeLines(b []byte, lines []LogLine) ([]byte, error) {
	var err error
	for i := range lines {
		if b, err = appendLine(b, &lines[i]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// AppendLog adds lines to the log of a message, durably: what it returned nil
// for is never forgotten. After an error the lines may be there or not; ErrFull
// leaves none.
func (s *Spool) AppendLog(q Queue, id queueid.ID, lines []LogLine) error {
	if err := s.appendLog(q, id, lines); err != nil {
		return fmt.Errorf("append to log of %s: %w", id, full(err))
	}
	return nil
}

// JotLog is AppendLog without the flush: the lines are in the page cache when it
// returns, which outlives a killed process and not a power cut. The next AppendLog
// to the same log makes them durable, too.
func (s *Spool) JotLog(q Queue, id queueid.ID, lines []LogLine) error {
	f, err := s.fs.OpenFile(logName(q, id), os.O_RDWR|os.O_APPEND, 0)
	if err == nil {
		err = errors.Join(appendLines(f, lines), f.Close())
	}
	if err != nil {
		return fmt.Errorf("jot into log of %s: %w", id, full(err))
	}
	return nil
}

func (s *Spool) appendLog(q Queue, id queueid.ID, lines []LogLine) error {
	name := logName(q, id)
	f, err := s.fs.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		// Lost by damage, as Sweep reported. From here on there is one again.
		b, err := encodeLines(nil, lines)
		if err != nil {
			return err
		}
		return durable.WriteFile(s.fs, name, filePerm, b)
	}
	if err != nil {
		return err
	}
	flushed, err := appendTo(f, lines)
	err = errors.Join(err, f.Close())
	if err == nil || flushed {
		return err
	}
	if errors.Is(err, errFlush) {
		// This file can't be relied on any more; its bytes are still in
		// memory, and a fresh file with them can.
		b, readErr := durable.ReadFile(s.fs, name, maxLog)
		if readErr != nil {
			return errors.Join(err, readErr)
		}
		return durable.WriteFile(s.fs, name, filePerm, b)
	}
	return err
}

var errFlush = errors.New("flush failed")

// appendTo writes the lines with one write and one flush.
func appendTo(f durable.File, lines []LogLine) (flushed bool, err error) {
	if err := appendLines(f, lines); err != nil {
		return false, err
	}
	if err := f.Datasync(); err != nil {
		return false, fmt.Errorf("%w: %w", errFlush, err)
	}
	return true, nil
}

// appendLines writes the lines with one write.
func appendLines(f durable.File, lines []LogLine) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	var b []byte
	if size > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			// A crash tore the line before: it ends here and is refused.
			b = append(b, '\n')
		}
	}
	if b, err = encodeLines(b, lines); err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Truncate(size))
	}
	return nil
}

// Log reads the log of a message. A line that was torn by a crash or damaged
// comes as an error that wraps ErrBadLine, and the walk goes on behind it; after
// any other error it ends.
func (s *Spool) Log(q Queue, id queueid.ID) iter.Seq2[LogLine, error] {
	return func(yield func(LogLine, error) bool) {
		f, err := s.fs.OpenFile(logName(q, id), os.O_RDONLY, 0)
		if err != nil {
			yield(LogLine{}, fmt.Errorf("read log of %s: %w", id, err))
			return
		}
		defer f.Close()
		size, err := f.Size()
		ended := false
		if err == nil {
			ended, err = isMessage(f)
		}
		if err != nil {
			yield(LogLine{}, fmt.Errorf("read log of %s: %w", id, err))
			return
		}
		if ended { // S6': see Finish
			yield(LogLine{Verb: Finished, Recipient: WholeMessage}, nil)
			return
		}
		for l, err := range readLines(io.NewSectionReader(f, 0, size), size) {
			if err != nil {
				err = fmt.Errorf("read log of %s: %w", id, err)
			}
			if !yield(l, err) || err != nil && !errors.Is(err, ErrBadLine) {
				return
			}
		}
	}
}

// MayHave tells whether the log of a message could have a line with this verb, without
// reading the lines: false is certain, true is not.
func (s *Spool) MayHave(q Queue, id queueid.ID, verb Verb) bool {
	f, err := s.fs.OpenFile(logName(q, id), os.O_RDONLY, 0)
	if err != nil {
		return true
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size > maxLine {
		return true
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	return err != nil && !errors.Is(err, io.EOF) || bytes.Contains(b[:n], []byte(" "+string(verb)+" "))
}

// readLines reads size bytes line by line, in bounded memory. Most logs are a few lines,
// and a walk reads a million of them: the buffer is no larger than the log.
func readLines(r io.Reader, size int64) iter.Seq2[LogLine, error] {
	return func(yield func(LogLine, error) bool) {
		br := bufio.NewReaderSize(r, int(min(size, maxLine)))
		var scratch []byte
		for n := 1; ; n++ {
			text, err := br.ReadSlice('\n')
			if len(text) == 0 && err != nil {
				if err != io.EOF {
					yield(LogLine{}, err)
				}
				return
			}
			long := false
			for err == bufio.ErrBufferFull {
				long = true
				_, err = br.ReadSlice('\n')
			}
			if err != nil && err != io.EOF {
				yield(LogLine{}, err)
				return
			}
			var l LogLine
			if whole := !long && err == nil; whole {
				l, err = parseLine(string(text[:len(text)-1]), &scratch)
			} else {
				err = fmt.Errorf("torn: %w", ErrBadLine)
			}
			if err != nil {
				err = fmt.Errorf("line %d: %w", n, err)
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

// finished says whether the log of a message has a good line that says so.
func (s *Spool) finished(q Queue, id queueid.ID) (bool, error) {
	for l, err := range s.Log(q, id) {
		switch {
		case err == nil:
			if l.Verb == Finished {
				return true, nil
			}
		case errors.Is(err, fs.ErrNotExist):
			return false, nil
		case !errors.Is(err, ErrBadLine):
			return false, err
		}
	}
	return false, nil
}

// logWhole says whether the log begins with the lines that it was filed with.
func (s *Spool) logWhole(q Queue, h *header) (bool, error) {
	f, err := s.fs.OpenFile(logName(q, h.id), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size < int64(h.logLength) {
		return false, err
	}
	b := make([]byte, h.logLength)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return crc32.Checksum(b, castagnoli) == h.logCRC && (len(b) == 0 || bytes.HasSuffix(b, []byte("\n"))), nil
}

package localdeliver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
)

// mboxAppend appends to the mbox at path.
func (w *worker) mboxAppend(ctx context.Context, d *delivery, base, path string) outcome.Outcome {
	// One bound for all that is waited for: those behind a locked mailbox give
	// up with the first, so that it cannot hold all places of a process.
	ctx, cancel := context.WithTimeout(ctx, w.lockWait)
	defer cancel()
	done, err := w.mailboxes.take(ctx, path)
	if err != nil {
		return *fileOutcome("wait for the mailbox "+path, err)
	}
	defer done()
	dir, err := openDir(base, parentOf(path))
	if err != nil {
		return *fileOutcome("open the directory of "+path, err)
	}
	defer dir.Close()
	if o := w.appendLocked(ctx, d, dir, path); o != nil {
		return *o
	}
	return delivered("delivered to the mailbox")
}

// appendLocked takes both locks, dot lock first as most programs do, and appends
// where there is room.
func (w *worker) appendLocked(ctx context.Context, d *delivery, dir *durable.Dir, path string) *outcome.Outcome {
	name, doing := filepath.Base(path), "append to the mailbox "+path
	unlock, err := w.dotLock(ctx, dir, name)
	if err != nil {
		return d.writeOutcome(doing, err, unknown, w.now())
	}
	defer unlock()
	f, err := w.openMbox(ctx, dir, name)
	if err != nil {
		return d.writeOutcome(doing, err, unknown, w.now())
	}
	defer f.Close()
	if ctx.Err() != nil {
		return fileOutcome(doing, errLocked) // too late, or whoever asked has gone and asks another
	}
	now, l := w.now(), limitsOfMailbox(d.t)
	read := func() time.Time { return mboxRead(f.OS()) }
	size, err := f.Size()
	if err != nil {
		return fileOutcome(doing, err)
	}
	if o := d.refuses(l, usage{bytes: size}, read, now); o != nil {
		return o
	}
	if err := appendMessage(f, fromLine(d.Job.Sender), d.text.writeTo, now); err != nil {
		return d.writeOutcome(doing, err, read, now)
	}
	if l.any() && d.Job.Recipient.Kind == envelope.TargetAddress {
		d.warnMbox(f, dir, warnedBeside(name), l, now)
	}
	return nil
}

// unknown is when a mailbox was last read that could not be opened.
func unknown() time.Time { return time.Time{} }

// warnMbox appends a warning where it is time. The mailbox is locked.
func (d *delivery) warnMbox(f durable.File, dir *durable.Dir, state string, l limits, now time.Time) {
	size, err := f.Size()
	u := usage{bytes: size}
	if err != nil || !l.warns(u) || !warningDue(dir, state, d.t.WarnEvery.D(), now) || !claimWarning(dir, state, now) {
		return
	}
	_ = appendMessage(f, "MAILER-DAEMON", d.warning(l, u, now).writeTo, now) // a warning that can't be written is none
}

// openMbox opens the mailbox and locks it. Another program may have replaced
// the file while we waited for its lock: then the lock is on the old one, and we
// begin again.
func (w *worker) openMbox(ctx context.Context, dir *durable.Dir, name string) (durable.File, error) {
	for {
		f, err := openOrCreate(dir, name)
		if err != nil {
			return nil, err
		}
		info, err := checkMailboxFile(f.OS())
		if err == nil {
			err = w.fcntlLock(ctx, f.OS())
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		same, err := stillNamed(dir, name, info)
		if err == nil && same {
			return f, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, errLocked
		}
	}
}

// openOrCreate never follows a symbolic link (durable.FS) and never blocks on a
// fifo.
func openOrCreate(dir *durable.Dir, name string) (durable.File, error) {
	// What we read of it is no reading by its user.
	f, err := dir.OpenFile(name, os.O_RDWR|os.O_APPEND|syscall.O_NOATIME, 0)
	if errors.Is(err, syscall.EPERM) {
		// It is not ours, which is told by who checks it.
		f, err = dir.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	f, err = dir.OpenFile(name, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return dir.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
	}
	if err != nil {
		return nil, err
	}
	// Its name must survive a power cut before we say "delivered".
	if err := dir.SyncDir("."); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// stillNamed tells whether name is still the file that was opened.
func stillNamed(dir *durable.Dir, name string, opened fs.FileInfo) (bool, error) {
	f, err := dir.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	now, err := f.OS().Stat()
	return err == nil && os.SameFile(opened, now), err
}

// appendMessage writes one message at the end and takes it back when that
// fails: half a message would run into the next one.
func appendMessage(f durable.File, from string, write func(io.Writer, lineHook) error, now time.Time) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	gap, err := separator(f, size)
	if err != nil {
		return err
	}
	tail := &tailWriter{w: f}
	_, err = fmt.Fprintf(tail, "%sFrom %s %s\n", gap, from, now.UTC().Format(time.ANSIC))
	if err == nil {
		err = write(tail, quoteFrom)
	}
	if err == nil {
		// One empty line ends a message.
		_, err = io.WriteString(tail, tail.missing())
	}
	if err == nil {
		err = f.Datasync()
	}
	if err == nil {
		return nil
	}
	if terr := f.Truncate(size); terr != nil {
		return fmt.Errorf("%w; and taking the unfinished message back: %w", err, terr)
	}
	return err
}

// separator is what the mailbox lacks at its end for a message to begin: a
// power cut or another program may have left an unfinished line.
func separator(f durable.File, size int64) (string, error) {
	if size == 0 {
		return "", nil
	}
	end := make([]byte, min(size, 2))
	if _, err := f.ReadAt(end, size-int64(len(end))); err != nil {
		return "", fmt.Errorf("read the end of the mailbox: %w", err)
	}
	return missingNewlines(end), nil
}

func missingNewlines(end []byte) string {
	switch {
	case bytes.HasSuffix(end, []byte("\n\n")):
		return ""
	case bytes.HasSuffix(end, []byte("\n")):
		return "\n"
	}
	return "\n\n"
}

// quoteFrom puts a ">" in front of what a reader would take for the beginning of
// a message, and of what was quoted so before, so that it can be taken back.
func quoteFrom(w *bufio.Writer, line []byte) {
	if bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
		_ = w.WriteByte('>') // the writer keeps its error for the next call
	}
}

// tailWriter remembers the last two bytes written.
type tailWriter struct {
	w    io.Writer
	last []byte
}

func (t *tailWriter) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.last = append(t.last, p[max(0, n-2):n]...)
	t.last = t.last[max(0, len(t.last)-2):]
	return n, err
}

func (t *tailWriter) missing() string { return missingNewlines(t.last) }

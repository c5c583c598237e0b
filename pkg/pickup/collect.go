package pickup

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"filbert/pkg/durable"
	"filbert/pkg/message"
)

const (
	// memoryMax is how much of a message lies in memory; its header has to be
	// within. The rest goes to a file without a name in maildrop/, where the
	// message may have to be left anyway.
	memoryMax = 1 << 20

	// maxMessage bounds what one caller can put on the disk before cleanup says
	// what the site allows.
	maxMessage = 1 << 30

	// reserve is what is left free for the suite's own work (spool.reserve by
	// default). spaceCheck is how often it is looked at.
	reserve    = 64 << 20
	spaceCheck = 8 << 20

	readSize = 64 << 10
)

// content is the text of one message: head, then what lies in the file. It is an
// io.ReaderAt over both.
type content struct {
	head []byte
	file durable.File // nil while all of it is in memory
	tail int64        // bytes in file

	// open makes the file.
	open func() (durable.File, error)
	room func() error
	next int64 // where room is asked again
}

// size is the length of all of it.
func (c *content) size() int64 { return int64(len(c.head)) + c.tail }

// close gives the file back, and with it the disk's space.
func (c *content) close() {
	if c.file != nil {
		_ = c.file.Close()
		c.file = nil
	}
}

// section is all of it, to be read.
func (c *content) section() *io.SectionReader { return io.NewSectionReader(c, 0, c.size()) }

// ReadAt implements io.ReaderAt.
func (c *content) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(c.head)) {
		n = copy(p, c.head[off:])
	}
	if n == len(p) {
		return n, nil
	}
	if c.file == nil {
		return n, io.EOF
	}
	m, err := c.file.ReadAt(p[n:], off+int64(n)-int64(len(c.head)))
	return n + m, err
}

// append adds text at the end.
func (c *content) append(p []byte) error {
	if c.size()+int64(len(p)) > maxMessage {
		return fail(exDataErr, "message is larger than %d bytes", maxMessage)
	}
	if n := min(memoryMax-len(c.head), len(p)); c.file == nil && n > 0 {
		c.head = append(c.head, p[:n]...)
		p = p[n:]
	}
	if len(p) == 0 {
		return nil
	}
	return c.spill(p)
}

// spill writes what does not fit in memory.
func (c *content) spill(p []byte) error {
	if c.file == nil {
		f, err := c.open()
		if err != nil {
			return noRoom("make a file for a large message", err)
		}
		c.file = f
	}
	if c.tail >= c.next {
		if err := c.room(); err != nil {
			return noRoom("keep a large message", err)
		}
		c.next = c.tail + spaceCheck
	}
	n, err := c.file.Write(p)
	c.tail += int64(n)
	if err != nil {
		return noRoom("write a large message", err)
	}
	return nil
}

// noRoom is for what may be gone the next time: a full disk, a quota, the
// caller's own limit on files.
func noRoom(doing string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fail(exTempFail, "%s: no room on the mail system's disk", doing)
	case errors.Is(err, syscall.EFBIG):
		return fail(exTempFail, "%s: larger than your limit on files (ulimit -f)", doing)
	case errors.Is(err, os.ErrPermission):
		return fail(exTempFail, "%s: not permitted; is pickup set-group-id? See \"mtactl check\"", doing)
	}
	return fail(exTempFail, "%s: %v", doing, err)
}

// collect reads a message from a local program, to its end or to the dot, and
// makes CRLF text of it. It has no deadline: a job's output may take all night.
func (c *content) collect(in io.Reader, mode message.DotMode) error {
	norm := message.NewNormalizeLocal(mode)
	buf, out := make([]byte, readSize), make([]byte, 0, 2*readSize)
	for !norm.Ended() {
		n, err := in.Read(buf)
		out = norm.Append(out[:0], buf[:n])
		if werr := c.append(out); werr != nil {
			return werr
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			// Half a message is none.
			return fail(exIOErr, "read the message: %v", err)
		}
	}
	return c.append(norm.Finish(out[:0]))
}

// newContent is an empty message whose rest, if it grows large, will lie in
// maildrop/ of the spool.
func (p *pickup) newContent() *content {
	return &content{
		open: func() (f durable.File, err error) {
			// One step, so that no signal leaves a name behind.
			err = p.stop.during(func() error { f, err = p.nameless(); return err })
			return f, err
		},
		room: func() error { return p.room(0) },
	}
}

// nameless makes a file that is gone when it is closed.
func (p *pickup) nameless() (durable.File, error) {
	dir, err := durable.Open(p.site.inst.Spool)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	name := maildrop + "/" + rand.Text() + unfinished
	f, err := dir.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	// A crash here leaves an empty unfinished file for the drain to remove.
	if err := dir.Remove(name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// room tells whether n more bytes leave the suite's reserve alone.
func (p *pickup) room(n int64) error {
	dir, err := durable.Open(p.site.inst.Spool)
	if err != nil {
		return err
	}
	defer dir.Close()
	space, err := dir.Statfs()
	if err != nil {
		return err
	}
	if space.FreeBytes-n < reserve || space.FreeInodes < 1 {
		return fmt.Errorf("%d bytes are free: %w", space.FreeBytes, syscall.ENOSPC)
	}
	return nil
}

package cleanup

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"filbert/pkg/journal"
	"filbert/pkg/message"
	"filbert/pkg/proto"
)

var (
	errNoPipe    = errors.New("a submission without content or a pipe for it")
	errChunkSize = errors.New("a chunk is longer than it may be")
	errOverLimit = errors.New("the message is longer than it may be")
	// errNobodyWaits: the submitter is gone, or cleanup ends.
	errNobodyWaits = errors.New("nobody waits for the answer")
)

// pipeDeadline bounds the wait for each chunk of a submitter that has its own,
// shorter deadlines for its client.
const pipeDeadline = 15 * time.Minute

// takeLarge reads a message from its pipe into a file of its own. The header
// comes first and is held in memory; the rest passes through.
func (c *Cleanup) takeLarge(ctx context.Context, s *submission, pipe *os.File) {
	chunks := &chunkReader{pipe: pipe}
	defer context.AfterFunc(ctx, chunks.giveUp)()
	in := bufio.NewReaderSize(chunks, 64<<10)
	head, r := c.readHeader(in)
	if r == nil {
		r = c.storeLarge(s, head, in)
	}
	switch {
	case chunks.err != nil && !errors.Is(chunks.err, io.EOF):
		// The submitter gave up or broke off: it has told its client itself, and
		// whatever was wrong with half a message is no reason to log.
		c.discard(s)
		s.call.Refuse(chunks.err)
	case r != nil:
		// Let the submitter finish writing, or it would wait for a reader.
		_, _ = io.Copy(io.Discard, in)
		c.refuse(s, r)
	default:
		c.accept(s)
	}
}

// readHeader takes the front of the message up to and with the empty line, or
// all of it when there is none.
func (c *Cleanup) readHeader(in *bufio.Reader) ([]byte, *refusal) {
	limit := int(c.settings.Load().Limits.HeaderSize)
	var head []byte
	atLineStart := true
	for {
		piece, err := in.ReadSlice('\n')
		head = append(head, piece...)
		if len(head) > limit+2 {
			return nil, permanent(552, 3, 4, "Message header too large")
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			atLineStart = false
			continue
		}
		if err != nil || (atLineStart && string(piece) == "\r\n") {
			return head, nil // the end of the text, or an error that chunks remembers
		}
		atLineStart = true
	}
}

func (c *Cleanup) storeLarge(s *submission, head []byte, in io.Reader) *refusal {
	h, r := c.checkHeader(s.env, head)
	if r != nil {
		return r
	}
	s.noteMessageID(h)
	add, r := c.rewriteAdded(s, c.complete(s.env, h, s.fill))
	if r != nil {
		return r
	}
	if head, r = c.rewriteHeader(s, h, head); r != nil {
		return r
	}
	var err error
	if s.file, err = c.journal.CreateLarge(s.env.ID); err != nil {
		return c.noRoom("make a file for a large message", err)
	}
	var seen message.CheckContent
	_, _ = seen.Write(head)
	if _, err := s.file.Write(append(add, head...)); err != nil {
		return c.noRoom("write a large message", err)
	}
	w := &tee{file: s.file, seen: &seen, limit: c.settings.Load().Limits.MessageSize.Bytes()}
	if _, err := io.CopyBuffer(w, in, make([]byte, 64<<10)); err != nil && w.err != nil {
		return c.noRoom("write a large message", w.err)
	}
	if r := c.checkContent(s.env, &seen); r != nil {
		return r
	}
	s.size = int64(len(add)) + seen.Size()
	return nil
}

// tee passes content to the file and to the checks, and remembers which of
// the two ends of a copy failed. What is over the limit is seen and not written.
type tee struct {
	file  *journal.LargeFile
	seen  *message.CheckContent
	limit int64
	err   error
}

func (t *tee) Write(p []byte) (int, error) {
	if _, _ = t.seen.Write(p); t.seen.Size() > t.limit {
		return 0, errOverLimit
	}
	n, err := t.file.Write(p)
	t.err = err
	return n, err
}

// chunkReader reads the chunks of proto.Submission's pipe. Its end of file is
// the mark that the submitter was done; anything else is an error.
type chunkReader struct {
	pipe *os.File
	left uint32
	err  error
	over atomic.Bool // nobody waits for the answer any more
}

// giveUp ends the reading, also from another goroutine.
func (r *chunkReader) giveUp() {
	r.over.Store(true)
	_ = r.pipe.SetReadDeadline(time.Unix(1, 0))
}

func (r *chunkReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.read(p)
	r.err = err
	return n, err
}

func (r *chunkReader) read(p []byte) (int, error) {
	// A pipe that takes no deadline (EINVAL on odd descriptors) still ends when
	// its writer does.
	_ = r.pipe.SetReadDeadline(time.Now().Add(pipeDeadline))
	if r.over.Load() {
		return 0, errNobodyWaits
	}
	if r.left == 0 {
		var head [4]byte
		if _, err := io.ReadFull(r.pipe, head[:]); err != nil {
			return 0, fmt.Errorf("read a message: %w", noEOF(err))
		}
		r.left = binary.BigEndian.Uint32(head[:])
		if r.left == 0 {
			return 0, io.EOF
		}
		if r.left > proto.ChunkMax {
			return 0, errChunkSize
		}
	}
	if uint32(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.pipe.Read(p)
	r.left -= uint32(n)
	if err != nil {
		return n, fmt.Errorf("read a message: %w", noEOF(err))
	}
	return n, nil
}

// noEOF: the end of the pipe without the mark means that the submitter died or
// gave up; it must never look like the end of the message.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

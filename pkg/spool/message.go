package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"syscall"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

const (
	messageMagic  = "FILBMSG1"
	messageHeader = 64
	// MaxEnvelope bounds the envelope of one message: that of a message with
	// the greatest number of recipients.
	MaxEnvelope = 64 << 20
	// MaxContent bounds the content that a file may state.
	MaxContent = 1 << 40
)

// header is the beginning of a message file.
type header struct {
	id          queueid.ID
	content     int64
	envelope    uint32
	envelopeCRC uint32
	contentCRC  uint32
	logLength   uint32
	logCRC      uint32
}

func (h *header) encode() []byte {
	b := make([]byte, messageHeader)
	copy(b, messageMagic)
	binary.BigEndian.PutUint64(b[8:], uint64(h.id))
	binary.BigEndian.PutUint64(b[16:], uint64(h.content))
	binary.BigEndian.PutUint32(b[24:], h.envelope)
	binary.BigEndian.PutUint32(b[28:], h.envelopeCRC)
	binary.BigEndian.PutUint32(b[32:], h.contentCRC)
	binary.BigEndian.PutUint32(b[36:], h.logLength)
	binary.BigEndian.PutUint32(b[40:], h.logCRC)
	binary.BigEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// decodeHeader reads the beginning of a file that is size bytes long.
func decodeHeader(b []byte, id queueid.ID, size int64) (header, error) {
	if len(b) < messageHeader || string(b[:8]) != messageMagic ||
		binary.BigEndian.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return header{}, fmt.Errorf("no header: %w", ErrDamaged)
	}
	content := binary.BigEndian.Uint64(b[16:])
	h := header{
		id:          queueid.ID(binary.BigEndian.Uint64(b[8:])),
		content:     int64(content),
		envelope:    binary.BigEndian.Uint32(b[24:]),
		envelopeCRC: binary.BigEndian.Uint32(b[28:]),
		contentCRC:  binary.BigEndian.Uint32(b[32:]),
		logLength:   binary.BigEndian.Uint32(b[36:]),
		logCRC:      binary.BigEndian.Uint32(b[40:]),
	}
	switch {
	case h.id != id:
		return header{}, fmt.Errorf("message %s under another name: %w", h.id, ErrDamaged)
	case content > MaxContent || h.envelope > MaxEnvelope:
		return header{}, fmt.Errorf("impossible lengths: %w", ErrDamaged)
	case size != messageHeader+int64(h.envelope)+h.content:
		return header{}, fmt.Errorf("%d bytes are not all: %w", size, ErrDamaged)
	}
	return h, nil
}

// Message is what File writes.
type Message struct {
	ID       queueid.ID
	Envelope []byte
	// The content is Content followed by Body (nil: nothing). Use Body for
	// what lies in a file.
	Content []byte
	Body    *io.SectionReader
	// Log is the first lines of the log.
	Log []LogLine
}

// Entry is an open message file. Its content was not read: see Check.
type Entry struct {
	ID       queueid.ID
	Queue    Queue
	Envelope []byte
	// The content is ContentSize bytes at ContentOffset of the file, for who
	// passes the descriptor on.
	ContentOffset int64
	ContentSize   int64

	file durable.File
	head header
}

// Open opens the message id in a queue and reads its envelope. The error wraps
// fs.ErrNotExist when it is not there, ErrDamaged when it is not whole as far
// as can be said without reading the content.
func (s *Spool) Open(q Queue, id queueid.ID) (*Entry, error) {
	e, err := openMessage(s.fs, messageName(q, id), id)
	if err != nil {
		return nil, fmt.Errorf("open message %s in %s: %w", id, q, err)
	}
	e.Queue = q
	return e, nil
}

func openMessage(fsys durable.FS, name string, id queueid.ID) (*Entry, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	e := &Entry{ID: id, file: f}
	if err := e.load(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return e, nil
}

// load reads and checks all before the content.
func (e *Entry) load() error {
	size, err := e.file.Size()
	if err != nil {
		return err
	}
	b := make([]byte, messageHeader)
	if n, err := e.file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	} else if n < messageHeader {
		return fmt.Errorf("%d bytes: %w", n, ErrDamaged)
	}
	if e.head, err = decodeHeader(b, e.ID, size); err != nil {
		return err
	}
	e.Envelope = make([]byte, e.head.envelope)
	if _, err := e.file.ReadAt(e.Envelope, messageHeader); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if crc32.Checksum(e.Envelope, castagnoli) != e.head.envelopeCRC {
		return fmt.Errorf("envelope: %w", ErrDamaged)
	}
	e.ContentOffset = messageHeader + int64(e.head.envelope)
	e.ContentSize = e.head.content
	return nil
}

// Content reads the content. Each call is a reader of its own.
func (e *Entry) Content() *io.SectionReader {
	return io.NewSectionReader(e.file, e.ContentOffset, e.ContentSize)
}

// OS is the file to pass on, read-only; nil on a file system of tests. It is
// closed with the Entry.
func (e *Entry) OS() *os.File { return e.file.OS() }

// Owner is the user who owns the file, as the kernel says it of the descriptor.
func (e *Entry) Owner() (uid uint32, err error) {
	f := e.file.OS()
	if f == nil {
		return 0, fmt.Errorf("owner of message %s: %w", e.ID, errors.ErrUnsupported)
	}
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("owner of message %s: %w", e.ID, err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("owner of message %s: %w", e.ID, errors.ErrUnsupported)
	}
	return st.Uid, nil
}

// Check reads all of the content and compares its checksum.
func (e *Entry) Check() error {
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, e.Content()); err != nil {
		return fmt.Errorf("check message %s: %w", e.ID, err)
	}
	if sum.Sum32() != e.head.contentCRC {
		return fmt.Errorf("check message %s: content: %w", e.ID, ErrDamaged)
	}
	return nil
}

// Close closes the file.
func (e *Entry) Close() error { return e.file.Close() }

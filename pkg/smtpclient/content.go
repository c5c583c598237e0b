package smtpclient

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"filbert/pkg/message"
	"filbert/pkg/proto"
)

var (
	// errContent is wrapped by errors of reading our own copy of the message.
	errContent     = errors.New("the message cannot be read")
	errBareNewline = errors.New("content has a bare CR or LF")
	errConvertible = errors.New("message can be converted")
)

// content is a job's message text: in memory, or a part of an open file, with
// a changed header in front.
type content struct {
	inline []byte
	head   []byte // goes before what the file has
	file   *os.File
	offset int64
	size   int64 // of all
}

func contentOf(c *proto.Content, files []*os.File) (content, error) {
	switch {
	case !c.InFile() && len(files) == 0:
		return content{inline: c.Inline, size: int64(len(c.Inline))}, nil
	case c.InFile() && len(files) == 1:
		return content{file: files[0], offset: c.Offset, size: c.Size}, nil
	}
	return content{}, fmt.Errorf("job with %d descriptors", len(files))
}

func (c *content) reader() io.Reader {
	if c.file == nil {
		return bytes.NewReader(c.inline)
	}
	rest := c.size - int64(len(c.head))
	r := &fileReader{io.NewSectionReader(c.file, c.offset, rest), rest}
	if len(c.head) == 0 {
		return r
	}
	return io.MultiReader(bytes.NewReader(c.head), r)
}

// readAt fills b with what stands at an offset, all of which is within size.
func (c *content) readAt(b []byte, at int64) error {
	if c.file == nil {
		copy(b, c.inline[at:])
		return nil
	}
	if n := int64(len(c.head)); at < n {
		b = b[copy(b, c.head[at:]):]
		at = n
	}
	at -= int64(len(c.head))
	if n, err := c.file.ReadAt(b, c.offset+at); n < len(b) {
		return fmt.Errorf("%w: %w", errContent, err)
	}
	return nil
}

// fileReader makes an error of a file that is shorter than the message, which
// would else arrive as half of itself.
type fileReader struct {
	r    io.Reader
	left int64
}

func (r *fileReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.left -= int64(n)
	switch {
	case err == io.EOF && r.left > 0:
		err = fmt.Errorf("%w: %w", errContent, io.ErrUnexpectedEOF)
	case err != nil && err != io.EOF:
		err = fmt.Errorf("%w: %w", errContent, err)
	}
	return n, err
}

// headerHas8Bit tells whether an octet above 127 stands in the header.
func (c *content) headerHas8Bit() (bool, error) {
	r := bufio.NewReaderSize(c.reader(), 4<<10)
	lineStart := true
	for {
		piece, err := r.ReadSlice('\n')
		for _, b := range piece {
			if b >= 0x80 {
				return true, nil
			}
		}
		switch {
		case lineStart && string(piece) == "\r\n", err == io.EOF:
			return false, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return false, fmt.Errorf("read the header: %w", err)
		}
		lineStart = bytes.HasSuffix(piece, []byte("\n"))
	}
}

// convertible tells whether message.To7Bit could do it, by the header alone.
func (c *content) convertible() (bool, error) {
	err := message.To7Bit(c.reader(), refuseWrites{})
	switch {
	case errors.Is(err, errConvertible), err == nil:
		return true, nil
	case errors.Is(err, message.ErrCannotConvert), errors.Is(err, message.ErrHeaderTooBig):
		return false, nil
	}
	return false, err
}

// refuseWrites ends a conversion when it has decided to begin.
type refuseWrites struct{}

func (refuseWrites) Write([]byte) (int, error) { return 0, errConvertible }

// newlines checks that no CR stands without its LF, nor the other way round:
// one of them could end the message for a server and not for us (SMTP
// smuggling), and cleanup, which lets none in, is not believed blindly. It
// goes on across the blocks of one message.
type newlines struct{ cr bool }

func (n *newlines) check(b []byte) error {
	crs := bytes.Count(b, []byte{'\r'})
	pairs := 0
	if n.cr {
		if len(b) > 0 && b[0] != '\n' {
			return errBareNewline
		}
		crs++
	}
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			break
		}
		at += i
		if at == 0 && !n.cr || at > 0 && b[at-1] != '\r' {
			return errBareNewline
		}
		pairs++
		at++
	}
	n.cr = len(b) > 0 && b[len(b)-1] == '\r' || len(b) == 0 && n.cr
	if n.cr {
		crs--
	}
	if crs != pairs {
		return errBareNewline
	}
	return nil
}

// finish checks that no CR is left over.
func (n *newlines) finish() error {
	if n.cr {
		return errBareNewline
	}
	return nil
}

// buffers for content on its way out. They are big, and in use only while a
// message is sent, so the idle connections have none.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 16<<10)
	return &b
}}

func takeBuffer() *[]byte { return buffers.Get().(*[]byte) }

func giveBuffer(b *[]byte) {
	if cap(*b) <= keptBuffer {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

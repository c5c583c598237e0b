package ipc

import (
	"errors"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

const readBuffer = 64 << 10

// reader cuts the byte stream into frames.
type reader struct {
	conn     *net.UnixConn
	maxFrame uint32
	idle     func() // called before each wait for bytes

	buf  []byte
	r, w int // buf[r:w] is unread
	oob  []byte
	fds  []int // descriptors that came and are not yet claimed by a frame
}

func newReader(c *net.UnixConn, maxFrame uint32) *reader {
	return &reader{
		conn:     c,
		maxFrame: maxFrame,
		buf:      make([]byte, readBuffer),
		oob:      make([]byte, unix.CmsgSpace(4*2*MaxFiles)),
	}
}

// next returns one whole frame. The payload is the caller's to keep. io.EOF
// means that the peer closed between two frames.
func (rd *reader) next() (header, []byte, []*os.File, error) {
	for rd.w-rd.r < headerSize {
		if err := rd.fill(); err != nil {
			return header{}, nil, nil, err
		}
	}
	h, err := parseHeader(rd.buf[rd.r:rd.w], rd.maxFrame)
	if err != nil {
		return h, nil, nil, err
	}
	rd.r += headerSize
	payload, err := rd.payload(int(h.length))
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return h, nil, nil, err
	}
	files, err := rd.claim(int(h.files))
	return h, payload, files, err
}

// atOnce is how much memory a header alone is given. A longer payload gets more
// as its bytes come, or sixteen bytes would cost us the largest frame.
const atOnce = 1 << 20

// payload takes n bytes: those that are buffered, then the rest, straight
// into the result where they are many.
func (rd *reader) payload(n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	p := make([]byte, min(n, atOnce))
	have := copy(p, rd.buf[rd.r:rd.w])
	rd.r += have
	for have < n {
		if have == len(p) {
			p = append(p, make([]byte, min(n-have, len(p)))...)
		}
		if n-have >= readBuffer/2 {
			got, err := rd.read(p[have:])
			if err != nil {
				return nil, err
			}
			have += got
			continue
		}
		if err := rd.fill(); err != nil {
			return nil, err
		}
		got := copy(p[have:], rd.buf[rd.r:rd.w])
		rd.r += got
		have += got
	}
	return p, nil
}

// fill reads more bytes behind those that are unread.
func (rd *reader) fill() error {
	if rd.r > 0 {
		rd.w = copy(rd.buf, rd.buf[rd.r:rd.w])
		rd.r = 0
	}
	n, err := rd.read(rd.buf[rd.w:])
	rd.w += n
	if err == io.EOF && rd.w > 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// read is one recvmsg(2). Descriptors come with the first byte of the frame
// that they ride with, so that they are here when its header is.
func (rd *reader) read(p []byte) (int, error) {
	rd.idle()
	n, oobn, flags, _, err := rd.conn.ReadMsgUnix(p, rd.oob)
	if oobn > 0 {
		fds, perr := parseRights(rd.oob[:oobn])
		rd.fds = append(rd.fds, fds...)
		if err == nil {
			err = perr
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return 0, io.EOF // without the address that net wraps around it
	case err != nil:
		return 0, err
	case flags&unix.MSG_CTRUNC != 0:
		// The kernel threw descriptors away (too many, or we are out of
		// them): which frame they were for can't be told any more.
		return 0, violation("descriptors were lost on the way")
	case len(rd.fds) > 2*MaxFiles:
		return 0, violation("descriptors that no frame announced")
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// claim gives the n oldest unclaimed descriptors to a frame.
func (rd *reader) claim(n int) ([]*os.File, error) {
	if n == 0 {
		if len(rd.fds) > 0 && rd.r == rd.w {
			return nil, violation("descriptors that no frame announced")
		}
		return nil, nil
	}
	if n > len(rd.fds) {
		return nil, violation("frame announces %d descriptors, %d came", n, len(rd.fds))
	}
	files := make([]*os.File, n)
	for i, fd := range rd.fds[:n] {
		files[i] = os.NewFile(uintptr(fd), "received")
	}
	rd.fds = append(rd.fds[:0], rd.fds[n:]...)
	return files, nil
}

// close drops what no frame claimed.
func (rd *reader) close() {
	closeAll(rd.fds)
	rd.fds = nil
}

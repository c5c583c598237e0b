package smtpd

import (
	"bytes"
	"io"
	"net"
	"sync"
	"syscall"

	"filbert/pkg/smtp"
)

// inputSize is the size of the buffer that a connection has while octets are
// in it. It bounds what one read of a client can bring.
const inputSize = 16 << 10

// buffers are lent to connections: one that waits has none, so that ten
// thousand idle clients cost no buffers. What is lent is written before it is
// read, up to where it is read, so nothing of another client shows.
var buffers = sync.Pool{New: func() any { return new([inputSize]byte) }}

// input is what a client sends: octets that are here already, and more.
type input struct {
	conn net.Conn
	raw  syscall.RawConn // nil: the connection has no descriptor of its own

	buf  *[inputSize]byte // nil while nothing is here, or only a line's beginning
	rest []byte           // a line's beginning, while we wait for its end
	r, w int              // what is in buf

	skipping bool // in a line that is too long
	skipped  int  // octets of it so far

	try func(fd uintptr) bool // in.tryRead, made once
	n   int                   // results of tryRead
	err error
}

func (in *input) open(conn net.Conn) {
	in.conn = conn
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			in.raw, in.try = raw, in.tryRead
		}
	}
}

// here are the octets that can be read without waiting.
func (in *input) here() []byte {
	if in.buf == nil {
		return in.rest
	}
	return in.buf[in.r:in.w]
}

// take says that the first n of them were used.
func (in *input) take(n int) {
	if in.buf == nil {
		in.rest = in.rest[n:]
		if len(in.rest) == 0 {
			in.rest = nil
		}
		return
	}
	in.r += n
	if in.r == in.w {
		in.giveBack()
	}
}

// borrow gets a buffer, with the beginning of a line that was put by.
func (in *input) borrow() {
	if in.buf == nil {
		in.buf = buffers.Get().(*[inputSize]byte)
		in.r, in.w = 0, copy(in.buf[:], in.rest)
		in.rest = in.rest[:0]
		return
	}
	if in.r > 0 {
		in.r, in.w = 0, copy(in.buf[:], in.buf[in.r:in.w])
	}
}

// giveBack returns the buffer; the beginning of a line is put by. Only lines
// are ever incomplete when we wait, so that is MaxExtendedCommandLine at most.
func (in *input) giveBack() {
	if in.buf == nil {
		return
	}
	if in.r < in.w {
		in.rest = append(in.rest[:0], in.buf[in.r:in.w]...)
	} else {
		in.rest = nil
	}
	buffers.Put(in.buf)
	in.buf = nil
}

// fill waits for octets, as long as the connection's deadline allows.
func (in *input) fill() (int, error) {
	if in.raw == nil {
		in.borrow()
		n, err := in.conn.Read(in.buf[in.w:])
		in.w += n
		if n > 0 {
			return n, nil
		}
		return 0, err
	}
	in.giveBack()
	in.n, in.err = 0, nil
	if err := in.raw.Read(in.try); err != nil {
		return 0, err
	}
	return in.n, in.err
}

// tryRead reads what there is. The poller calls it when there may be
// something, so that the buffer is borrowed only then.
func (in *input) tryRead(fd uintptr) bool {
	in.borrow()
	for {
		n, err := syscall.Read(int(fd), in.buf[in.w:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			in.giveBack()
			return false
		case err != nil:
			in.err = err
		case n == 0:
			in.err = io.EOF
		default:
			in.n = n
			in.w += n
		}
		return true
	}
}

// quiet tells whether nothing has been sent that we have not read.
func (in *input) quiet() bool {
	if len(in.here()) > 0 {
		return false
	}
	if in.raw == nil {
		return true
	}
	waiting := false
	_ = in.raw.Control(func(fd uintptr) { // an error shows at the next read
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		waiting = err == nil && n > 0
	})
	return !waiting
}

// lineKind says what line found.
type lineKind uint8

// What line may find.
const (
	lineWhole   lineKind = iota // a line, without its CRLF
	linePartial                 // not yet the end of one
	lineLong                    // the end of one that was too long to keep
	lineBareLF                  // one that ended in LF alone
)

// line takes a command line off what is here. The line is valid until the
// next call of any method. A line is looked for up to its LF, so that after a
// bad one we are at the beginning of the next; only CRLF ends a good one.
func (in *input) line() ([]byte, lineKind) {
	b := in.here()
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		if in.skipping || len(b) > smtp.MaxExtendedCommandLine {
			in.skipping = true
			in.skipped += len(b)
			in.take(len(b))
		}
		return nil, linePartial
	}
	long := in.skipping || end+1 > smtp.MaxExtendedCommandLine
	in.skipping, in.skipped = false, 0
	switch {
	case long:
		in.take(end + 1)
		return nil, lineLong
	case end == 0 || b[end-1] != '\r':
		in.take(end + 1)
		return nil, lineBareLF
	}
	// Not take: that may give back the buffer that the line is in.
	if in.buf == nil {
		in.rest = in.rest[end+1:]
	} else {
		in.r += end + 1
	}
	return b[:end-1], lineWhole
}

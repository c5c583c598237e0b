package pickup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"filbert/pkg/proto"
)

// The bounds of an exchange with qmgr's control socket. Silence ends it, not the
// length of a queue.
const (
	controlTimeout = 30 * time.Second
	maxHeadLine    = 4 << 10
	maxHeadLines   = 100
)

var errControl = errors.New("answer that is not HTTP/1.1 as it was expected")

// errDown and errNotPermitted are the two answers that mailq and -q expect.
var (
	errDown         = errors.New("the mail system is down")
	errNotPermitted = errors.New("only root and the administrators' group may")
)

// askQmgr sends one request of proto/control.go and gives status and body.
func askQmgr(run, method, path, body string) (status int, answer io.Reader, done func(), err error) {
	return ask(filepath.Join(run, "control", proto.ControlQmgr), method, path, body)
}

// ask sends one request to a socket of our own and gives status and body. It is
// the little of HTTP/1.1 that a client of our own server needs: pickup stays
// small without net/http, and every length is bounded here.
func ask(socket, method, path, body string) (status int, answer io.Reader, done func(), err error) {
	d := net.Dialer{Timeout: connectTimeout}
	conn, err := d.Dial("unix", socket)
	switch {
	case errors.Is(err, os.ErrPermission):
		return 0, nil, nil, errNotPermitted
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return 0, nil, nil, errDown
	case err != nil:
		return 0, nil, nil, err
	}
	request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: filbert\r\nConnection: close\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
	r := bufio.NewReader(&impatient{conn})
	_ = conn.SetWriteDeadline(time.Now().Add(controlTimeout))
	// Who is turned away before he has asked finds the answer all the same.
	_, werr := io.WriteString(conn, request)
	if werr == nil || errors.Is(werr, syscall.EPIPE) {
		status, answer, err = readAnswer(r)
	} else {
		err = werr
	}
	if err != nil {
		conn.Close()
		return 0, nil, nil, fmt.Errorf("ask the queue manager: %w", err)
	}
	return status, answer, func() { conn.Close() }, nil
}

// impatient gives every read a deadline of its own.
type impatient struct{ conn net.Conn }

// Read implements io.Reader.
func (i *impatient) Read(b []byte) (int, error) {
	if err := i.conn.SetReadDeadline(time.Now().Add(controlTimeout)); err != nil {
		return 0, err
	}
	return i.conn.Read(b)
}

// readAnswer reads status line and header, and finds out where the body ends.
func readAnswer(r *bufio.Reader) (int, io.Reader, error) {
	line, err := headLine(r)
	if err != nil {
		return 0, nil, err
	}
	code, ok := strings.CutPrefix(line, "HTTP/1.1 ")
	if !ok || len(code) < 3 {
		return 0, nil, errControl
	}
	status, err := strconv.Atoi(code[:3])
	if err != nil || status < 100 {
		return 0, nil, errControl
	}
	length, chunked := int64(-1), false
	for range maxHeadLines {
		if line, err = headLine(r); err != nil {
			return 0, nil, err
		}
		if line == "" {
			switch {
			case chunked:
				return status, &chunkReader{r: r}, nil
			case length >= 0:
				return status, &exactReader{r, length}, nil
			}
			return 0, nil, errControl
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-length":
			if length, err = strconv.ParseInt(value, 10, 63); err != nil || length < 0 {
				return 0, nil, errControl
			}
		case "transfer-encoding":
			chunked = strings.EqualFold(value, "chunked")
		}
	}
	return 0, nil, errControl
}

// headLine reads a line that ends in CRLF, without it.
func headLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n') // at most the reader's buffer
	if err != nil {
		return "", noEOF(err)
	}
	s, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok || len(s) > maxHeadLine {
		return "", errControl
	}
	return s, nil
}

// exactReader reads n bytes; fewer are an error.
type exactReader struct {
	r io.Reader
	n int64
}

// Read implements io.Reader.
func (e *exactReader) Read(b []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(b[:min(int64(len(b)), e.n)])
	e.n -= int64(n)
	return n, noEOF(err)
}

// chunkReader reads a chunked body (RFC 9112, section 7.1). The end of the
// connection before the last chunk is an error: half a queue is no queue.
type chunkReader struct {
	r    *bufio.Reader
	left int64
	err  error
}

// Read implements io.Reader.
func (c *chunkReader) Read(b []byte) (int, error) {
	if c.err == nil && c.left == 0 {
		c.begin()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(b[:min(int64(len(b)), c.left)])
	if c.left -= int64(n); err == nil && c.left == 0 {
		var end string
		if end, err = headLine(c.r); err == nil && end != "" {
			err = errControl
		}
	}
	c.err = noEOF(err)
	return n, nil
}

// begin reads the size of the next chunk; 0 is the end.
func (c *chunkReader) begin() {
	line, err := headLine(c.r)
	if err != nil {
		c.err = err
		return
	}
	size, _, _ := strings.Cut(line, ";")
	if c.left, err = strconv.ParseInt(strings.TrimSpace(size), 16, 63); err != nil || c.left < 0 {
		c.left, c.err = 0, errControl
	} else if c.left == 0 {
		c.err = io.EOF
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

package localdeliver

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
)

const (
	// headerScan is how much of a header is searched for this address's own
	// Delivered-To. cleanup bounds headers well below it.
	headerScan = 512 << 10
	chunk      = 64 << 10
)

// errShort means that the content ended before its announced length: the spool
// or the parent failed, not the user.
var errShort = errors.New("the message ended before its announced length")

// text is the message on its way to its place: the fields of this delivery
// (RFC 5321, section 4.4), then the content, with LF for CRLF.
type text struct {
	job    *proto.LocalJob
	in     *bufio.Reader
	header []byte // read ahead by begin, not yet written
	cut    bool   // the header did not end within headerScan
}

func newText(job *proto.LocalJob, body io.Reader) *text {
	if body == nil {
		body = bytes.NewReader(job.Content.Inline)
	}
	return &text{job: job, in: bufio.NewReaderSize(&exact{in: body, left: job.Content.Size}, chunk)}
}

// exact reads left bytes and turns an earlier end into errShort.
type exact struct {
	in   io.Reader
	left int64
}

func (e *exact) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := e.in.Read(p)
	e.left -= int64(n)
	if err == io.EOF && e.left > 0 {
		err = errShort
	} else if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errShort, err)
	}
	return n, err
}

// begin reads the header and looks for a loop: a message that was delivered to
// this address before came back through a forwarding of the user's.
func (t *text) begin() *outcome.Outcome {
	us := []byte(strings.ToLower(t.job.Recipient.Address.String()))
	for len(t.header) < headerScan {
		line, err := t.in.ReadSlice('\n')
		start := len(t.header)
		t.header = append(t.header, line...)
		if err != nil && err != bufio.ErrBufferFull {
			if err == io.EOF {
				return nil
			}
			return deferred(outcome.Internal, statusSystem, "read the message: %v", err)
		}
		if isBlank(line) {
			return nil
		}
		if deliveredTo(t.header[start:], us) {
			return failed(outcome.Loop, smtp.Status{Class: 5, Subject: 4, Detail: 6},
				"mail loop: this message was already delivered to this address")
		}
	}
	t.cut = true
	return nil
}

func isBlank(line []byte) bool {
	return len(line) == 1 || len(line) == 2 && line[0] == '\r'
}

// deliveredTo tells whether line is a Delivered-To field with the address.
func deliveredTo(line, address []byte) bool {
	const name = "delivered-to:"
	if len(line) < len(name) || !strings.EqualFold(string(line[:len(name)]), name) {
		return false
	}
	value := bytes.TrimSpace(line[len(name):])
	value = bytes.TrimSuffix(bytes.TrimPrefix(value, []byte("<")), []byte(">"))
	return bytes.Equal(bytes.ToLower(value), address)
}

// fields are what this delivery puts in front.
func (t *text) fields() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Return-Path: %s\n", t.job.Sender.Path())
	fmt.Fprintf(&b, "Delivered-To: %s\n", t.job.Recipient.Address.String())
	return b.Bytes()
}

// A lineHook may write something in front of a line, whose beginning it sees.
type lineHook func(w *bufio.Writer, line []byte)

// writeTo writes the whole text. An error of the reader is errShort or wraps it;
// every other error is the writer's.
func (t *text) writeTo(out io.Writer, hook lineHook) error {
	w := bufio.NewWriterSize(out, chunk)
	if _, err := w.Write(t.fields()); err != nil {
		return err
	}
	in := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(t.header), t.in), chunk)
	atStart := true
	for {
		line, err := in.ReadSlice('\n')
		if atStart && hook != nil && len(line) > 0 {
			hook(w, line)
		}
		whole := err == nil
		// A CR at the end of a part of a line may belong to a CRLF: leave it.
		if err == bufio.ErrBufferFull && line[len(line)-1] == '\r' {
			if e := in.UnreadByte(); e == nil {
				line = line[:len(line)-1]
			}
		}
		if whole && len(line) >= 2 && line[len(line)-2] == '\r' {
			line = append(line[:len(line)-2], '\n')
		}
		if _, werr := w.Write(line); werr != nil {
			return werr
		}
		atStart = whole
		switch {
		case err == io.EOF:
			return w.Flush()
		case err != nil && err != bufio.ErrBufferFull:
			return err
		}
	}
}

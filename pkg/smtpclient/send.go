package smtpclient

import (
	"context"
	"errors"
	"strconv"
	"time"

	"filbert/pkg/message"
	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
)

// run takes a transaction to its end: it does what the transaction says, and
// tells it what the server says.
func (d *delivery) run(ctx context.Context, s *session, t *transaction) *failure {
	s.row.Set("envelope", d.job.ID.String(), s.label)
	src := source{content: &d.content, left: d.content.size}
	d.client.figures.transactions.Add(1)
	d.client.figures.recipients.Add(len(t.rcpts))
	for {
		var act action
		var f *failure
		began := time.Now()
		s.out, act = t.next(s.out[:0])
		due := len(t.queue)
		switch act {
		case actDone:
			return nil
		case actSend:
			f = s.say(s.out, s.target.route.to.mail, t.queue[0].step)
		case actContent:
			if ctx.Err() != nil {
				// Nobody waits for the outcome any more, and who asks again
				// would deliver twice.
				f = &failure{out: stopping(), cause: ctx.Err()}
				d.stop = true
				break
			}
			s.row.Set("content", "", "")
			f = s.sendContent(t, &src)
		}
		if f == nil {
			f = s.listen(t)
			if act == actSend {
				d.client.figures.commands.Add(due)
				d.client.figures.turns.Took(time.Since(began))
			}
		}
		if f != nil {
			s.dead = true
			t.broke(f.out)
			return f
		}
	}
}

// listen takes all replies that are due.
func (s *session) listen(t *transaction) *failure {
	for what, ok := t.owed(); ok; what, ok = t.owed() {
		if what == stepEnd {
			s.row.Set("waiting", "", "")
			s.awaits()
		}
		r, f := s.hear(what)
		if f != nil {
			if what == stepEnd {
				f.out.Text = unsure(f.out.Text)
			}
			return f
		}
		t.take(r)
	}
	return nil
}

// source is what of the content has not been sent yet.
type source struct {
	content *content
	left    int64
	lines   newlines
}

// read fills b with the next octets.
func (r *source) read(b []byte) error {
	if err := r.content.readAt(b, r.content.size-r.left); err != nil {
		return err
	}
	r.left -= int64(len(b))
	return nil
}

// sendContent sends what comes next: after 354 all of it, with BDAT a chunk.
func (s *session) sendContent(t *transaction, src *source) *failure {
	buf := takeBuffer()
	defer giveBuffer(buf)
	w := dataWriter{s: s, t: t, buf: (*buf)[:0], lines: src.lines}
	var err error
	switch {
	case t.plan.chunking:
		err = w.chunk(src)
	case t.plan.convert:
		err = message.To7Bit(src.content.reader(), &w)
		if err == nil {
			err = w.finish()
		}
	default:
		err = w.data(src)
	}
	*buf, src.lines = w.buf, w.lines
	if err == nil {
		return nil
	}
	return s.contentFailure(t, err)
}

// contentFailure tells our own trouble with the content from the server's. In
// the middle of it only hanging up makes the server forget what it has.
func (s *session) contentFailure(t *transaction, err error) *failure {
	switch {
	case errors.Is(err, errBareNewline):
		f := &failure{cause: err, out: outcome.Fail(outcome.Content, smtp.Status{Class: 5, Subject: 6, Detail: 0}, "%v", err)}
		t.settleAccepted(f.out)
		return f
	case errors.Is(err, errContent), errors.Is(err, message.ErrCannotConvert), errors.Is(err, message.ErrHeaderTooBig):
		f := &failure{cause: err, out: outcome.Defer(outcome.Internal, statusOf(outcome.Internal), "%v", err)}
		t.settleAccepted(f.out)
		return f
	}
	f := s.failed(err, "sending content")
	if t.state == txReplies {
		f.out.Text = unsure(f.out.Text)
	}
	return f
}

// dataWriter sends content in blocks.
type dataWriter struct {
	s     *session
	t     *transaction
	buf   []byte
	dots  smtp.StuffDots
	lines newlines
	sent  bool // a block has gone out
}

// data sends all of it, dot-stuffed: in one write if it is in memory.
func (w *dataWriter) data(src *source) error {
	if c := src.content; c.file == nil {
		// Its line ends were checked when the job came.
		w.buf = w.dots.Append(w.buf, c.inline)
		src.left = 0
		return w.finish()
	}
	block := takeBuffer()
	defer giveBuffer(block)
	if cap(*block) < blockSize {
		*block = make([]byte, 0, blockSize)
	}
	for src.left > 0 {
		b := (*block)[:min(src.left, blockSize)]
		if err := src.read(b); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return w.finish()
}

// Write takes content, dot-stuffs it, and sends it when it is a block.
func (w *dataWriter) Write(b []byte) (int, error) {
	if err := w.lines.check(b); err != nil {
		return 0, err
	}
	w.buf = w.dots.Append(w.buf, b)
	if len(w.buf) < blockSize {
		return len(b), nil
	}
	return len(b), w.flush()
}

// finish sends the rest and the end of data. What the server has said before
// it could have seen the end cannot be about the message.
func (w *dataWriter) finish() error {
	if err := w.lines.finish(); err != nil {
		return err
	}
	w.buf = w.dots.Finish(w.buf)
	if w.sent && !w.s.quiet() {
		return errEarly
	}
	w.t.endSent()
	return w.flush()
}

func (w *dataWriter) flush() error {
	err := w.s.clean()
	if err == nil {
		err = w.s.write(w.buf, w.s.target.route.to.dataBlock)
	}
	w.s.row.Add(int64(len(w.buf)))
	w.buf, w.sent = w.buf[:0], true
	return err
}

// chunk sends one BDAT command with its octets as they are (RFC 3030, section
// 2), the last with LAST.
func (w *dataWriter) chunk(src *source) error {
	n := min(src.left, chunkSize)
	if src.content.file == nil {
		n = src.left
	}
	last := n == src.left
	w.buf = strconv.AppendInt(append(w.buf, "BDAT "...), n, 10)
	if last {
		w.buf = append(w.buf, " LAST"...)
	}
	w.buf = append(w.buf, '\r', '\n')
	for n > 0 {
		size := n
		if src.content.file != nil {
			size = min(n, blockSize)
		}
		if err := w.octets(src, int(size)); err != nil {
			return err
		}
		n -= size
		if n > 0 {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	if !last {
		w.t.chunkSent()
		return w.flush()
	}
	if err := w.lines.finish(); err != nil {
		return err
	}
	w.t.endSent()
	return w.flush()
}

// octets appends the next n octets to the buffer.
func (w *dataWriter) octets(src *source, n int) error {
	at := len(w.buf)
	if cap(w.buf)-at < n {
		w.buf = append(make([]byte, 0, at+n), w.buf...)
	}
	w.buf = w.buf[:at+n]
	if err := src.read(w.buf[at:]); err != nil {
		return err
	}
	return w.lines.check(w.buf[at:])
}

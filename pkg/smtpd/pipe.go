package smtpd

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/smtp"
)

// passTimeout bounds how long cleanup may take to read what the pipe holds.
const passTimeout = 2 * time.Minute

// pipe is a large message's way to cleanup (proto: the arrow into the suite).
// Whatever goes wrong, it is closed without the chunk of length 0, and cleanup
// forgets the message.
type pipe struct {
	srv    *server
	w      *os.File
	frame  []byte // the chunk that is being filled, with its length in front
	ctx    context.Context
	cancel context.CancelFunc
	answer chan answer
}

type answer struct {
	a   proto.Acceptance
	err error
}

const chunkHeader = 4

// openPipe submits a message whose content will follow.
func openPipe(srv *server, request *proto.Submission, until time.Time) (*pipe, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	ctx, cancel := context.WithDeadline(srv.ctx, until.Add(acceptWait))
	p := &pipe{
		srv:    srv,
		w:      w,
		frame:  make([]byte, chunkHeader, chunkHeader+proto.ChunkMax),
		ctx:    ctx,
		cancel: cancel,
		answer: make(chan answer, 1),
	}
	context.AfterFunc(ctx, func() { _ = w.SetWriteDeadline(past) })
	go func() {
		var got answer
		got.err = srv.cleanup.Call(ctx, request, &got.a, r)
		// While we hold a reading end ourselves, a cleanup that has died would
		// look like one that is slow.
		r.Close()
		p.answer <- got
	}()
	return p, nil
}

// write passes content on, whole chunks of it; the rest waits for more.
func (p *pipe) write(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), cap(p.frame)-len(p.frame))
		p.frame = append(p.frame, b[:n]...)
		b = b[n:]
		if len(p.frame) == cap(p.frame) {
			if err := p.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush sends the chunk.
func (p *pipe) flush() error {
	n := len(p.frame) - chunkHeader
	binary.BigEndian.PutUint32(p.frame, uint32(n))
	if err := p.w.SetWriteDeadline(time.Now().Add(passTimeout)); err != nil {
		return err
	}
	if err := p.ctx.Err(); err != nil { // its deadline may have been ours to overwrite
		return err
	}
	_, err := p.w.Write(p.frame)
	p.frame = p.frame[:chunkHeader]
	return err
}

// commit sends the end of the message and waits for the answer.
func (p *pipe) commit() *smtp.Reply {
	if len(p.frame) > chunkHeader {
		if err := p.flush(); err != nil {
			return p.refusal()
		}
	}
	// From here on cleanup may commit the message.
	if err := p.flush(); err != nil { // length 0
		return p.refusal()
	}
	p.w.Close()
	defer p.cancel()
	limit := time.AfterFunc(acceptWait, p.cancel)
	defer limit.Stop()
	got := <-p.answer
	return p.srv.verdict(&got.a, got.err)
}

// refusal closes the pipe after an error of writing to it, and gives the
// reason: cleanup's own, if it refused the message before its end.
func (p *pipe) refusal() *smtp.Reply {
	p.w.Close()
	defer p.cancel()
	limit := time.AfterFunc(lastWords, p.cancel)
	defer limit.Stop()
	got := <-p.answer
	if r := p.srv.verdict(&got.a, got.err); !r.Success() {
		return r
	}
	return errNoCleanup // it can't have accepted what has not ended
}

// giveUp closes the pipe and waits for the call to end.
func (p *pipe) giveUp() {
	p.w.Close()
	p.cancel()
	<-p.answer
}

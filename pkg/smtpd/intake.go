package smtpd

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
)

// acceptWait bounds the wait for cleanup's answer after the end of a message.
// It is below the ten minutes that a client waits (RFC 5321, section
// 4.5.3.2.6), so that the client hears a temporary failure rather than nothing.
// cleanup may still commit the message after that: then it arrives twice.
const acceptWait = 5 * time.Minute

// cleaner is who takes messages: the client of cleanup.
type cleaner interface {
	Call(ctx context.Context, req, reply ipc.Message, files ...*os.File) error
}

// budget bounds the memory that holds messages on their way in.
type budget struct {
	most int64
	used atomic.Int64
}

// grow takes n octets more, or fewer, and tells whether they were there.
func (b *budget) grow(n int64) bool {
	if b.used.Add(n) <= b.most || n <= 0 {
		return true
	}
	b.used.Add(-n)
	return false
}

// intake is the content of one message on its way to cleanup: in memory while
// it is small, through a pipe afterwards. When the message is to be refused it
// keeps nothing and only counts.
type intake struct {
	srv     *server
	site    *site
	request proto.Submission
	until   time.Time // the whole message has to be here by then

	buf      []byte // inline: all so far; piped: not yet passed on
	reserved int64  // of srv.memory
	size     int64
	thrown   int64 // octets that came after the problem
	ends     lineEnds
	pipe     *pipe
	problem  *smtp.Reply // why the message is refused
}

func newIntake(srv *server, e *site, v envelope.Envelope) *intake {
	return &intake{
		srv:     srv,
		site:    e,
		request: proto.Submission{Envelope: v, Complete: e.port.Submission},
		until:   srv.now().Add(e.limits.MessageTimeout.D()),
	}
}

// space is the buffer with room for n octets, to append to.
func (in *intake) space(n int) []byte { return slices.Grow(in.buf, n) }

// extend takes the buffer back after something was appended to it.
func (in *intake) extend(buf []byte) {
	added := int64(len(buf) - len(in.buf))
	in.size += added
	if in.problem != nil {
		in.thrown += added
		in.buf = buf[:0] // no larger than one read: not worth a place in the budget
		return
	}
	in.buf = buf
	switch {
	case in.site.tooBig(0, in.size):
		in.fail(errTooBig)
	case !in.reserve():
		in.fail(errNoMemory)
	case in.pipe == nil && len(in.buf) > proto.InlineMax:
		in.startPipe()
	case in.pipe != nil:
		in.passOn()
	}
}

// reserve keeps the budget in step with the buffer.
func (in *intake) reserve() bool {
	grown := int64(cap(in.buf)) - in.reserved
	if grown == 0 {
		return true
	}
	if !in.srv.memory.grow(grown) {
		return false
	}
	in.reserved += grown
	return true
}

func (in *intake) free() {
	in.srv.memory.grow(-in.reserved)
	in.buf, in.reserved = nil, 0
}

// The reasons of our own to refuse a message.
var (
	errTooBig    = smtp.NewReply(552, smtp.Status{Class: 5, Subject: 3, Detail: 4}, "Message too big")
	errNoMemory  = smtp.NewReply(452, smtp.Status{Class: 4, Subject: 3, Detail: 1}, "Insufficient system storage")
	errBareEnd   = smtp.NewReply(550, smtp.Status{Class: 5, Subject: 6, Detail: 0}, "Bare CR or LF in the message: lines must end in CRLF")
	errNoCleanup = smtp.NewReply(451, smtp.Status{Class: 4, Subject: 3, Detail: 0}, "Queue is not available, try again later")
)

// fail refuses the message. The first reason counts; what is here is dropped
// and cleanup told to forget it.
func (in *intake) fail(why *smtp.Reply) {
	if in.problem != nil {
		return
	}
	in.problem = why
	if in.pipe != nil {
		in.pipe.giveUp()
		in.pipe = nil
	}
	in.free()
}

// excessive tells whether more was thrown away than we are willing to read.
func (in *intake) excessive() bool { return in.thrown > in.site.maxDiscard() }

// startPipe is for a message that is too large for a frame: it travels
// through a pipe from now on, whose back-pressure is the kernel's.
func (in *intake) startPipe() {
	p, err := openPipe(in.srv, &in.request, in.until)
	if err != nil {
		in.srv.trouble("open a pipe to cleanup", err)
		in.fail(errNoCleanup)
		return
	}
	in.pipe = p
	in.passOn()
}

func (in *intake) passOn() {
	if err := in.pipe.write(in.buf); err != nil {
		why := in.pipe.refusal()
		in.pipe = nil
		in.fail(why)
		return
	}
	if cap(in.buf) > 2*inputSize {
		in.free() // what was collected inline is not needed any more
	}
	in.buf = in.buf[:0]
}

// commit ends the message and gives the reply for its sender: 250 only if
// cleanup says that the message is on stable storage.
func (in *intake) commit() *smtp.Reply {
	defer in.abandon()
	switch {
	case in.problem != nil:
		return in.problem
	case in.pipe != nil:
		p := in.pipe
		in.pipe = nil
		return p.commit()
	}
	in.request.Content = proto.Content{Inline: in.buf, Size: int64(len(in.buf))}
	if in.buf == nil {
		in.request.Content.Inline = []byte{}
	}
	ctx, cancel := context.WithTimeout(in.srv.ctx, acceptWait)
	defer cancel()
	var a proto.Acceptance
	err := in.srv.cleanup.Call(ctx, &in.request, &a)
	return in.srv.verdict(&a, err)
}

// abandon forgets the message. After commit there is nothing left to forget.
func (in *intake) abandon() {
	if in.pipe != nil {
		in.pipe.giveUp()
		in.pipe = nil
	}
	in.free()
}

// verdict turns cleanup's answer into a reply.
func (s *server) verdict(a *proto.Acceptance, err error) *smtp.Reply {
	switch {
	case err != nil:
		if !errors.Is(err, context.Canceled) {
			s.trouble("hand a message to cleanup", err)
		}
		return errNoCleanup
	case a.Code == 250 && !a.ID.IsZero():
		// The message is ours: cleanup has flushed it. The client may forget
		// it once it has read this line, and not before.
		return smtp.NewReply(250, smtp.Status{Class: 2}, "Ok: queued as "+a.ID.String())
	case a.Code/100 != 4 && a.Code/100 != 5:
		return errNoCleanup
	case a.Status.Class != a.Code/100:
		return smtp.NewReply(a.Code, smtp.Status{Class: a.Code / 100}, a.Text)
	}
	return smtp.NewReply(a.Code, a.Status, a.Text)
}

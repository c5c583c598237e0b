package ipc

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"filbert/pkg/wire"
)

// Reply is what a peer answered. Payload and Files are the receiver's.
type Reply struct {
	Kind    uint16
	Payload []byte
	Files   []*os.File
}

// Decode reads the reply into m, to its last byte.
func (r *Reply) Decode(m Message) error {
	if r.Kind != m.Kind() {
		return violation("reply of kind %d where %d was expected", r.Kind, m.Kind())
	}
	if err := decodeMessage(r.Payload, m); err != nil {
		return fmt.Errorf("%w: reply of kind %d: %w", ErrProtocol, r.Kind, err)
	}
	return nil
}

// CloseFiles closes the descriptors that came with the reply.
func (r *Reply) CloseFiles() {
	for _, f := range r.Files {
		f.Close()
	}
	r.Files = nil
}

// pending is one of our calls until it is answered.
type pending struct {
	frame []byte // encoded, its header still without the id
	files []int
	id    uint64
	done  func(*Reply, error)
	wait  chan answer // used where done is nil

	abandoned bool        // Conn.mu guards it: the caller left, the answer is dropped
	stop      func() bool // ends the watch over the caller's context
}

type answer struct {
	reply *Reply
	err   error
}

// finish is called once, by whoever took p out of the connection's lists.
func (p *pending) finish(r *Reply, err error) {
	if p.done != nil {
		if p.stop != nil {
			p.stop()
		}
		p.done(r, err)
		return
	}
	p.wait <- answer{r, err}
}

var waiters = sync.Pool{New: func() any {
	return &pending{wait: make(chan answer, 1), frame: make([]byte, 0, 512)}
}}

// encode fills p's frame. The id is not known yet.
func (p *pending) encode(req Message, files []*os.File) error {
	fds, err := duplicate(files)
	if err != nil {
		return err
	}
	e := wire.Encoder{Buf: p.frame[:0]}
	encodeFrame(&e, header{role: roleCall, kind: req.Kind(), files: uint8(len(fds))}, req)
	p.frame, p.files = e.Buf, fds
	return nil
}

// Call sends req and waits for the answer, which it decodes into reply (nil:
// any reply is fine). Beyond the peer's credits it waits within ctx. When ctx
// ends first the answer is dropped; what the peer does goes on.
func (c *Conn) Call(ctx context.Context, req, reply Message, files ...*os.File) error {
	r, err := c.Exchange(ctx, req, files...)
	if err != nil {
		return err
	}
	defer r.CloseFiles()
	if reply == nil {
		return nil
	}
	if err := r.Decode(reply); err != nil {
		c.fail(err)
		return err
	}
	return nil
}

// Exchange is Call for replies of several kinds or with descriptors.
func (c *Conn) Exchange(ctx context.Context, req Message, files ...*os.File) (*Reply, error) {
	p := waiters.Get().(*pending)
	if err := p.encode(req, files); err != nil {
		return nil, err
	}
	c.start(p)
	var a answer
	select {
	case a = <-p.wait:
	case <-ctx.Done():
		if c.abandon(p) {
			return nil, ctx.Err() // p stays with the connection
		}
		a = <-p.wait // it came at the same moment
	}
	p.frame, p.files, p.id, p.abandoned = p.frame[:0], nil, 0, false
	waiters.Put(p)
	return a.reply, a.err
}

// Go sends req and returns at once; done gets the answer, on the read loop,
// and must not block. It is called exactly once. The Reply is nil on error.
func (c *Conn) Go(ctx context.Context, req Message, done func(*Reply, error), files ...*os.File) {
	p := &pending{done: done}
	if err := p.encode(req, files); err != nil {
		done(nil, err)
		return
	}
	if ctx.Done() != nil {
		p.stop = context.AfterFunc(ctx, func() {
			if c.abandon(p) {
				done(nil, ctx.Err())
			}
		})
	}
	c.start(p)
}

// start sends p, or queues it until the peer has a credit and room for it.
func (c *Conn) start(p *pending) {
	c.mu.Lock()
	if p.abandoned {
		c.mu.Unlock()
		closeAll(p.files)
		return
	}
	if err := c.err; err != nil {
		c.mu.Unlock()
		closeAll(p.files)
		p.finish(nil, err)
		return
	}
	if !c.helloed || len(c.queue) > 0 || len(c.sent) >= c.credits || !c.w.roomy() {
		c.queue = append(c.queue, p)
		c.mu.Unlock()
		return
	}
	ok := c.admitLocked(p)
	c.mu.Unlock()
	c.transmit(p, ok)
}

// admitLocked gives p an id and a credit, unless it is too long.
func (c *Conn) admitLocked(p *pending) bool {
	if int64(len(p.frame)-headerSize) > c.peerMax.Load() {
		return false
	}
	c.lastID++
	p.id = c.lastID
	c.sent[p.id] = p
	return true
}

func (c *Conn) transmit(p *pending, admitted bool) {
	if !admitted {
		closeAll(p.files)
		c.mu.Lock()
		left := p.abandoned
		p.abandoned = true // it is in no list: whoever comes second does nothing
		c.mu.Unlock()
		if !left {
			p.finish(nil, ErrTooBig)
		}
		return
	}
	frame, files := p.frame, p.files
	binary.BigEndian.PutUint64(frame[4:], p.id)
	if keeps(frame, files) {
		p.frame = nil
	}
	// From here on p may be answered, and used for another call.
	// On an error the connection has failed, and failing finished p.
	_ = c.w.send(frame, files)
}

// release sends queued calls as far as credits and room go.
func (c *Conn) release() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 || len(c.sent) >= c.credits || c.err != nil || !c.w.roomy() {
			c.mu.Unlock()
			return
		}
		p := c.queue[0]
		c.queue[0] = nil
		if c.queue = c.queue[1:]; len(c.queue) == 0 {
			c.queue = nil
		}
		ok := c.admitLocked(p)
		c.mu.Unlock()
		c.transmit(p, ok)
	}
}

// abandon makes a call's answer unwanted. It is false if the call has been
// finished already. A sent call keeps its credit until the peer answers it,
// as the peer's work goes on.
func (c *Conn) abandon(p *pending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.abandoned || c.err != nil {
		return false
	}
	if p.id != 0 {
		if c.sent[p.id] != p {
			return false
		}
		p.abandoned = true
		return true
	}
	for i, q := range c.queue {
		if q == p {
			c.queue = append(c.queue[:i:i], c.queue[i+1:]...)
			closeAll(p.files)
			break
		}
	}
	p.abandoned = true
	return true
}

// answered finishes the call that a reply or refusal belongs to.
func (c *Conn) answered(h header, payload []byte, files []*os.File) error {
	c.mu.Lock()
	p := c.sent[h.id]
	delete(c.sent, h.id)
	abandoned := p != nil && p.abandoned
	waiting := len(c.queue) > 0
	c.mu.Unlock()
	if p == nil {
		return violation("answer to a call %d that was not made", h.id)
	}
	if waiting {
		c.release()
	}
	r := &Reply{Kind: h.kind, Payload: payload, Files: files}
	if abandoned {
		r.CloseFiles()
		return nil
	}
	if h.role == roleReply {
		p.finish(r, nil)
		return nil
	}
	r.CloseFiles()
	var m refusal
	if err := decodeMessage(payload, &m); err != nil {
		err = fmt.Errorf("%w: refusal: %w", ErrProtocol, err)
		p.finish(nil, gone(err))
		return err
	}
	p.finish(nil, &RemoteError{Text: m.text})
	return nil
}

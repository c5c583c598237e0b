package ipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// Handler answers calls. It runs on the read loop of its connection and must
// not block: it replies, refuses, or lets somebody else do so later. ctx is
// done when the connection has ended.
type Handler func(ctx context.Context, c *Call)

// Spawn runs h in a goroutine of its own for each call, for handlers that
// wait. Credits bound how many there are.
func Spawn(h Handler) Handler {
	return func(ctx context.Context, c *Call) { go h(ctx, c) }
}

// Call is one request from a peer. Its payload and files are the handler's to
// keep; files it does not want it closes.
type Call struct {
	Kind    uint16
	Payload []byte
	Files   []*os.File
	Caller  string   // the service that calls, as master or the listener named it
	Peer    PeerCred // what the kernel says of the connection's other end

	conn     *Conn
	id       uint64
	answered atomic.Bool
}

// Conn is the connection that the call came over.
func (c *Call) Conn() *Conn { return c.conn }

// Decode reads the payload into m, to its last byte. On an error the
// connection is closed, as its peer does not speak our language, and the
// handler has nothing more to do.
func (c *Call) Decode(m Message) error {
	if c.Kind != m.Kind() {
		return c.Violation(violation("call of kind %d where %d was expected", c.Kind, m.Kind()))
	}
	if err := decodeMessage(c.Payload, m); err != nil {
		return c.Violation(fmt.Errorf("%w: call of kind %d: %w", ErrProtocol, c.Kind, err))
	}
	return nil
}

// Violation closes the connection because of what the call says, and the
// call's files with it. It returns err.
func (c *Call) Violation(err error) error {
	c.CloseFiles()
	told := err
	if !errors.Is(err, ErrProtocol) {
		told = fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	c.conn.fail(told)
	return err
}

// CloseFiles closes the descriptors that came with the call.
func (c *Call) CloseFiles() {
	for _, f := range c.Files {
		f.Close()
	}
	c.Files = nil
}

// Reply answers the call. The first answer counts, later ones do nothing, nor
// does one after the connection has ended: the caller then got ErrGone.
// A reply that is too long for the caller becomes a refusal.
func (c *Call) Reply(m Message, files ...*os.File) {
	if !c.answered.CompareAndSwap(false, true) {
		return
	}
	c.conn.under.Add(-1)
	fds, err := duplicate(files)
	if err == nil {
		err = c.conn.send(header{role: roleReply, id: c.id, kind: m.Kind()}, m, fds)
	}
	if err != nil {
		_ = c.conn.send(header{role: roleRefusal, id: c.id}, &refusal{err.Error()}, nil)
	}
	c.conn.paid()
}

// Refuse answers the call with an error: the caller gets a *RemoteError.
func (c *Call) Refuse(err error) {
	if !c.answered.CompareAndSwap(false, true) {
		return
	}
	c.conn.under.Add(-1)
	_ = c.conn.send(header{role: roleRefusal, id: c.id}, &refusal{err.Error()}, nil)
	c.conn.paid()
}

// paid notes that an answer is queued.
func (c *Conn) paid() {
	if c.owed.Add(-1) == 0 && c.refusing.Load() {
		select {
		case c.settled <- struct{}{}:
		default:
		}
	}
}

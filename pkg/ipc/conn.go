package ipc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"filbert/pkg/wire"
)

// helloTimeout is how long a peer may take to say hello: both ends are on one
// machine and say it first.
const helloTimeout = 10 * time.Second

// Options of one end of a connection. The zero value is good for an end that
// only calls.
type Options struct {
	Handler  Handler // answers the peer's calls; nil: there are none
	Credits  int     // calls from the peer under way at once; 0: DefaultCredits
	MaxFrame int     // largest payload accepted; 0: DefaultMaxFrame

	// OnNotice is called on the read loop for each notice and must not block.
	// The payload is its to keep. nil: notices are a protocol violation.
	OnNotice func(kind uint16, payload []byte)

	Caller string // who the peer is, as Call.Caller reports it
}

func (o *Options) fill() {
	if o.Credits == 0 {
		o.Credits = DefaultCredits
	}
	if o.Handler == nil {
		o.Credits = 0
	}
	if o.MaxFrame == 0 {
		o.MaxFrame = DefaultMaxFrame
	}
}

// Conn is one end of a connection. Both ends may call, answer and notify.
// All methods may be called by many goroutines.
type Conn struct {
	opts Options
	uc   *net.UnixConn
	peer PeerCred
	rd   *reader
	w    writer

	greeted func(*Conn) // told of the peer's hello, on the read loop

	ctx    context.Context // ends with the connection; handlers get it
	cancel context.CancelFunc
	ready  chan struct{} // closed when the peer's hello is here

	// under counts the peer's calls against its credits, owed until their
	// answers are queued. They differ because a credit must be free before
	// the answer that frees it can reach the peer.
	under, owed atomic.Int64
	refusing    atomic.Bool   // no new calls from the peer
	settled     chan struct{} // told when owed is 0 while refusing
	peerMax     atomic.Int64  // the largest payload that the peer accepts

	mu      sync.Mutex
	helloed bool
	credits int // the peer's
	lastID  uint64
	sent    map[uint64]*pending // not yet answered, abandoned ones too
	queue   []*pending          // waiting for hello or credit
	err     error               // of calls, once the connection has ended
	cause   error               // why it has
}

// NewConn prepares an end of a connection; Serve makes it live.
func NewConn(uc *net.UnixConn, opts Options) (*Conn, error) {
	opts.fill()
	raw, err := uc.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("use a connection: %w", err)
	}
	peer, err := Credentials(uc)
	if err != nil {
		return nil, err
	}
	c := &Conn{
		opts:    opts,
		uc:      uc,
		peer:    peer,
		rd:      newReader(uc, uint32(opts.MaxFrame)),
		ready:   make(chan struct{}),
		settled: make(chan struct{}, 1),
		sent:    make(map[uint64]*pending),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.peerMax.Store(DefaultMaxFrame)
	c.w = writer{conn: uc, raw: raw, lost: c.fail, room: c.release}
	c.rd.idle = c.w.uncork
	// Before anyone can notify: the hello has to be first.
	err = c.send(header{role: roleHello}, &hello{version, uint32(opts.Credits), uint32(opts.MaxFrame)}, nil)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Caller is Options.Caller.
func (c *Conn) Caller() string { return c.opts.Caller }

// Peer is what the kernel says of the other end.
func (c *Conn) Peer() PeerCred { return c.peer }

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.ctx.Done() }

// Ready is closed when the peer has said hello.
func (c *Conn) Ready() <-chan struct{} { return c.ready }

func (c *Conn) isReady() bool {
	select {
	case <-c.ready:
		return true
	default:
		return false
	}
}

// UnderWay is how many of the peer's calls are not yet answered.
func (c *Conn) UnderWay() int { return int(c.under.Load()) }

// Close ends the connection. Calls under way fail with ErrGone.
func (c *Conn) Close() { c.fail(nil) }

// Serve reads until the connection ends, ctx is done, or the peer breaks the
// protocol; the last alone is an error. Handlers and notices run inside it.
func (c *Conn) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	err := c.read()
	c.rd.close()
	c.fail(err)
	// What ended the connection is not always what the read loop met: a handler
	// that finds a violation closes the socket under it.
	c.mu.Lock()
	err = c.cause
	c.mu.Unlock()
	if errors.Is(err, ErrProtocol) || errors.Is(err, wire.ErrMalformed) {
		return err
	}
	return nil
}

func (c *Conn) read() error {
	if err := c.greet(); err != nil {
		return err
	}
	for {
		h, payload, files, err := c.rd.next()
		if err != nil {
			return err
		}
		c.w.cork()
		if err := c.dispatch(h, payload, files); err != nil {
			for _, f := range files {
				f.Close()
			}
			return err
		}
	}
}

// greet reads the peer's hello.
func (c *Conn) greet() error {
	if err := c.uc.SetReadDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	h, payload, files, err := c.rd.next()
	if err != nil {
		return err
	}
	if h.role != roleHello || len(files) > 0 {
		return violation("first frame is of role %d", h.role)
	}
	var m hello
	if err := decodeMessage(payload, &m); err != nil {
		return fmt.Errorf("%w: hello: %w", ErrProtocol, err)
	}
	if err := c.uc.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	c.mu.Lock()
	c.helloed, c.credits = true, int(m.credits)
	c.mu.Unlock()
	c.peerMax.Store(int64(m.maxFrame))
	close(c.ready)
	if c.greeted != nil {
		c.greeted(c)
	}
	c.release()
	return nil
}

// dispatch acts on one frame.
func (c *Conn) dispatch(h header, payload []byte, files []*os.File) error {
	switch h.role {
	case roleCall:
		return c.called(h, payload, files)
	case roleReply, roleRefusal:
		return c.answered(h, payload, files)
	case roleNotice:
		if c.opts.OnNotice == nil || len(files) > 0 {
			return violation("unexpected notice of kind %d", h.kind)
		}
		c.opts.OnNotice(h.kind, payload)
		return nil
	default:
		return violation("unexpected frame of role %d", h.role)
	}
}

// called hands a call of the peer to the handler.
func (c *Conn) called(h header, payload []byte, files []*os.File) error {
	if n := c.under.Add(1); n > int64(c.opts.Credits) {
		return violation("%d calls under way where %d may be", n, c.opts.Credits)
	}
	c.owed.Add(1)
	call := &Call{
		Kind:    h.kind,
		Payload: payload,
		Files:   files,
		Caller:  c.opts.Caller,
		Peer:    c.peer,
		conn:    c,
		id:      h.id,
	}
	if c.refusing.Load() {
		call.CloseFiles()
		call.Refuse(errStopping)
		return nil
	}
	c.opts.Handler(c.ctx, call)
	return nil
}

var errStopping = errors.New("service is stopping")

// Notify sends m without asking for an answer. It never waits.
func (c *Conn) Notify(m Message) error {
	return c.send(header{role: roleNotice, kind: m.Kind()}, m, nil)
}

var encoders = sync.Pool{New: func() any { return new(wire.Encoder) }}

// send encodes and sends one frame. files are taken over.
func (c *Conn) send(h header, m Message, files []int) error {
	e := encoders.Get().(*wire.Encoder)
	h.files = uint8(len(files))
	encodeFrame(e, h, m)
	frame := e.Buf
	if keeps(frame, files) {
		e.Buf = nil
	}
	err := ErrTooBig
	if int64(len(frame)-headerSize) <= c.peerMax.Load() {
		err = c.w.send(frame, files)
	} else {
		closeAll(files)
	}
	e.Buf = e.Buf[:0]
	encoders.Put(e)
	return err
}

// fail ends the connection, once, and with it every call under way.
func (c *Conn) fail(cause error) {
	if cause == nil {
		cause = net.ErrClosed
	}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err, c.cause = gone(cause), cause
	err := c.err
	sent, queue := c.sent, c.queue
	c.sent, c.queue = map[uint64]*pending{}, nil
	c.mu.Unlock()

	c.cancel()
	c.uc.Close()
	c.w.fail(cause)
	for _, p := range queue {
		closeAll(p.files)
		p.finish(nil, err)
	}
	for _, p := range sent {
		if !p.abandoned { // nobody changes that any more: err is set
			p.finish(nil, err)
		}
	}
}

// stop refuses new calls, waits for those under way and for the last answer
// to leave, and closes.
func (c *Conn) stop(ctx context.Context) {
	c.refusing.Store(true)
	defer c.Close()
	for c.owed.Load() > 0 {
		select {
		case <-c.settled:
		case <-c.ctx.Done():
			return
		case <-ctx.Done():
			return
		}
	}
	select {
	case <-c.w.flushed():
	case <-ctx.Done():
	}
}

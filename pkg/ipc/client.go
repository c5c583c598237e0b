package ipc

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// ClientOptions say what a Client wants to hear. The zero value is good.
type ClientOptions struct {
	MaxFrame int // largest payload accepted; 0: DefaultMaxFrame

	// Stay keeps the connection up from the start, for those who wait for
	// notices. Otherwise the first call makes it, and so does the first after
	// it was lost.
	Stay Persistence

	// OnNotice as in Options.
	OnNotice func(kind uint16, payload []byte)

	// OnUp is called for each new connection before the calls that wait for
	// it: what it calls and notifies through conn comes first. It may block
	// within ctx, and holds up all others meanwhile.
	OnUp func(ctx context.Context, conn *Conn)

	// OnDown is called when a connection is lost, and when one can't be made.
	OnDown func(err error)
}

// Persistence is when a Client connects.
type Persistence int

const (
	// OnDemand connects when there is a call.
	OnDemand Persistence = iota
	// Always connects at once and again after each loss.
	Always
)

const (
	firstPause = 20 * time.Millisecond
	lastPause  = 2 * time.Second

	// connectTimeout bounds dialling and the hello. Master may have to start
	// the service first.
	connectTimeout = 20 * time.Second
)

// Client is a connection to one service that is made again, with back-off,
// when it is lost.
//
// A call made while there is no connection waits for the next attempt to make
// one, and fails with ErrGone if that fails.
type Client struct {
	dial func(context.Context) (*net.UnixConn, error)
	opts ClientOptions

	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{} // somebody wants a connection
	left   chan struct{} // the present one is no good for new calls
	old    sync.WaitGroup
	ended  chan struct{}

	mu      sync.Mutex
	conn    *Conn
	waiting []func(*Conn, error) // each called once, when there is news
}

// NewClient makes a client; it connects when Options say. Close ends it.
func NewClient(dial func(context.Context) (*net.UnixConn, error), opts ClientOptions) *Client {
	c := &Client{
		dial:  dial,
		opts:  opts,
		wake:  make(chan struct{}, 1),
		left:  make(chan struct{}, 1),
		ended: make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.run()
	return c
}

// Close ends the connection and every call under way, and waits for the
// client's goroutine.
func (c *Client) Close() {
	c.cancel()
	<-c.ended
}

// mostPeers is how many peers that are stopping are left for their successors
// before a call fails.
const mostPeers = 3

// Call is Conn.Call over the present connection, or the next. A peer that is
// replaced by another refuses calls without having looked at them; they go to
// its successor.
func (c *Client) Call(ctx context.Context, req, reply Message, files ...*os.File) error {
	for n := 1; ; n++ {
		conn, err := c.connected(ctx)
		if err != nil {
			return err
		}
		err = conn.Call(ctx, req, reply, files...)
		if n == mostPeers || !errors.Is(err, errStopping) {
			return err
		}
		c.leave(conn)
	}
}

// leave has the next call go over another connection than conn, which lives on
// for the calls that it has.
func (c *Client) leave(conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != conn {
		return // somebody else was refused before us
	}
	c.conn = nil
	select {
	case c.left <- struct{}{}:
	default:
	}
}

// Exchange is Conn.Exchange over the present connection, or the next.
func (c *Client) Exchange(ctx context.Context, req Message, files ...*os.File) (*Reply, error) {
	conn, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	return conn.Exchange(ctx, req, files...)
}

// Go is Conn.Go over the present connection, or the next. Until it is sent,
// req and files must stay as they are.
func (c *Client) Go(ctx context.Context, req Message, done func(*Reply, error), files ...*os.File) {
	c.whenUp(func(conn *Conn, err error) {
		switch {
		case err != nil:
			done(nil, err)
		case ctx.Err() != nil:
			done(nil, ctx.Err())
		default:
			conn.Go(ctx, req, done, files...)
		}
	})
}

// Notify sends m if there is a connection, and is ErrGone if there is none.
func (c *Client) Notify(m Message) error {
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	if conn == nil {
		return gone(nil)
	}
	return conn.Notify(m)
}

// connected returns the connection, waiting for one within ctx.
func (c *Client) connected(ctx context.Context) (*Conn, error) {
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	type news struct {
		conn *Conn
		err  error
	}
	ch := make(chan news, 1)
	c.whenUp(func(conn *Conn, err error) { ch <- news{conn, err} })
	select {
	case n := <-ch:
		return n.conn, n.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// whenUp calls f with the connection: now, or when there is one or none can
// be made.
func (c *Client) whenUp(f func(*Conn, error)) {
	c.mu.Lock()
	conn := c.conn
	closed := c.ctx.Err() != nil
	if conn == nil && !closed {
		c.waiting = append(c.waiting, f)
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	c.mu.Unlock()
	switch {
	case conn != nil:
		f(conn, nil)
	case closed:
		f(nil, gone(net.ErrClosed))
	}
}

// publish makes conn (or the lack of one) known to all who wait.
func (c *Client) publish(conn *Conn, err error) {
	c.mu.Lock()
	c.conn = conn
	waiting := c.waiting
	if conn != nil || err != nil {
		c.waiting = nil
	} else {
		waiting = nil
	}
	c.mu.Unlock()
	for _, f := range waiting {
		f(conn, err)
	}
}

// run makes connections, one after the other, until Close.
func (c *Client) run() {
	defer close(c.ended)
	defer c.old.Wait()
	defer func() { c.publish(nil, gone(net.ErrClosed)) }()
	pause := time.Duration(0)
	for {
		if !c.wanted() || !c.rest(pause) {
			return
		}
		err := c.once()
		if c.opts.OnDown != nil && c.ctx.Err() == nil {
			c.opts.OnDown(err)
		}
		if _, failed := err.(*connectError); failed || pause == 0 {
			pause = min(max(2*pause, firstPause), lastPause)
		} else {
			pause = firstPause
		}
	}
}

// wanted waits until there is a reason to connect. It is false after Close.
func (c *Client) wanted() bool {
	for c.opts.Stay != Always {
		c.mu.Lock()
		n := len(c.waiting)
		c.mu.Unlock()
		if n > 0 {
			break
		}
		select {
		case <-c.wake:
		case <-c.ctx.Done():
			return false
		}
	}
	return c.ctx.Err() == nil
}

func (c *Client) rest(d time.Duration) bool {
	if d == 0 {
		return c.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// connectError tells an attempt that failed from a connection that ended.
type connectError struct{ error }

// Unwrap lets errors.Is find ErrGone and the cause.
func (e *connectError) Unwrap() error { return e.error }

// once makes one connection and stays with it to its end.
func (c *Client) once() error {
	conn, served, err := c.connect()
	if err != nil {
		c.publish(nil, gone(err))
		return &connectError{gone(err)}
	}
	if c.opts.OnUp != nil {
		c.opts.OnUp(c.ctx, conn)
	}
	select {
	case <-c.left: // of the one before
	default:
	}
	c.publish(conn, nil)
	select {
	case err = <-served:
	case <-c.left:
		err = errStopping
		c.old.Go(func() { <-served })
	}
	c.publish(nil, nil)
	return gone(err)
}

// connect dials and waits for the peer's hello.
func (c *Client) connect() (*Conn, <-chan error, error) {
	ctx, cancel := context.WithTimeout(c.ctx, connectTimeout)
	defer cancel()
	uc, err := c.dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	conn, err := NewConn(uc, Options{MaxFrame: c.opts.MaxFrame, OnNotice: c.opts.OnNotice})
	if err != nil {
		uc.Close()
		return nil, nil, err
	}
	served := make(chan error, 1)
	go func() { served <- conn.Serve(c.ctx) }()
	select {
	case <-conn.Ready():
		return conn, served, nil
	case err := <-served:
		return nil, nil, gone(err)
	}
}

package ipc

import (
	"context"
	"errors"
	"net"
	"sync"
)

// ServerOptions say how a Server treats its connections. The zero value is
// good.
type ServerOptions struct {
	Credits  int // for each connection; 0: DefaultCredits
	MaxFrame int // largest payload accepted; 0: DefaultMaxFrame

	// MaxConns bounds connections; further ones are closed at once. 0: 1024.
	MaxConns int

	// OnNotice as in Options, with the connection that it came over.
	OnNotice func(c *Conn, kind uint16, payload []byte)

	// OnConnect is called when a peer has said hello, before any of its
	// calls is handled; it must not block. OnDisconnect is called after the end.
	OnConnect    func(c *Conn)
	OnDisconnect func(c *Conn)

	// OnError is told why a connection was closed for breaking the protocol.
	OnError func(c *Conn, err error)
}

// Server answers calls over many connections with one handler.
type Server struct {
	handler Handler
	opts    ServerOptions

	mu      sync.Mutex
	conns   map[*Conn]struct{}
	stopped bool
	wg      sync.WaitGroup
}

// NewServer makes a server without connections.
func NewServer(h Handler, opts ServerOptions) *Server {
	if opts.MaxConns == 0 {
		opts.MaxConns = 1024
	}
	return &Server{handler: h, opts: opts, conns: map[*Conn]struct{}{}}
}

// ErrServerClosed means that a server is stopping or full.
var ErrServerClosed = errors.New("server takes no more connections")

// ServeConn answers over uc until the connection ends; caller is who is at
// the other end. An error means that the connection was refused or broke the
// protocol; OnError has been told.
func (s *Server) ServeConn(ctx context.Context, uc *net.UnixConn, caller string) error {
	opts := Options{
		Handler:  s.handler,
		Credits:  s.opts.Credits,
		MaxFrame: s.opts.MaxFrame,
		Caller:   caller,
	}
	var c *Conn
	if s.opts.OnNotice != nil {
		opts.OnNotice = func(kind uint16, payload []byte) { s.opts.OnNotice(c, kind, payload) }
	}
	c, err := NewConn(uc, opts)
	if err != nil {
		uc.Close()
		return err
	}
	if s.opts.OnConnect != nil {
		c.greeted = s.opts.OnConnect
	}
	if !s.add(c) {
		c.Close()
		return ErrServerClosed
	}
	defer s.remove(c)
	err = c.Serve(ctx)
	if err != nil && s.opts.OnError != nil {
		s.opts.OnError(c, err)
	}
	if s.opts.OnDisconnect != nil && c.isReady() {
		s.opts.OnDisconnect(c)
	}
	return err
}

func (s *Server) add(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || len(s.conns) >= s.opts.MaxConns {
		return false
	}
	s.conns[c] = struct{}{}
	s.wg.Add(1)
	return true
}

func (s *Server) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.wg.Done()
}

// Conns lists the live connections.
func (s *Server) Conns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		list = append(list, c)
	}
	return list
}

// Notify sends m to every peer that has said hello.
func (s *Server) Notify(m Message) {
	for _, c := range s.Conns() {
		if c.isReady() {
			_ = c.Notify(m) // a peer that is gone learns more when it is back
		}
	}
}

// Listen accepts connections from l until ctx is done or l is closed; each is
// served in a goroutine. admit says who may in and by what name.
func (s *Server) Listen(ctx context.Context, l *net.UnixListener, admit func(PeerCred) (caller string, err error)) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		uc, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			if pauseAfter(ctx, err) {
				continue
			}
			return err
		}
		cred, err := Credentials(uc)
		if err == nil {
			var caller string
			if caller, err = admit(cred); err == nil {
				go s.ServeConn(ctx, uc, caller)
			}
		}
		if err != nil {
			uc.Close()
		}
	}
}

// Shutdown refuses new calls, waits until those under way are answered or ctx
// is done, and closes all connections.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range s.Conns() {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c.stop(ctx)
		}()
	}
	wg.Wait()
	s.wg.Wait()
	return ctx.Err()
}

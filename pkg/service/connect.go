package service

import (
	"context"
	"net"
	"slices"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

// maxParked is how many connections wait for their acceptor: each caller has
// one or two, and they come only while a daemon starts.
const maxParked = 64

type acceptor struct {
	server  *ipc.Server
	callers []string // none: all
}

type parkedConn struct {
	caller string
	conn   *net.UnixConn
}

// Client makes a client of another service. The connection is brokered by
// master, made when first needed (or at once, by opts.Stay), and made again
// after a loss. It ends with the process.
func (p *Process) Client(callee proto.Service, opts ipc.ClientOptions) *ipc.Client {
	if opts.MaxFrame == 0 {
		opts.MaxFrame = proto.MaxFrame
	}
	c := ipc.NewClient(func(ctx context.Context) (*net.UnixConn, error) {
		return p.wiring.Dial(ctx, callee)
	}, opts)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients = append(p.clients, c)
	return c
}

// Accept serves the connections that master hands over, of the named callers
// or, without names, of all that no other acceptor names. Call it in Open or
// at the beginning of Serve; connections that came before wait for it.
func (p *Process) Accept(h ipc.Handler, opts ipc.ServerOptions, callers ...string) *ipc.Server {
	if opts.MaxFrame == 0 {
		opts.MaxFrame = proto.MaxFrame
	}
	if opts.OnError == nil {
		opts.OnError = func(c *ipc.Conn, err error) {
			p.Log.Emit(event.TroubleOf(0, "serving "+c.Caller(), err))
		}
	}
	s := ipc.NewServer(h, opts)
	p.mu.Lock()
	p.acceptors = append(p.acceptors, acceptor{s, callers})
	parked := p.parked
	p.parked = nil
	p.mu.Unlock()
	for _, c := range parked {
		p.Admit(c.caller, c.conn)
	}
	return s
}

// Admit takes a connection that master hands over. It is closed when the
// process drains for too long or its server stops.
func (p *Process) Admit(caller string, conn *net.UnixConn) {
	p.mu.Lock()
	s := p.acceptorLocked(caller)
	if s == nil && len(p.parked) < maxParked && p.ctx.Err() == nil {
		p.parked = append(p.parked, parkedConn{caller, conn})
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	if s == nil {
		conn.Close()
		return
	}
	go s.ServeConn(p.ctx, conn, caller)
}

func (p *Process) acceptorLocked(caller string) *ipc.Server {
	var fallback *ipc.Server
	for _, a := range p.acceptors {
		if slices.Contains(a.callers, caller) {
			return a.server
		}
		if len(a.callers) == 0 {
			fallback = a.server
		}
	}
	return fallback
}

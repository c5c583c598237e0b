package master

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

// connectTimeout is how long a caller waits for a service that has to start
// first. It is less than the client's own patience, so that the answer says why.
const connectTimeout = 15 * time.Second

// errNoArrow is the answer to a caller who asks for a service that is none of
// its business.
var errNoArrow = errors.New("no arrow leads there")

// brokerFor answers the calls of one service's processes. Who asks is known by
// the channel that the question comes over, not by anything it says.
func (m *Master) brokerFor(caller proto.Service) ipc.Handler {
	return ipc.Spawn(func(ctx context.Context, call *ipc.Call) {
		if call.Kind == proto.KindOrders {
			m.ordersOf(ctx, caller, call)
			return
		}
		var ask proto.Connect
		if call.Decode(&ask) != nil {
			return
		}
		theirs, err := m.connect(ctx, caller, ask.Callee)
		if err != nil {
			call.Refuse(err)
			return
		}
		call.Reply(&proto.Connection{}, theirs)
		theirs.Close()
	})
}

// connect makes a connection from caller to callee: it gives one end to the
// callee and returns the other.
func (m *Master) connect(ctx context.Context, caller, callee proto.Service) (*os.File, error) {
	if !m.opts.mayCall(caller, callee) {
		return nil, fmt.Errorf("%s asks for %q: %w", caller, callee, errNoArrow)
	}
	s := m.supervisors[callee]
	if s == nil {
		return nil, fmt.Errorf("%s asks for %q: there is no such service", caller, callee)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c, err := s.ready(ctx)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := ipc.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	if err := c.conn.Call(ctx, &proto.Connected{Caller: caller}, &proto.Done{}, theirs); err != nil {
		ours.Close()
		return nil, fmt.Errorf("hand a connection to %s: %w", callee, err)
	}
	return ours, nil
}

// dial is connect for master's own questions.
func (m *Master) dial(ctx context.Context, callee proto.Service) (*net.UnixConn, error) {
	f, err := m.connect(ctx, proto.Master, callee)
	if err != nil {
		return nil, err
	}
	return ipc.FileConn(f)
}

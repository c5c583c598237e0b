package router

import (
	"context"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/service"
)

// Agents do for router what it may not do itself: read a user's files, run
// programs, ask other mail servers.
type Agents interface {
	Forward(ctx context.Context, q *proto.ForwardQuery) (*proto.ForwardAnswer, error)
	Consult(ctx context.Context, q *proto.ConsultQuery) (*proto.ConsultAnswer, error)
	Callout(ctx context.Context, q *proto.CalloutQuery) (*proto.CalloutAnswer, error)
}

// agents are the daemons of the suite.
type agents struct {
	local, remote *ipc.Client
}

func connect(p *service.Process) Agents {
	return &agents{
		local:  p.Client(proto.LocalDeliver, ipc.ClientOptions{}),
		remote: p.Client(proto.SMTPClient, ipc.ClientOptions{}),
	}
}

// Forward asks local-deliver.
func (a *agents) Forward(ctx context.Context, q *proto.ForwardQuery) (*proto.ForwardAnswer, error) {
	out := new(proto.ForwardAnswer)
	return out, a.local.Call(ctx, q, out)
}

// Consult asks local-deliver.
func (a *agents) Consult(ctx context.Context, q *proto.ConsultQuery) (*proto.ConsultAnswer, error) {
	out := new(proto.ConsultAnswer)
	return out, a.local.Call(ctx, q, out)
}

// Callout asks smtp-client.
func (a *agents) Callout(ctx context.Context, q *proto.CalloutQuery) (*proto.CalloutAnswer, error) {
	out := new(proto.CalloutAnswer)
	return out, a.remote.Call(ctx, q, out)
}

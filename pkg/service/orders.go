package service

import (
	"context"
	"sync"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

// standingOrders is the last copy of the administrator's orders that master sent.
type standingOrders struct {
	mu    sync.Mutex
	list  []proto.StandingOrder
	taken bool // list is what master sent later than Start
	heed  func([]proto.StandingOrder)
}

// OnOrders has f told the standing orders that are in force now, and again at each
// change. Master sends them to smtpd alone: to others qmgr does.
func (p *Process) OnOrders(f func([]proto.StandingOrder)) {
	o := &p.orders
	o.mu.Lock()
	defer o.mu.Unlock()
	o.heed = f
	if !o.taken {
		o.list = p.wiring.Start.Orders
	}
	f(o.list)
}

// TakeOrders puts other orders in force.
func (p *Process) TakeOrders(list []proto.StandingOrder) {
	o := &p.orders
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list, o.taken = list, true
	if o.heed != nil {
		o.heed(list)
	}
}

// TellMaster calls master over the channel of this process. Where there is none, in tests,
// nothing is told.
func (p *Process) TellMaster(ctx context.Context, req, reply ipc.Message) error {
	if p.wiring.Tell == nil {
		return nil
	}
	return p.wiring.Tell(ctx, req, reply)
}

// takeOrders is master's call.
func takeOrders(p *Process, call *ipc.Call) error {
	var m proto.Orders
	if err := call.Decode(&m); err != nil {
		return err
	}
	p.TakeOrders(m.List)
	call.Reply(&proto.OrdersTaken{})
	return nil
}

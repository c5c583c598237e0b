package service

import (
	"sync"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

// load is what master said last of the load of the machine.
type load struct {
	mu    sync.Mutex
	level int // 0: nothing was said
	heed  func(level int)
}

// OnLoad has f told how many percent of the limits the load of the machine leaves: at each
// change, and now if there was one already. Master tells smtpd and dispatch.
func (p *Process) OnLoad(f func(level int)) {
	p.load.mu.Lock()
	defer p.load.mu.Unlock()
	if p.load.heed = f; p.load.level > 0 {
		f(p.load.level)
	}
}

// takeLoad is master's call.
func takeLoad(p *Process, call *ipc.Call) error {
	var m proto.Load
	if err := call.Decode(&m); err != nil {
		return err
	}
	p.load.mu.Lock()
	defer p.load.mu.Unlock()
	if p.load.level = int(m.Level); p.load.heed != nil {
		p.load.heed(p.load.level)
	}
	return nil
}

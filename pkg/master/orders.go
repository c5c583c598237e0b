package master

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/standing"
)

// Master obeys no order. It keeps the last copy for those who are called by nobody, and
// gives it to each of their processes: one that starts while qmgr is away must know as
// well that no mail is to be taken.

// heedTimeout bounds a daemon's answer to new orders.
const heedTimeout = 5 * time.Second

// heeds tells whether a service is told the orders by master.
func heeds(name proto.Service) bool { return name == proto.SMTPD }

// readOrders reads what an earlier run of qmgr has kept, for those who start before it does.
func (m *Master) readOrders(spool string) {
	fsys, err := durable.Open(spool)
	if err == nil {
		defer fsys.Close()
		_, m.standing, err = standing.Load(fsys)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Emit(event.TroubleOf(0, "read the standing orders", err)) // qmgr sends them, and mends the file
	}
}

// ordersOf answers qmgr's word of the orders in force.
func (m *Master) ordersOf(ctx context.Context, caller proto.Service, call *ipc.Call) {
	var orders proto.Orders
	if caller != proto.QMgr {
		call.Refuse(fmt.Errorf("%s gives orders: %w", caller, errNoArrow))
		return
	}
	if call.Decode(&orders) != nil {
		return
	}
	m.mu.Lock()
	m.standing = orders.List
	m.mu.Unlock()
	for _, s := range m.order {
		if !heeds(s.def.name) {
			continue
		}
		s.each(func(c *child) {
			if c.isReady() {
				m.command(ctx, c, &orders)
			}
		})
	}
	call.Reply(&proto.OrdersTaken{})
}

// command tells one process the orders in force.
func (m *Master) command(ctx context.Context, c *child, orders *proto.Orders) {
	ctx, cancel := context.WithTimeout(ctx, heedTimeout)
	defer cancel()
	if err := c.conn.Call(ctx, orders, &proto.OrdersTaken{}); err != nil {
		select {
		case <-c.exited:
		default:
			m.log.Emit(event.TroubleOf(0, "tell "+string(c.service)+" the standing orders", err))
		}
	}
}

// repeatOrders tells a process that has just come up what changed since its start frame was
// made.
func (m *Master) repeatOrders(c *child) {
	if !heeds(c.service) {
		return
	}
	m.mu.Lock()
	orders := proto.Orders{List: m.standing}
	m.mu.Unlock()
	m.command(context.Background(), c, &orders)
}

package dispatch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"filbert/pkg/clock"
	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/pace"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/standing"
	"filbert/pkg/untrusted"
)

// orders is the last copy of the administrator's standing orders. It is obeyed by first
// attempts and by later ones, and while qmgr is away.
type orders struct {
	mu    sync.Mutex // of all below, and of the limits that follow from it
	set   *standing.Set
	timer *clock.Timer // at the next end of one
	level int          // percent of the limits that the load of the machine leaves; 0: all
}

// now is what is in force, nil while there is nothing.
func (o *orders) inForce() *standing.Set {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.set.Empty() {
		return nil
	}
	return o.set
}

// openOrders reads what qmgr has kept: mail that comes before qmgr does obeys it, too.
func (d *Dispatcher) openOrders() {
	_, list, err := standing.Load(d.fs)
	if err != nil {
		d.log.Emit(event.TroubleOf(0, "read the standing orders", err)) // qmgr mends the file
	}
	d.takeOrders(list)
}

// takeOrders puts orders in force, in place of those before.
func (d *Dispatcher) takeOrders(list []proto.StandingOrder) {
	set, err := standing.Compile(list)
	if err != nil {
		d.log.Emit(event.TroubleOf(0, "obey the standing orders", err))
	}
	d.orders.mu.Lock()
	d.orders.set = set
	d.orders.mu.Unlock()
	d.applyLimits()
}

// applyLimits puts the limits of the configuration in force, as orders change them, and
// again when one of these ends.
func (d *Dispatcher) applyLimits() {
	o := &d.orders
	o.mu.Lock()
	defer o.mu.Unlock()
	now := d.now()
	s := *d.settings.Load()
	if n := o.set.Limit(proto.TargetDeliveries, now); n > 0 {
		s.Limits.Deliveries = n
	}
	s.Limits.Deliveries = pace.Part(s.Limits.Deliveries, o.level)
	d.limits.apply(&s)
	d.limits.limitLocal(localLimit(o.set.Limit(proto.TargetLocal, now), s.Limits.LocalChildren, o.level), localTransports(&s))
	if o.timer != nil {
		o.timer.Stop()
		o.timer = nil
	}
	if end := o.set.NextEnd(now); !end.IsZero() {
		o.timer = d.clock.AfterFunc(max(end.Sub(now), time.Millisecond), d.applyLimits)
	}
}

// localLimit is how many deliveries there are on this machine at once: by an order, or
// where the load leaves part of what there may be otherwise; 0 = no limit of their own.
func localLimit(ordered, children, level int) int {
	if ordered == 0 && level > 0 && level < pace.Whole {
		ordered = children
	}
	return pace.Part(ordered, level)
}

// takeLoad puts in force what the load of the machine leaves of the limits.
func (d *Dispatcher) takeLoad(level int) {
	d.orders.mu.Lock()
	d.orders.level = level
	d.orders.mu.Unlock()
	d.applyLimits()
}

func localTransports(s *settings.Settings) map[string]bool {
	local := map[string]bool{}
	for name, t := range s.Transports {
		local[name] = !isRemote(t.Driver) && t.Driver != "discard"
	}
	return local
}

// stopOrders ends the wait for the end of orders.
func (d *Dispatcher) stopOrders() {
	d.orders.mu.Lock()
	defer d.orders.mu.Unlock()
	if d.orders.timer != nil {
		d.orders.timer.Stop()
		d.orders.timer = nil
	}
}

// fromQMgr answers one call of qmgr's.
func (d *Dispatcher) fromQMgr(ctx context.Context, call *ipc.Call) {
	switch call.Kind {
	case proto.KindOrders:
		var m proto.Orders
		if call.Decode(&m) == nil {
			d.takeOrders(m.List)
			call.Reply(&proto.OrdersTaken{})
		}
	case proto.KindAbort:
		d.handleAbort(ctx, call)
	default:
		d.handleDue(ctx, call)
	}
}

// where is what of a leaf orders are about.
func (d *Dispatcher) where(f *flight, l *proto.Leaf) *standing.Where {
	return &standing.Where{
		Address: l.Recipient.Address, Original: f.env.Recipients[l.Parent].Address,
		Remote:    isRemote(d.settings.Load().Transports[l.Transport].Driver),
		Transport: l.Transport, NextHop: l.NextHop, Hosts: l.Hosts,
	}
}

// obey puts off what an order keeps. It goes before what router says of an address: whoever
// holds a domain whose name servers are gone does not want its mail returned.
func (d *Dispatcher) obey(f *flight) {
	set := d.orders.inForce()
	if set == nil || f.due.Action == proto.DueBounce {
		return
	}
	now := d.now()
	for i := range f.leaves {
		l := &f.leaves[i]
		if f.outcomes[i].Class == outcome.Delivered {
			continue
		}
		if o := set.Stops(d.where(f, l), now); o != nil {
			l.Verdict = keptBy(o)
			f.outcomes[i] = l.Verdict
			f.keptBy(o.Number)
		}
	}
}

// keptBy is the outcome of what an order keeps. qmgr reads the number (orderNumber there).
func keptBy(o *proto.StandingOrder) outcome.Outcome {
	text := fmt.Sprintf("order %d (%s %s)", o.Number, o.Kind, untrusted.From(o.Target).ForLog())
	if o.Until.IsZero() {
		text += " keeps it until the order is cancelled"
	} else {
		text += " keeps it until " + o.Until.UTC().Format("2006-01-02 15:04:05 MST")
	}
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	return outcome.Defer(outcome.Ordered, statusBusy, "%s", text)
}

// kept is by which orders a flight is kept: by none, one, or several.
type kept struct {
	order   uint64
	several bool
}

func (f *flight) keptBy(number uint64) {
	f.kept.several = f.kept.several || f.kept.order != 0 && f.kept.order != number
	f.kept.order = number
}

// orderOf adds to a summary which order keeps what waits.
func (f *flight) orderOf(s proto.Summary) proto.Summary {
	if f.kept.order == 0 {
		return s
	}
	if s.Order = f.kept.order; f.kept.several {
		s.Order = 0
	}
	s.Ordered = true
	for i := range f.outcomes {
		s.Ordered = s.Ordered && (!f.outcomes[i].Temporary() || f.outcomes[i].Kind == outcome.Ordered)
	}
	return s
}

// reroute sends to other hosts what an order says so of, whatever the directors and routers
// have said. A recipient whose own address is meant goes there as it is; what an alias led
// to goes there as what it was made. Of a list some of whose members have the message
// the others are rerouted for what they are themselves, if at all: the host would send
// it to all of the list.
func (d *Dispatcher) reroute(ctx context.Context, f *flight) {
	set := d.orders.inForce()
	now := d.now()
	if set == nil || !set.AnyReroute(now) {
		return
	}
	by := map[*proto.StandingOrder][]proto.Leaf{}
	var order []*proto.StandingOrder
	send := func(o *proto.StandingOrder, l proto.Leaf) {
		if by[o] == nil {
			order = append(order, o)
		}
		by[o] = append(by[o], l)
	}
	whole := make([]bool, len(f.env.Recipients))
	for i := range f.env.Recipients {
		rc := &f.env.Recipients[i]
		if rc.Kind != envelope.TargetAddress || f.isPartlyServed(i) {
			continue
		}
		if o := set.Reroutes(&standing.Where{Address: rc.Address, Original: rc.Address}, now); o != nil {
			whole[i] = true
			send(o, proto.Leaf{Parent: i, Recipient: *rc})
		}
	}
	left := f.leaves[:0]
	for i := range f.leaves {
		l := f.leaves[i]
		if whole[l.Parent] {
			continue
		}
		if l.Recipient.Kind == envelope.TargetAddress && l.Verdict.Class != outcome.Delivered {
			where := d.where(f, &l)
			if f.isPartlyServed(l.Parent) {
				where.Original = where.Address
			}
			if o := set.Reroutes(where, now); o != nil {
				send(o, l)
				continue
			}
		}
		left = append(left, l)
	}
	f.leaves = left
	for _, o := range order {
		f.leaves = append(f.leaves, d.toHosts(ctx, f, o, by[o])...)
	}
}

// isPartlyServed tells of a recipient of the flight whether an earlier attempt has served
// some of what it stands for.
func (f *flight) isPartlyServed(i int) bool {
	return f.book != nil && f.book.States[f.index[i]].Partly
}

// toHosts has router look the hosts of an order up for some leaves.
func (d *Dispatcher) toHosts(ctx context.Context, f *flight, o *proto.StandingOrder, leaves []proto.Leaf) []proto.Leaf {
	for at := 0; at < len(leaves); at += routeBatch {
		part := leaves[at:min(at+routeBatch, len(leaves))]
		query := proto.RouteQuery{Sender: f.env.Sender, Most: uint32(len(part)), Origin: proto.OriginOf(f.env), Override: o.To}
		for i := range part {
			query.Recipients = append(query.Recipients, part[i].Recipient)
		}
		answer, err := d.askOnce(ctx, &query)
		if err == nil && len(answer.Leaves) != len(part) {
			err = errIncomplete
		}
		for i := range part {
			l := &part[i]
			if err != nil {
				l.Verdict = outcome.Defer(outcome.Internal, statusInternal, "the router did not answer: %v", err)
				continue
			}
			a := &answer.Leaves[i]
			a.Parent, a.Expanded = l.Parent, l.Expanded
			*l = *a
		}
	}
	return leaves
}

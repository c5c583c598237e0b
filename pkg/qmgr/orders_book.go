package qmgr

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/standing"
	"filbert/pkg/untrusted"
)

// The standing orders: qmgr keeps them, others obey them.

// corruptOrders is where a file of orders goes that can't be read.
const corruptOrders = "corrupt/orders."

// pushTimeout bounds the wait for one who has to obey.
const pushTimeout = 5 * time.Second

var (
	errTooManyOrders = fmt.Errorf("there are %d orders already; cancel some", proto.MaxOrders)
	errNoOrder       = errors.New("no such order: it was cancelled, or has expired")
)

// orderBook is what is in force, the oldest first.
type orderBook struct {
	mu   sync.Mutex
	next uint64
	list []proto.StandingOrder

	pushing sync.Mutex // one push at a time: an older list never follows a newer one
}

// openOrders reads the orders that an earlier run kept.
func (q *Manager) openOrders() error {
	next, list, err := standing.Load(q.fs)
	if err != nil {
		q.log.Emit(event.TroubleOf(0, "read the standing orders", err))
	}
	b := &q.book
	b.next, b.list = next, list
	if !errors.Is(err, standing.ErrDamaged) {
		return nil
	}
	aside := corruptOrders + q.now().UTC().Format("20060102T150405")
	if err := q.fs.Rename(standing.FileName, aside); err != nil {
		return fmt.Errorf("set the damaged orders aside: %w", err)
	}
	q.log.Emit(event.CorruptOf(0, fmt.Sprintf("the file of standing orders; %d of them stay in force", len(list)), aside, standing.ErrDamaged))
	return standing.Save(q.fs, next, list)
}

// prepareOrders makes the directory, where the instance has none yet.
func prepareOrders(fsys durable.FS) error {
	if _, err := fsys.Stat(standing.Dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.MkdirAll(fsys, standing.Dir, 0o700)
}

// inForce is a copy of the orders that have not expired.
func (q *Manager) inForce() []proto.StandingOrder {
	now := q.now()
	q.book.mu.Lock()
	defer q.book.mu.Unlock()
	var list []proto.StandingOrder
	for _, o := range q.book.list {
		if o.InForce(now) {
			list = append(list, o)
		}
	}
	return list
}

// standingOrder gives an order in force by its number.
func (q *Manager) standingOrder(number uint64) (proto.StandingOrder, bool) {
	for _, o := range q.inForce() {
		if o.Number == number {
			return o, true
		}
	}
	return proto.StandingOrder{}, false
}

// change makes another list the one in force: on disk first, then with those who obey.
func (q *Manager) changeOrders(f func(b *orderBook) error) error {
	b := &q.book
	b.mu.Lock()
	next, list := b.next, slices.Clone(b.list)
	err := f(b)
	if err == nil {
		err = standing.Save(q.fs, b.next, b.list)
	}
	if err != nil {
		b.next, b.list = next, list
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	q.pushOrders()
	select {
	case q.ordersChanged <- struct{}{}:
	default:
	}
	return nil
}

// addOrder puts an order in force. A limit takes the place of an earlier one for the same.
func (q *Manager) addOrder(o proto.StandingOrder) (proto.StandingOrder, error) {
	var replaced []proto.StandingOrder
	err := q.changeOrders(func(b *orderBook) error {
		kept := b.list[:0:0]
		for _, old := range b.list {
			if o.Kind == proto.OrderLimit && old.Kind == o.Kind && old.Target == o.Target {
				replaced = append(replaced, old)
				continue
			}
			kept = append(kept, old)
		}
		if len(kept) >= proto.MaxOrders {
			return errTooManyOrders
		}
		o.Number = b.next
		b.next++
		b.list = append(kept, o)
		return nil
	})
	if err == nil {
		q.tellOrder("ordered", &o, o.Who, o.Reason)
	}
	return o, err
}

// cancelOrder ends one, and what waits for it becomes due.
func (q *Manager) cancelOrder(number uint64, by author) (o proto.StandingOrder, err error) {
	err = q.changeOrders(func(b *orderBook) error {
		i := slices.IndexFunc(b.list, func(o proto.StandingOrder) bool { return o.Number == number })
		if i < 0 || !b.list[i].InForce(q.now()) {
			return errNoOrder
		}
		o = b.list[i]
		b.list = slices.Delete(b.list, i, i+1)
		return nil
	})
	if err == nil {
		q.tellOrder("cancelled", &o, by.who, by.reason)
		q.releaseFor(map[uint64]bool{o.Number: true})
	}
	return o, err
}

// tellOrder logs what became of an order.
func (q *Manager) tellOrder(did string, o *proto.StandingOrder, who, reason string) {
	text := fmt.Sprintf("order %d: %s", o.Number, describeOrder(o))
	if reason != "" {
		text += ": " + reason
	}
	q.log.Emit(event.OrderOf(0, did, who, text))
}

// describeOrder is an order in words.
func describeOrder(o *proto.StandingOrder) string {
	s := string(o.Kind) + " " + untrusted.From(o.Target).ForLog()
	switch o.Kind {
	case proto.OrderReroute:
		s += " to " + untrusted.From(o.To).ForLog()
	case proto.OrderLimit:
		s += fmt.Sprintf(" %d", o.Value)
	}
	if !o.Until.IsZero() {
		s += " until " + o.Until.UTC().Format(time.RFC3339)
	}
	return s
}

// expireOrders ends the orders whose time is over, and says when the next one's is.
func (q *Manager) expireOrders() time.Time {
	now := q.now()
	ended := map[uint64]bool{}
	var next time.Time
	var gone []proto.StandingOrder
	q.book.mu.Lock()
	for _, o := range q.book.list {
		switch {
		case !o.InForce(now):
			ended[o.Number] = true
			gone = append(gone, o)
		case !o.Until.IsZero() && (next.IsZero() || o.Until.Before(next)):
			next = o.Until
		}
	}
	q.book.mu.Unlock()
	if len(ended) == 0 {
		return next
	}
	forget := func(b *orderBook) error {
		b.list = slices.DeleteFunc(b.list, func(o proto.StandingOrder) bool { return ended[o.Number] })
		return nil
	}
	if err := q.changeOrders(forget); err != nil {
		// They hold no more all the same; the file is written with the next change.
		q.log.Emit(event.TroubleOf(0, "forget orders that have expired", err))
		q.book.mu.Lock()
		_ = forget(&q.book)
		q.book.mu.Unlock()
	}
	for i := range gone {
		q.tellOrder("expired", &gone[i], gone[i].Who, "")
	}
	q.releaseFor(ended)
	return next
}

// watchOrders ends orders when their time is over, until ctx ends.
func (q *Manager) watchOrders(ctx context.Context) {
	timer := q.clock.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-q.ordersChanged:
		}
		next := q.soonest(q.expireOrders(), q.releaseExpiredHolds(ctx))
		wait := lookEvery // the clock may be set meanwhile
		if !next.IsZero() {
			wait = min(max(0, next.Sub(q.now())), lookEvery)
		}
		timer.Reset(wait)
	}
}

func (*Manager) soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// pushOrders tells dispatch and master. One who is away asks when he is back: dispatch by
// its connection, and both have read the file at their start.
func (q *Manager) pushOrders() {
	q.book.pushing.Lock()
	defer q.book.pushing.Unlock()
	list := q.inForce()
	for _, to := range []struct {
		name string
		tell func(ctx context.Context, m *proto.Orders) error
	}{{"dispatch", q.tellDispatch}, {"master", q.tellMaster}} {
		if to.tell == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(q.work, pushTimeout)
		err := to.tell(ctx, &proto.Orders{List: list})
		cancel()
		if err != nil && q.work.Err() == nil {
			q.log.Emit(event.TroubleOf(0, "tell "+to.name+" the standing orders", err))
		}
	}
}

func (q *Manager) tellDispatch(ctx context.Context, m *proto.Orders) error {
	if !q.mended.Load() {
		return nil // told as soon as it is up
	}
	return q.dispatch.Call(ctx, m, &proto.OrdersTaken{})
}

// ordersFor tells a dispatch that has just come up, before it is asked to try anything.
func (q *Manager) ordersFor(ctx context.Context, conn *ipc.Conn) {
	q.book.pushing.Lock()
	defer q.book.pushing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	if err := conn.Call(ctx, &proto.Orders{List: q.inForce()}, &proto.OrdersTaken{}); err != nil && ctx.Err() == nil {
		q.log.Emit(event.TroubleOf(0, "tell dispatch the standing orders", err))
	}
}

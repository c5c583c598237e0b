package cleanup

import (
	"context"
	"sync"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/journal"
	"filbert/pkg/proto"
)

// capacityEvery is how often the disk is asked when nothing else happens.
const capacityEvery = time.Second

// capacity keeps the submitters informed of whether there is room, so that
// clients hear 452 before they send their data (RFC 1870, section 6.3).
type capacity struct {
	journal *journal.Writer
	server  *ipc.Server
	log     *event.Log
	kick    chan struct{}

	mu   sync.Mutex
	last proto.Capacity
}

func newCapacity(j *journal.Writer, log *event.Log) *capacity {
	return &capacity{journal: j, log: log, kick: make(chan struct{}, 1), last: proto.Capacity{Accepting: true}}
}

// update asks for a look at the disk soon.
func (c *capacity) update() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// run looks at the disk until ctx ends.
func (c *capacity) run(ctx context.Context) {
	tick := time.NewTicker(capacityEvery)
	defer tick.Stop()
	for {
		c.look()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.kick:
		}
	}
}

// look tells everybody when the answer has changed in a way that matters: yes
// or no, or room of another order.
func (c *capacity) look() {
	now := proto.Capacity{Reason: "the spool is full"}
	now.Free, now.Accepting = c.journal.Capacity()
	if now.Accepting {
		now.Reason = ""
	}
	was, changed := c.tell(now)
	switch {
	case !changed:
	case was.Accepting && !now.Accepting:
		c.log.Emit(event.State{Now: "full", Why: "no room in the spool: new mail gets 452"})
	case !was.Accepting && now.Accepting:
		c.log.Emit(event.State{Now: "room again"})
	}
}

// tell notifies all connections of a change.
func (c *capacity) tell(now proto.Capacity) (was proto.Capacity, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was = c.last
	changed = was.Accepting != now.Accepting || now.Free < was.Free/2 || now.Free > was.Free*2
	if changed {
		c.last = now
		c.server.Notify(&now)
	}
	return was, changed
}

// greet tells a new connection how things stand. Under the lock, as what tell
// says must not be overtaken: an old "full" would be believed until the next
// change. Neither waits for a peer.
func (c *capacity) greet(conn *ipc.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = conn.Notify(&c.last) // a connection that is gone needs no news
}

package dispatch

import (
	lru "container/list"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"filbert/pkg/proto"
	"filbert/pkg/quirk"
)

// maxQuirks bounds the servers of which something is known, about half a kilobyte each;
// beyond it the one that was used longest ago goes from memory. mtadb has it still, and
// the next start recalls it.
const maxQuirks = 50_000

// server is whose quirks they are: all who talk to an address see the same ones, whoever
// logs in, and whichever way he comes: it is one program. A transport's own server goes by the transport.
type server struct {
	addr      netip.AddrPort
	transport string // only without addr
}

func (d *Dispatcher) serverOf(l *proto.Leaf, transport string, addr netip.AddrPort) server {
	if len(l.Hosts) == 0 || !addr.IsValid() {
		return server{transport: transport}
	}
	return server{addr: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())}
}

// key is by what mtadb knows it: as hosts are in failKey.
func (s server) key() string { return hostKey(s.transport, s.addr, way{}, "").name }

// serverNamed reads a key; false: it makes no sense.
func serverNamed(key string) (server, bool) {
	if name, own := strings.CutPrefix(key, ownServer); own {
		return server{transport: name}, name != ""
	}
	addr, err := netip.ParseAddrPort(key)
	return server{addr: addr}, err == nil
}

// ownServer begins the keys of those that a transport names itself.
const ownServer = "transport "

// known is what is known of one.
type known struct {
	server server
	facts  quirk.Facts
}

// quirks are what servers were seen to do. dispatch alone writes these facts, as it hears of every
// connection. One that shows nothing new writes nothing.
//
// Invariant: byServer and order have the same entries, at most maxQuirks.
type quirks struct {
	some atomic.Bool // anything is known

	mu       sync.Mutex
	byServer map[server]*lru.Element
	order    *lru.List // the one used last in front
	dirty    map[server]struct{}
}

func newQuirks() *quirks {
	return &quirks{byServer: map[server]*lru.Element{}, order: lru.New(), dirty: map[server]struct{}{}}
}

// learnQuirks takes in what the servers of a job have shown.
func (d *Dispatcher) learnQuirks(f *flight, j *job, tried []proto.HostTried) {
	l := &f.leaves[j.leaves[0]]
	for i := range tried {
		h := &tried[i]
		if h.Seen == nil {
			continue
		}
		s := d.serverOf(l, j.transport, h.Addr)
		d.quirks.mu.Lock()
		k := d.quirks.getLocked(s)
		if k == nil {
			k = &known{server: s}
			d.quirks.putLocked(k)
		}
		if k.facts.Learn(h.Seen, h.Name, d.now()) {
			d.quirks.dirty[s] = struct{}{}
		}
		d.quirks.mu.Unlock()
	}
}

// hints is what follows for the hosts of a job; most often nothing.
func (d *Dispatcher) hints(l *proto.Leaf, transport string, hosts []proto.Host) []proto.Hint {
	if !d.quirks.some.Load() {
		d.figures.otherHosts.Add(max(1, len(hosts)))
		return nil
	}
	now := d.now()
	var list []proto.Hint
	d.quirks.mu.Lock()
	defer d.quirks.mu.Unlock()
	add := func(addr netip.AddrPort) {
		k := d.quirks.getLocked(d.serverOf(l, transport, addr))
		if k == nil {
			d.figures.otherHosts.Add(1)
			return
		}
		d.figures.knownHosts.Add(1)
		if a := k.facts.Advise(now); a != (quirk.Advice{}) {
			list = append(list, proto.Hint{Addr: addr, Advice: a})
		}
	}
	for i := range hosts {
		add(hosts[i].Addr)
	}
	if len(hosts) == 0 {
		add(netip.AddrPort{})
	}
	return list
}

func (q *quirks) getLocked(s server) *known {
	e := q.byServer[s]
	if e == nil {
		return nil
	}
	q.order.MoveToFront(e)
	return e.Value.(*known)
}

func (q *quirks) putLocked(k *known) {
	q.byServer[k.server] = q.order.PushFront(k)
	for len(q.byServer) > maxQuirks {
		q.dropLocked(q.order.Back().Value.(*known).server)
	}
	q.some.Store(true)
}

// forget drops the one of a key, or those whose keys begin so. What mtadb has of them it
// drops itself.
func (q *quirks) forget(m *proto.Forgot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s, ok := serverNamed(m.Key); ok && !m.Prefix {
		q.dropLocked(s)
		return
	}
	for s := range q.byServer {
		if m.Prefix && strings.HasPrefix(s.key(), m.Key) {
			q.dropLocked(s)
		}
	}
}

func (q *quirks) dropLocked(s server) {
	if e := q.byServer[s]; e != nil {
		q.order.Remove(e)
		delete(q.byServer, s)
		delete(q.dirty, s)
	}
}

// recalled puts back what an earlier run knew, beside what is known by now.
func (q *quirks) recalled(key string, value []byte) {
	s, ok := serverNamed(key)
	if !ok {
		return
	}
	facts, ok := quirk.Unmarshal(value)
	if !ok {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch e := q.byServer[s]; {
	case e != nil:
		e.Value.(*known).facts.Recall(facts)
	case len(q.byServer) < maxQuirks:
		q.putLocked(&known{server: s, facts: *facts})
	}
}

// takeDirty takes what changed since the last time. What was not kept is given back by
// giveDirty.
func (q *quirks) takeDirty(most int) (keep []proto.MemoryRecord) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for s := range q.dirty {
		if len(keep) >= most {
			break
		}
		delete(q.dirty, s)
		if e := q.byServer[s]; e != nil {
			keep = append(keep, proto.MemoryRecord{Kind: proto.MemoryQuirk, Key: s.key(), Value: e.Value.(*known).facts.Marshal()})
		}
	}
	return keep
}

func (q *quirks) giveDirty(keep []proto.MemoryRecord) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range keep {
		if s, ok := serverNamed(keep[i].Key); ok && q.byServer[s] != nil {
			q.dirty[s] = struct{}{}
		}
	}
}

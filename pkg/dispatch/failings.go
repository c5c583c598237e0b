package dispatch

import (
	lru "container/list"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/retry"
)

const (
	// maxFailings bounds what is known of hosts and addresses, half a kilobyte each;
	// beyond it the one that was used longest ago goes, and is learned again.
	maxFailings = 100_000
	// maxWaits and maxHops bound what waits for one of them by name.
	maxWaits = 1000
	maxHops  = 100
)

// failKey names a host or an address.
type failKey struct {
	of   proto.MemoryKind // MemoryHost or MemoryAddress
	name string
}

// hostKey is a server's, for those who log in as user ("" = nobody): one whom it
// does not know, or to whom it does not show its certificate, is no reason to keep
// others waiting. So it is with the way in which mail comes. Without an address it is a
// transport's own.
func hostKey(transport string, addr netip.AddrPort, by way, user string) failKey {
	name := "transport " + transport
	if addr.IsValid() {
		name = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()).String() + by.String()
	}
	if user != "" {
		name += " as " + user[:min(len(user), maxUser)]
	}
	return failKey{proto.MemoryHost, name}
}

// maxUser is what a key has of a user's name: it has to fit into a record.
const maxUser = 500

// hostKeyOf is hostKey for a leaf, and the source addresses that were chosen for its job if
// it has one: the router's credentials go before those of the transport.
func (d *Dispatcher) hostKeyOf(f *flight, i int, addr netip.AddrPort, chosen []netip.Addr) failKey {
	l, by := &f.leaves[i], way{}
	if len(l.Hosts) == 0 {
		addr = netip.AddrPort{} // which one it is smtp-client knows, and tells behind the attempt
	} else {
		by = d.wayOf(f, i, addr.Addr(), chosen)
	}
	user := ""
	if l.Credentials != nil {
		user = l.Credentials.Username
	} else if t := d.settings.Load().Transports[l.Transport]; t.Username != "" {
		user = t.Username + " of transport " + l.Transport
	}
	return hostKey(l.Transport, addr, by, user)
}

// sameServer tells whether two addresses are one.
func sameServer(a, b netip.AddrPort) bool {
	return hostKey("", a, way{}, "") == hostKey("", b, way{}, "")
}

// addressKey is an address's for all senders. A command or a file that its mail goes to
// has one of its own, so that its trouble holds no mailbox beside it.
func addressKey(to *envelope.Recipient) failKey {
	name := to.Address.String()
	if to.Kind != envelope.TargetAddress {
		name += " > " + to.Target
		if to.User != "" {
			name += " (" + to.User + ")"
		}
	}
	return failKey{proto.MemoryAddress, name}
}

// pairKey is an address's for one sender: what a server says of the two together is
// no reason to keep others waiting.
func pairKey(to, from mailaddr.Address) failKey {
	return failKey{proto.MemoryAddress, to.String() + " <" + from.String() + ">"}
}

// failing is what is known of one.
type failing struct {
	key   failKey
	state retry.State
	host  string              // its name, for the text
	probe time.Time           // until then somebody finds out whether it is back
	hops  map[string]struct{} // next hops for which it was tried
	waits map[queueid.ID]struct{}
}

// failings are the hosts and addresses that failed and have not succeeded since.
// dispatch is the only writer of these facts, as it alone sees every outcome; a
// delivery to a host that never failed writes nothing.
//
// Invariant: byKey and order have the same entries, at most maxFailings.
type failings struct {
	known atomic.Int64 // len(byKey): the usual delivery looks no further

	mu    sync.Mutex
	byKey map[failKey]*lru.Element
	order *lru.List // the one used last in front
	dirty map[failKey]struct{}
}

func newFailings() *failings {
	return &failings{byKey: map[failKey]*lru.Element{}, order: lru.New(), dirty: map[failKey]struct{}{}}
}

func (s *failings) none() bool { return s.known.Load() == 0 }

// getLocked is nil when nothing is known.
func (s *failings) getLocked(k failKey) *failing {
	e := s.byKey[k]
	if e == nil {
		return nil
	}
	s.order.MoveToFront(e)
	return e.Value.(*failing)
}

// state is what is known; the zero value is nothing.
func (s *failings) state(k failKey) retry.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.getLocked(k); st != nil {
		return st.state
	}
	return retry.State{}
}

// change makes a failing of what fn does to it; a new one begins empty.
func (s *failings) change(k failKey, fn func(*failing)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.getLocked(k)
	if st == nil {
		st = &failing{key: k}
		s.putLocked(st)
	}
	fn(st)
	s.dirty[k] = struct{}{}
}

func (s *failings) putLocked(st *failing) {
	s.byKey[st.key] = s.order.PushFront(st)
	for len(s.byKey) > maxFailings {
		last := s.order.Back()
		delete(s.byKey, last.Value.(*failing).key)
		s.order.Remove(last)
	}
	s.known.Store(int64(len(s.byKey)))
}

// clear forgets what succeeded, and tells what waited for it.
func (s *failings) clear(k failKey) *failing {
	if s.none() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byKey[k]
	if e == nil {
		return nil
	}
	s.order.Remove(e)
	delete(s.byKey, k)
	s.known.Store(int64(len(s.byKey)))
	s.dirty[k] = struct{}{}
	return e.Value.(*failing)
}

// waitsFor notes that a message waits for a host or an address.
func (s *failings) waitsFor(k failKey, id queueid.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.getLocked(k)
	if st == nil || len(st.waits) >= maxWaits {
		return
	}
	if st.waits == nil {
		st.waits = map[queueid.ID]struct{}{}
	}
	st.waits[id] = struct{}{}
}

// recalled puts back what an earlier run knew, unless more is known by now.
func (s *failings) recalled(st *failing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, changed := s.dirty[st.key]
	if s.byKey[st.key] == nil && !changed && len(s.byKey) < maxFailings {
		s.putLocked(st)
	}
}

// takeDirty takes what changed since the last time: records to keep, and keys to
// forget. What was not kept is given back by giveDirty.
func (s *failings) takeDirty(most int) (keep []proto.MemoryRecord, forget []failKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.dirty {
		if len(keep)+len(forget) >= most {
			break
		}
		delete(s.dirty, k)
		e := s.byKey[k]
		switch {
		case len(k.name) > proto.MaxMemoryKey:
		case e == nil:
			forget = append(forget, k)
		default:
			keep = append(keep, proto.MemoryRecord{Kind: k.of, Key: k.name, Value: e.Value.(*failing).marshal()})
		}
	}
	return keep, forget
}

func (s *failings) giveDirty(keep []proto.MemoryRecord, forget []failKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range keep {
		s.dirty[failKey{keep[i].Kind, keep[i].Key}] = struct{}{}
	}
	for _, k := range forget {
		s.dirty[k] = struct{}{}
	}
	for k := range s.dirty { // mtadb is away for long: what is newest is not known here
		if len(s.dirty) <= maxFailings {
			break
		}
		delete(s.dirty, k)
	}
}

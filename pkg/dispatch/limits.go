package dispatch

import (
	"context"
	"errors"
	"sync"

	"filbert/pkg/settings"
)

// errBusy says that too many already wait for the destination: the message is
// filed as due when there is room, so that one slow destination can't fill
// the memory that the others need.
var errBusy = errors.New("too many deliveries already wait for this destination")

// Who waits for a place holds one of dispatch's flights (maxFlights). One slow
// destination may have many of them while there is room for others; when it is
// crowded, each has a fair share only.
const (
	maxWaiting  = 2000 // for one destination
	crowded     = maxFlights / 2
	fairWaiting = 200
)

// limits hands out places: in all, for each transport, for each destination.
// Who waits is served in order, within the destination; a destination at its
// limit never holds up another.
type limits struct {
	mu         sync.Mutex
	total      int
	waiting    int
	maxTotal   int
	perDest    int
	maxLocal   int // of deliveries on this machine; 0 = no limit of their own
	transports map[string]*transportPlaces
	dests      map[destKey]*destPlaces
	ready      []*destPlaces // have waiters and were stopped by a wider limit, in turn
}

type transportPlaces struct {
	used, max int
	local     bool // deliveries on this machine
}

type destKey struct{ transport, place string }

type destPlaces struct {
	key     destKey
	used    int
	waiting []chan struct{}
	queued  bool // is in limits.ready
}

func newLimits(s *settings.Settings) *limits {
	l := &limits{transports: map[string]*transportPlaces{}, dests: map[destKey]*destPlaces{}}
	l.apply(s)
	return l
}

// apply takes new limits; places already given stay given.
func (l *limits) apply(s *settings.Settings) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.maxTotal, l.perDest = s.Limits.Deliveries, s.Limits.PerDestination
	for name, t := range s.Transports {
		p := l.transports[name]
		if p == nil {
			p = &transportPlaces{}
			l.transports[name] = p
		}
		p.max = t.Concurrency
	}
	for _, d := range l.dests {
		l.markReady(d)
	}
	l.wakeLocked()
}

// take waits for a place, or says errBusy at once when too many wait already.
// give must follow.
func (l *limits) take(ctx context.Context, transport, place string) error {
	l.mu.Lock()
	d := l.dest(destKey{transport, place})
	if len(d.waiting) == 0 && l.roomLocked(d) {
		l.occupyLocked(d)
		l.mu.Unlock()
		return nil
	}
	if n := len(d.waiting); n >= maxWaiting || n >= fairWaiting && l.waiting >= crowded {
		l.mu.Unlock()
		return errBusy
	}
	turn := make(chan struct{})
	d.waiting = append(d.waiting, turn)
	l.waiting++
	l.markReady(d)
	l.mu.Unlock()

	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		return l.abandon(d, turn, ctx.Err())
	}
}

// abandon leaves the queue; a place given meanwhile is handed on.
func (l *limits) abandon(d *destPlaces, turn chan struct{}, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range d.waiting {
		if w == turn {
			d.waiting = append(d.waiting[:i], d.waiting[i+1:]...)
			l.waiting--
			l.forgetLocked(d)
			return err
		}
	}
	l.releaseLocked(d)
	return err
}

// give returns a place.
func (l *limits) give(transport, place string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.releaseLocked(l.dest(destKey{transport, place}))
}

func (l *limits) releaseLocked(d *destPlaces) {
	d.used--
	l.total--
	if t := l.transports[d.key.transport]; t != nil {
		t.used--
	}
	l.markReady(d)
	l.wakeLocked()
	l.forgetLocked(d)
}

// wakeLocked gives free places to destinations in turn, one each, until no
// destination that waits has room.
func (l *limits) wakeLocked() {
	for stuck := 0; stuck < len(l.ready) && l.total < l.maxTotal; {
		d := l.ready[0]
		l.ready = l.ready[1:]
		if len(d.waiting) == 0 || d.used >= l.perDest {
			d.queued = false // comes back when it has a waiter and a place is returned
			continue
		}
		l.ready = append(l.ready, d)
		if !l.roomLocked(d) {
			stuck++
			continue
		}
		stuck = 0
		turn := d.waiting[0]
		d.waiting = d.waiting[1:]
		l.waiting--
		l.occupyLocked(d)
		close(turn)
	}
}

// limitLocal bounds the deliveries on this machine, which are those of these transports;
// 0 = no limit of their own.
func (l *limits) limitLocal(most int, local map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.maxLocal = most
	for name, t := range l.transports {
		t.local = local[name]
	}
	for _, d := range l.dests {
		l.markReady(d)
	}
	l.wakeLocked()
}

func (l *limits) localLocked() int {
	n := 0
	for _, t := range l.transports {
		if t.local {
			n += t.used
		}
	}
	return n
}

func (l *limits) markReady(d *destPlaces) {
	if !d.queued && len(d.waiting) > 0 {
		d.queued = true
		l.ready = append(l.ready, d)
	}
}

func (l *limits) roomLocked(d *destPlaces) bool {
	if l.total >= l.maxTotal || d.used >= l.perDest {
		return false
	}
	t := l.transports[d.key.transport]
	if t != nil && t.local && l.maxLocal > 0 && l.localLocked() >= l.maxLocal {
		return false
	}
	return t == nil || t.max <= 0 || t.used < t.max
}

func (l *limits) occupyLocked(d *destPlaces) {
	d.used++
	l.total++
	if t := l.transports[d.key.transport]; t != nil {
		t.used++
	}
}

func (l *limits) dest(key destKey) *destPlaces {
	d := l.dests[key]
	if d == nil {
		d = &destPlaces{key: key}
		l.dests[key] = d
	}
	return d
}

func (l *limits) forgetLocked(d *destPlaces) {
	if d.used == 0 && len(d.waiting) == 0 {
		delete(l.dests, d.key)
	}
}

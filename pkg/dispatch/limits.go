package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"filbert/pkg/pace"
	"filbert/pkg/settings"
	"filbert/pkg/turns"
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
// Who waits is served in order, within the destination, higher priorities first
// as pkg/turns says; a destination at its limit never holds up another. How many places a remote destination has, and whether
// any may be taken now, pkg/pace says (see shape.go).
type limits struct {
	now        func() time.Time
	mu         sync.Mutex
	total      int
	waiting    int
	maxTotal   int
	perDest    int
	maxLocal   int // of deliveries on this machine; 0 = no limit of their own
	transports map[string]*transportPlaces
	dests      map[destKey]*destPlaces
	ready      []*destPlaces // have waiters and were stopped by a wider limit, in turn
	providers  []provider    // replaced as a whole
	sweepAt    int           // destinations at which those that rest are forgotten
}

type transportPlaces struct {
	used, max int
	local     bool // deliveries on this machine
	paces     paces
}

type destPlaces struct {
	key     destKey
	used    int
	waiting []*turn              // in the order in which they came
	levels  [turns.Levels]uint16 // how many of them have each priority
	turns   turns.State
	queued  bool // is in limits.ready
	pace    pace.State
}

// turn is one who waits for a place.
type turn struct {
	come  chan struct{} // closed when it has one, or when held is set
	held  *heldError    // there will be none for now
	who   urgency
	level int // of the priority
}

func (t *turn) result() error {
	if t.held != nil {
		return t.held
	}
	return nil
}

func newLimits(s *settings.Settings) *limits {
	l := &limits{now: time.Now, transports: map[string]*transportPlaces{}, dests: map[destKey]*destPlaces{}, sweepAt: leastSweep}
	l.apply(s)
	return l
}

// apply takes new limits; places already given stay given.
func (l *limits) apply(s *settings.Settings) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.maxTotal, l.perDest = s.Limits.Deliveries, s.Limits.PerDestination
	l.providers = providersOf(s)
	for name, t := range s.Transports {
		p := l.transports[name]
		if p == nil {
			p = &transportPlaces{}
			l.transports[name] = p
		}
		p.max, p.paces = t.Concurrency, pacesOf(s, &t)
	}
	for _, d := range l.dests {
		l.markReady(d)
	}
	l.wakeLocked()
}

// take waits for a place, or says at once errBusy when too many wait already, or
// heldError when there is none for now, for whom this counts. give must follow.
func (l *limits) take(ctx context.Context, key destKey, who urgency, priority int8) error {
	l.mu.Lock()
	d := l.dest(key)
	if held := l.heldLocked(d, who); held != nil {
		l.forgetLocked(d)
		l.mu.Unlock()
		return held
	}
	if len(d.waiting) == 0 && l.roomLocked(d) {
		l.occupyLocked(d)
		l.mu.Unlock()
		return nil
	}
	if n := len(d.waiting); n >= maxWaiting || n >= fairWaiting && l.waiting >= crowded {
		l.mu.Unlock()
		return errBusy
	}
	t := &turn{come: make(chan struct{}), who: who, level: turns.Level(priority)}
	l.waitLocked(d, t)
	l.markReady(d)
	l.mu.Unlock()

	select {
	case <-t.come:
		return t.result()
	case <-ctx.Done():
		return l.abandon(d, t, ctx.Err())
	}
}

// abandon leaves the queue; a place given meanwhile is handed on.
func (l *limits) abandon(d *destPlaces, t *turn, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range d.waiting {
		if w == t {
			l.unwaitLocked(d, i)
			l.forgetLocked(d)
			return err
		}
	}
	if t.held == nil {
		l.releaseLocked(d)
	}
	return err
}

// give returns a place.
func (l *limits) give(key destKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.releaseLocked(l.dest(key))
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
		l.sendAwayLocked(d)
		if len(d.waiting) == 0 || d.used >= l.widthLocked(d) {
			d.queued = false // comes back when it has a waiter and a place is returned
			l.forgetLocked(d)
			continue
		}
		l.ready = append(l.ready, d)
		if !l.roomLocked(d) {
			stuck++
			continue
		}
		stuck = 0
		i := d.next()
		next := d.waiting[i]
		d.turns.Took(d.priorities(), next.level)
		l.unwaitLocked(d, i)
		l.occupyLocked(d)
		close(next.come)
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
	if l.total >= l.maxTotal || d.used >= l.widthLocked(d) {
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
		if p := t.paces.of(d.key); p != nil {
			d.pace.Begin(p, l.now())
		}
	}
}

func (l *limits) dest(key destKey) *destPlaces {
	d := l.dests[key]
	if d == nil {
		l.sweepLocked()
		d = &destPlaces{key: key}
		l.dests[key] = d
	}
	return d
}

func (l *limits) forgetLocked(d *destPlaces) {
	if d.idle() && l.restedLocked(d) {
		delete(l.dests, d.key)
	}
}

func (d *destPlaces) idle() bool { return d.used == 0 && len(d.waiting) == 0 && !d.queued }

package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"filbert/pkg/clock"
	"filbert/pkg/durable"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/journal"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/retry"
	"filbert/pkg/service"
	"filbert/pkg/settings"
	"filbert/pkg/spool"
)

const (
	credits     = 4096
	memoryLimit = 1 << 30
)

// caller is the part of ipc.Client that asking needs.
type caller interface {
	Call(ctx context.Context, req, reply ipc.Message, files ...*os.File) error
}

// Dispatcher is the daemon.
type Dispatcher struct {
	settings atomic.Pointer[settings.Settings]
	log      *event.Log
	board    *service.Scoreboard
	figures  figures
	now      func() time.Time
	clock    *clock.Clock                   // what now tells, where it can be moved; else nil
	ctx      context.Context                // done when draining has taken too long
	patience time.Duration                  // for room
	work     context.Context                // done when draining begins
	rest     func(ctx context.Context) bool // a pause before trying again; false: ctx is done
	after    func(time.Duration) <-chan time.Time

	fs     durable.FS
	spool  *spool.Spool
	marker *journal.Marker
	limits *limits
	orders orders
	under  underWay
	room   room

	finished finished

	rules    atomic.Pointer[retry.Rules]
	failings *failings
	quirks   *quirks
	dice     func() float64

	settled atomic.Bool // the marks of earlier runs are on disk
	swept   atomic.Bool // what earlier runs have left in the queues is in order

	router, remote, local, bounce, qmgr caller

	server atomic.Pointer[ipc.Server] // of cleanup
	feed   chan struct{}              // there may be room for what waits
	walk   chan struct{}              // something may not have been handed over
	missed chan struct{}              // something could not be read: walk again, later

	mu         sync.Mutex
	flights    map[queueid.ID]struct{}
	held       int64 // memory of first attempts, bytes (flight.cost)
	backlog    []waiting
	waitingIDs map[queueid.ID]struct{}
	unflushed  map[queueid.ID]journal.Ref // filed, and the mark may not be on disk yet
	stopping   bool
	wg         sync.WaitGroup // flights
}

// New makes the daemon.
func New() *Dispatcher {
	d := &Dispatcher{
		now:        time.Now,
		rest:       restAWhile,
		after:      time.After,
		dice:       rand.Float64,
		failings:   newFailings(),
		quirks:     newQuirks(),
		patience:   roomPatience,
		work:       context.Background(),
		feed:       make(chan struct{}, 1),
		walk:       make(chan struct{}, 1),
		missed:     make(chan struct{}, 1),
		flights:    map[queueid.ID]struct{}{},
		waitingIDs: map[queueid.ID]struct{}{},
		unflushed:  map[queueid.ID]journal.Ref{},
	}
	d.rules.Store(&retry.Rules{})
	return d
}

// Open takes hold of the spool; its files are opened by the user that owns them.
func (d *Dispatcher) Open(p *service.Process) error {
	d.log, d.board, d.ctx = p.Log, p.Board, p.Context()
	d.figures = newFigures(p.Tally)
	d.settings.Store(p.Settings())
	d.limits = newLimits(p.Settings())
	p.Board.WithPaces(d.limits.paces)
	p.OnLoad(d.takeLoad)
	if d.clock = p.Clock; d.clock.Movable() {
		d.now, d.limits.now = d.clock.Now, d.clock.Now
	}
	d.applyRules(p.Settings())
	p.OnReload(func(s *settings.Settings) {
		d.settings.Store(s)
		d.applyLimits()
		d.applyRules(s)
	})
	fs, err := durable.Open(p.Settings().Instance.Spool)
	if d.fs = fs; err == nil {
		d.openOrders()
	}
	return err
}

// applyRules puts retry rules in force. They were checked before they came here.
func (d *Dispatcher) applyRules(s *settings.Settings) {
	rules, err := retry.Compile(s.Retry)
	if err != nil {
		d.log.Emit(event.TroubleOf(0, "read the retry rules", err))
		return
	}
	d.rules.Store(&rules)
}

// Confinement: the queues, and nothing else; maildrop is not its business.
func (d *Dispatcher) Confinement(p *service.Process) privsep.Spec {
	dir := p.Settings().Instance.Spool
	return privsep.Spec{
		Chroot:  p.EmptyDir(),
		Write:   []string{dir + "/incoming", dir + "/deferred", dir + "/hold", dir + "/corrupt"},
		Seccomp: privsep.SeccompWriter,
		Limits:  privsep.Limits{Memory: memoryLimit, NoFile: 16384},
	}
}

// Serve attempts what comes and what lies in the journal until told to drain;
// attempts under way may then finish, what is not begun stays in the journal.
func (d *Dispatcher) Serve(ctx context.Context, p *service.Process) error {
	var err error
	if d.marker, err = journal.OpenMarker(d.fs, d.markerOptions()); err != nil {
		return err
	}
	d.spool = spool.New(d.fs)
	d.settleEarlier(ctx)
	d.router = p.Client(proto.Router, ipc.ClientOptions{})
	d.remote = p.Client(proto.SMTPClient, ipc.ClientOptions{})
	d.local = p.Client(proto.LocalDeliver, ipc.ClientOptions{})
	d.bounce = p.Client(proto.Bounce, ipc.ClientOptions{})
	d.qmgr = p.Client(proto.QMgr, ipc.ClientOptions{})

	d.mendJournal()
	var stop context.CancelFunc
	d.work, stop = context.WithCancel(ctx)
	defer stop()
	var loops sync.WaitGroup
	memory := rememberer{d: d, memory: p.Client(proto.MTADB, ipc.ClientOptions{Stay: ipc.Always, OnNotice: d.fromMemory}), asked: make(chan struct{})}
	loops.Go(func() { memory.run(d.work) })
	memory.awaitAnswer(d.work)
	loops.Go(d.sweep)
	loops.Go(func() { d.feeder(d.work) })
	loops.Go(func() { d.walker(d.work) })
	loops.Go(func() { d.reaper(d.work) })
	d.kickFeeder()
	// A connection of cleanup's means that one of us has just started, or lost
	// the other: look for what was not handed over. proto.Rescan, the only
	// notice there is, asks for the same.
	d.server.Store(p.Accept(d.handleCleanup, ipc.ServerOptions{
		Credits:   credits,
		OnConnect: func(*ipc.Conn) { d.lookAgain() },
		OnNotice:  func(*ipc.Conn, uint16, []byte) { d.lookAgain() },
	}, string(proto.Cleanup)))
	due := p.Accept(d.handleQMgr, ipc.ServerOptions{Credits: credits}, string(proto.QMgr))

	<-p.Draining()
	d.stopOrders()
	d.mu.Lock()
	d.stopping = true
	d.mu.Unlock()
	stop()
	err = errors.Join(d.server.Load().Shutdown(ctx), due.Shutdown(ctx))
	loops.Wait()
	d.wait(ctx)
	d.reap()
	return errors.Join(err, d.marker.Close())
}

// settleEarlier flushes the marks of earlier runs: before that none of their
// deferred messages may be removed. On a full disk that may be later, with any
// other flush; mail goes out meanwhile, which is the way to make room.
func (d *Dispatcher) settleEarlier(ctx context.Context) {
	d.marker.AfterFlush(func() { d.settled.Store(true) })
	if err := d.marker.FlushNow(ctx); err != nil {
		d.log.Emit(event.TroubleOf(0, "flush the marks of an earlier run", err))
	}
}

// settleGrace is what attempts that ctx cut off get to note who was served.
const settleGrace = time.Second

// wait is for the attempts under way; ctx ends them too, as it is their own.
func (d *Dispatcher) wait(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		d.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	// What is cut off stands in the journal or under deferred/ and is attempted
	// again; but whom it has served it has to say first.
	select {
	case <-done:
	case <-time.After(settleGrace):
	}
}

func (d *Dispatcher) handleCleanup(_ context.Context, call *ipc.Call) { d.handleAttempt(call) }

func (d *Dispatcher) handleQMgr(ctx context.Context, call *ipc.Call) { d.fromQMgr(ctx, call) }

func (d *Dispatcher) markerOptions() journal.MarkerOptions {
	return journal.MarkerOptions{
		SegmentFree: func(segment, generation uint32) {
			if s := d.server.Load(); s != nil {
				s.Notify(&proto.SegmentFree{Segment: segment, Generation: generation})
			}
		},
		Problem: func(err error) { d.log.Emit(event.TroubleOf(0, "journal marks", err)) },
		Flushed: d.figures.markFlushes.Took,
	}
}

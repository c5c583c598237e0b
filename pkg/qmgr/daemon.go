package qmgr

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"filbert/pkg/clock"
	"filbert/pkg/durable"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/qindex"
	"filbert/pkg/queueid"
	"filbert/pkg/service"
	"filbert/pkg/service/admin"
	"filbert/pkg/settings"
	"filbert/pkg/spool"
	"filbert/pkg/standing"
	"filbert/pkg/tally"
)

const (
	credits     = 4096
	turnCredits = 16
	memoryLimit = 1 << 30
)

// caller is the part of ipc.Client that asking dispatch needs.
type caller interface {
	Call(ctx context.Context, req, reply ipc.Message, files ...*os.File) error
}

// Manager is the daemon.
type Manager struct {
	settings atomic.Pointer[settings.Settings]
	log      *event.Log
	released *tally.Figure // what release made due earlier
	now      func() time.Time
	clock    *clock.Clock // what now tells, where it can be moved; else nil
	fs       *durable.Dir
	spool    *spool.Spool
	dispatch caller
	wake     chan struct{} // something may be due
	walk     chan struct{} // something may be on disk that nobody told of
	// mended: dispatch answers, so it has brought the spool into order and
	// something may be moved in it (Requires of spool.Sweep).
	mended atomic.Bool
	loaded atomic.Bool // every message on disk is in the schedule
	walked atomic.Bool // and what the index on disk said was held against what is there
	frugal atomic.Bool // see beFrugal
	wg     sync.WaitGroup
	work   context.Context // ends with serving

	users         admin.Names
	book          orderBook
	tellMaster    func(context.Context, *proto.Orders) error // nil: there is none
	ordersChanged chan struct{}

	people
	patience time.Duration // cancelPatience
	wishing  sync.Mutex    // one writes wishes down at a time; before mu

	disk      disk
	remembers bool // there were messages in the index on disk

	mu      sync.Mutex
	sched   *schedule
	waits   map[queueid.ID]uint64      // for the end of a standing order; 0: of any
	holds   map[queueid.ID]time.Time   // when held messages are to be released
	cancels map[queueid.ID]*cancelling // what people want cancelled
	asked   asked
}

// New makes the daemon.
func New() *Manager {
	// Without the monotonic clock: what is due is told by the clock on the wall.
	wall := func() time.Time { return time.Now().Round(0) }
	return &Manager{
		now: wall, work: context.Background(), wake: make(chan struct{}, 1), walk: make(chan struct{}, 1),
		ordersChanged: make(chan struct{}, 1), waits: map[queueid.ID]uint64{}, holds: map[queueid.ID]time.Time{},
		asked: asked{at: map[asker]time.Time{}}, cancels: map[queueid.ID]*cancelling{}, patience: cancelPatience,
	}
}

// Open takes hold of the spool.
func (q *Manager) Open(p *service.Process) error {
	q.log, q.released = p.Log, p.Tally.Figure(proto.FigureReleased)
	if q.clock = p.Clock; q.clock.Movable() {
		q.now = func() time.Time { return q.clock.Now().Round(0) }
	}
	q.settings.Store(p.Settings())
	q.sched = newSchedule(p.Settings())
	p.OnReload(q.reload)
	var err error
	if q.users, err = admin.ReadNames("/etc/passwd"); err != nil {
		q.log.Emit(event.TroubleOf(0, "find out who gives orders", err)) // they go by their numbers
	}
	if q.fs, err = durable.Open(p.Settings().Instance.Spool); err != nil {
		return err
	}
	if p.EmptyDir() != "" {
		return nil // of a separated instance the directories are installed
	}
	if err := prepareIndex(q.fs); err != nil {
		return err
	}
	return prepareOrders(q.fs)
}

// reload puts new rules in force for the waits that begin from now on.
func (q *Manager) reload(s *settings.Settings) {
	q.settings.Store(s)
	q.mu.Lock()
	q.sched.apply(s)
	q.mu.Unlock()
}

// Confinement: the two queues, to look at; what is held and can't be read is
// moved to corrupt/.
func (q *Manager) Confinement(p *service.Process) privsep.Spec {
	dir := p.Settings().Instance.Spool
	write := []string{dir + "/hold", dir + "/corrupt"}
	for _, name := range []string{standing.Dir, qindex.Dir} {
		if own := dir + "/" + name; isDir(own) {
			write = append(write, own) // else no order can be given, or no index kept, until it is made: mtactl check says so
		}
	}
	return privsep.Spec{
		Chroot:  p.EmptyDir(),
		Read:    []string{dir + "/deferred"},
		Write:   write,
		Seccomp: privsep.SeccompWriter,
		Limits:  privsep.Limits{Memory: memoryLimit, NoFile: 4096},
	}
}

// Serve schedules until told to drain. An attempt under way is dispatch's to
// finish: nothing here is lost by ending.
func (q *Manager) Serve(ctx context.Context, p *service.Process) error {
	q.spool = spool.New(q.fs)
	if err := q.openOrders(); err != nil {
		return err
	}
	if err := q.openWishes(); err != nil {
		return err
	}
	q.openIndex()
	kept := q.keepIndexBeside(ctx)
	q.tellMaster = func(ctx context.Context, m *proto.Orders) error { return p.TellMaster(ctx, m, &proto.OrdersTaken{}) }
	q.dispatch = p.Client(proto.Dispatch, ipc.ClientOptions{
		Stay: ipc.Always,
		// A dispatch that has just started may follow one that was killed between
		// filing a message and telling of it.
		OnUp: func(ctx context.Context, conn *ipc.Conn) {
			q.ordersFor(ctx, conn)
			q.mended.Store(true)
			q.lookAgain()
		},
		OnDown: func(error) { q.mended.Store(false) },
	})
	work, stop := context.WithCancel(ctx)
	defer stop()
	q.work = work
	q.wg.Go(func() { q.load(work) })
	q.resumeWishes()
	q.wg.Go(func() { q.serveDue(work) })
	q.wg.Go(func() { q.watchOrders(work) })
	q.pushOrders()
	server := p.Accept(q.handleDispatch, ipc.ServerOptions{
		Credits:   credits,
		OnConnect: func(*ipc.Conn) { q.lookAgain() }, // what was told to a lost one
	}, string(proto.Dispatch))
	turns := p.Accept(q.handleTurn, ipc.ServerOptions{Credits: turnCredits}, string(proto.SMTPD))
	q.servePeople(work, p)
	for _, l := range p.Listeners() {
		if l.Kind != proto.ListenControl {
			continue
		}
		q.wg.Go(func() {
			if err := admin.Serve(work, l.Listener, p.Admin, q.handler()); err != nil {
				q.log.Emit(event.TroubleOf(0, "serve the control socket", err))
			}
		})
	}
	<-p.Draining()
	_ = turns.Shutdown(ctx) // nothing of it can be lost
	err := server.Shutdown(ctx)
	stop()
	q.wg.Wait()
	kept()
	return err
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

package service

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"filbert/pkg/clock"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/tally"
)

// Daemon is what a service package implements.
type Daemon interface {
	// Open opens what needs privilege or the file system, and recovers.
	Open(p *Process) error
	// Confinement says what the process may still do afterwards. Its zero
	// Identity is filled in with the user that master names.
	Confinement(p *Process) privsep.Spec
	// Serve works until p.Draining is closed, finishes what it has, and
	// returns; ctx is done when finishing has taken too long. Returning before
	// Draining is closed is an error of the daemon.
	Serve(ctx context.Context, p *Process) error
}

// NamedListener is a listening socket that master bound.
type NamedListener struct {
	Kind    proto.ListenerKind
	Name    string // of settings.Listen, or of the path socket
	Address string // as bound
	net.Listener
}

// Wiring is what a process gets from outside: from master in Main, from a
// test in servicetest.
type Wiring struct {
	Start     proto.Start // Settings and Listeners are not looked at
	Settings  *settings.Settings
	Log       *event.Log
	Clock     *clock.Clock // nil: the machine's
	Listeners []NamedListener
	// Dial connects to another service.
	Dial func(ctx context.Context, callee proto.Service) (*net.UnixConn, error)
	// Tell calls master; nil: there is none.
	Tell func(ctx context.Context, req, reply ipc.Message) error
}

// Process is a running daemon's side of the suite.
type Process struct {
	Log   *event.Log
	Board *Scoreboard
	// Clock tells the time by which mail is scheduled; nil is the machine's clock.
	Clock *clock.Clock
	Tally *tally.Set // what is counted

	wiring   Wiring
	settings atomic.Pointer[settings.Settings]

	ctx      context.Context // done when draining has taken too long
	cancel   context.CancelFunc
	draining chan struct{}
	stopping chan struct{}

	// outgrown tells whether the configuration in force wants to reach what
	// the process gave up.
	outgrown func() bool

	orders standingOrders
	load   load

	mu        sync.Mutex
	reloads   []func(*settings.Settings)
	onNewLog  func(*os.File)
	acceptors []acceptor
	parked    []parkedConn // came before their acceptor
	clients   []*ipc.Client
	drained   bool
	stopped   bool
	overdue   *time.Timer // ends ctx
	until     time.Time   // when it does
}

// New makes a process from its wiring. Daemons get theirs from Main.
func New(w Wiring) *Process {
	p := &Process{
		Log:      w.Log,
		Board:    NewScoreboard(w.Clock.Now),
		Clock:    w.Clock,
		Tally:    new(tally.Set),
		wiring:   w,
		draining: make(chan struct{}),
		stopping: make(chan struct{}),
		outgrown: func() bool { return false },
	}
	p.settings.Store(w.Settings)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Name is the service's name.
func (p *Process) Name() string { return string(p.wiring.Start.Service) }

// Generation counts reloads; it tells a replaced process from its successor.
func (p *Process) Generation() uint32 { return p.wiring.Start.Generation }

// Settings is the configuration in force. It is shared: nobody changes it.
func (p *Process) Settings() *settings.Settings { return p.settings.Load() }

// Listeners are the listening sockets that master bound for this daemon.
func (p *Process) Listeners() []NamedListener { return p.wiring.Listeners }

// EmptyDir is an empty directory for privsep.Spec.Chroot, "" in an instance
// that does not separate its users.
func (p *Process) EmptyDir() string {
	if !p.wiring.Start.Separate {
		return ""
	}
	return p.wiring.Start.EmptyDir
}

// Owner is whom files belong to that the daemon makes before it becomes its own
// user; -1 in an instance that does not separate its users.
func (p *Process) Owner() (uid, gid int) {
	if !p.wiring.Start.Separate {
		return -1, -1
	}
	return int(p.wiring.Start.UID), int(p.wiring.Start.GID)
}

// OnReload registers f to be called with each new configuration, after
// Settings returns it. f must not block for long.
func (p *Process) OnReload(f func(*settings.Settings)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reloads = append(p.reloads, f)
}

// OnNewLog registers f to be given each new log file, open for reading; f closes
// it. Master sends one to mtadb alone.
func (p *Process) OnNewLog(f func(*os.File)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onNewLog = f
}

func (p *Process) newLog(file *os.File) {
	p.mu.Lock()
	f := p.onNewLog
	p.mu.Unlock()
	if f == nil {
		file.Close()
		return
	}
	f(file)
}

// Reload puts a new configuration in force.
func (p *Process) Reload(s *settings.Settings) {
	p.settings.Store(s)
	p.mu.Lock()
	reloads := p.reloads
	p.mu.Unlock()
	for _, f := range reloads {
		f(s)
	}
}

// Draining is closed when the daemon has to take nothing new, finish what it
// has, and return from Serve.
func (p *Process) Draining() <-chan struct{} { return p.draining }

// Stopping is closed when the suite stops: together with Draining, or later. In
// between a successor serves already, and what this process still has (the
// sessions of smtpd) may go on as before.
func (p *Process) Stopping() <-chan struct{} { return p.stopping }

// DrainReason is why a process drains.
type DrainReason int

const (
	// Stop: the suite ends.
	Stop DrainReason = iota
	// Replaced: a successor has taken over.
	Replaced
)

// Drain begins the end: the daemon has bound to finish. A second call may
// hasten it.
func (p *Process) Drain(bound time.Duration, why DrainReason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.drained {
		p.drained = true
		close(p.draining)
	}
	if why == Stop && !p.stopped {
		p.stopped = true
		close(p.stopping)
	}
	until := time.Now().Add(bound)
	if p.overdue == nil {
		p.overdue, p.until = time.AfterFunc(bound, p.cancel), until
	} else if until.Before(p.until) {
		p.overdue.Reset(bound)
		p.until = until
	}
}

// Context is done when draining has taken too long.
func (p *Process) Context() context.Context { return p.ctx }

// Close ends clients and connections. It is called after Serve.
func (p *Process) Close() {
	p.cancel()
	p.mu.Lock()
	clients, parked := p.clients, p.parked
	p.clients, p.parked = nil, nil
	p.mu.Unlock()
	for _, c := range clients {
		c.Close()
	}
	for _, c := range parked {
		c.conn.Close()
	}
}

// Admin tells whether a peer may use this instance's control sockets: root,
// the instance's owner, or a member of the administrators' group.
func (p *Process) Admin(peer ipc.PeerCred) bool {
	return MayAdminister(peer, p.wiring.Start.AdminUID, p.wiring.Start.AdminGID)
}

// NoGroup is an AdminGID that nobody has.
const NoGroup = ^uint32(0)

// MayAdminister is the rule of every control socket.
func MayAdminister(peer ipc.PeerCred, ownerUID, adminGID uint32) bool {
	return peer.UID == 0 || peer.UID == ownerUID || adminGID != NoGroup && peer.In(adminGID)
}

package master

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"filbert/pkg/clock"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/settings"
)

// Options of a master.
type Options struct {
	// Load reads and checks the configuration. The problems are for people,
	// also when all is well.
	Load    func() (s *settings.Settings, problems []string, err error)
	Version string
	// Confine takes rights away from the master of a separated instance, once
	// all is open, and says which; nil: none.
	Confine func() (string, error)

	// What follows is for tests; the zero value is the real thing.
	services []definition
	mayCall  func(caller, callee proto.Service) bool
	command  func(proto.Service) *exec.Cmd
	pickup   func() *exec.Cmd
	pause    func(p *pace, lived time.Duration) time.Duration
}

// Master is a running suite.
type Master struct {
	opts    Options
	log     *event.Log
	ids     *identities
	starter *starter
	// held is the locked file. It has to be reachable for as long as master
	// lives: the garbage collector would close it, and unlock the instance.
	held    *os.File
	clock   *clock.Clock // nil: the machine's
	started time.Time
	asked   chan struct{} // told when somebody wants the suite to stop
	hurry   chan struct{} // closed when it shall not wait

	confined string // what Options.Confine said

	supervisors map[proto.Service]*supervisor
	order       []*supervisor
	router      *ipc.Client

	reloading sync.Mutex // one reload at a time
	moving    sync.Mutex // one move of the clock at a time

	mu         sync.Mutex
	settings   *settings.Settings
	encoded    map[proto.Service][]byte // settings as JSON, as each service may see them
	loaded     time.Time
	generation uint32
	tcp        []*binding
	paths      []*binding
	out        *os.File // the log
	standing   []proto.StandingOrder
	load       proto.LoadStatus // Level 0: not looked yet
	state      string
}

// The states of proto.Status.
const (
	starting = "starting"
	running  = "running"
	stopping = "stopping"
)

// Run runs the suite until a signal or the administrator stops it.
func Run(ctx context.Context, opts Options) error {
	s, problems, err := opts.Load()
	if err != nil {
		return fmt.Errorf("%w%s", err, indented(problems))
	}
	syscall.Umask(0o077)
	m, err := open(s, opts)
	if err != nil {
		return err
	}
	defer m.log.Close()
	for _, p := range problems {
		m.log.Emit(event.TroubleOf(0, "checking the configuration", errors.New(p)))
	}
	if m.ids.separate && opts.Confine != nil {
		if m.confined, err = opts.Confine(); err != nil {
			m.closeBindings()
			unlock(m.held)
			return err
		}
	}
	return m.serve(ctx)
}

func indented(problems []string) string {
	if len(problems) == 0 {
		return ""
	}
	return "\n  " + strings.Join(problems, "\n  ")
}

// open takes the lock and binds all sockets; nothing runs yet.
func open(s *settings.Settings, opts Options) (*Master, error) {
	opts.fill(s)
	ids, err := lookupIdentities(s, opts.services)
	if err != nil {
		return nil, err
	}
	if err := makeRun(s.Instance.Run, ids); err != nil {
		return nil, err
	}
	path := filepath.Join(s.Instance.Run, "master.lock")
	held, crashed, err := lock(path)
	if err != nil {
		return nil, err
	}
	// Administrators see by the lock whether a master lives. Nobody else may
	// open it: who can, can hold it, and keep the suite from starting.
	if err := ids.administrators().give(path, 0o640, 0o600); err != nil {
		held.Close()
		return nil, fmt.Errorf("lock the instance: %w", err)
	}
	m := &Master{
		opts:        opts,
		ids:         ids,
		held:        held,
		clock:       clockOf(s),
		asked:       make(chan struct{}, 1),
		hurry:       make(chan struct{}),
		supervisors: map[proto.Service]*supervisor{},
		state:       starting,
	}
	m.started = m.clock.Now()
	var wait time.Duration
	if crashed {
		wait = orphanTime
	}
	if err := m.bindAll(s, wait); err != nil {
		m.closeBindings()
		unlock(held)
		return nil, err
	}
	m.starter = newStarter()
	for _, def := range opts.services {
		sup := newSupervisor(m, def)
		m.supervisors[def.name] = sup
		m.order = append(m.order, sup)
	}
	m.router = ipc.NewClient(func(ctx context.Context) (*net.UnixConn, error) {
		return m.dial(ctx, proto.Router)
	}, ipc.ClientOptions{MaxFrame: proto.MaxFrame})
	return m, nil
}

// bindAll opens the log and every socket; wait is for addresses that are in use.
func (m *Master) bindAll(s *settings.Settings, wait time.Duration) error {
	out, err := m.openLog(s)
	if err != nil {
		return err
	}
	m.out = out
	m.log = event.New(masterLog{m}, string(proto.Master), event.Options{
		Format: event.Format(s.Log.Format), Direct: true, Now: m.clock.Now,
	})
	if err := m.install(s); err != nil {
		return err
	}
	if err := writeName(s, m.ids); err != nil {
		return err
	}
	m.readOrders(s.Instance.Spool)
	if m.tcp, err = bindPatiently(s.Listen, wait); err != nil {
		return err
	}
	for _, def := range m.opts.services {
		for _, kind := range def.listens {
			b, err := m.bindKind(s, def.name, kind)
			if err != nil {
				return err
			}
			m.paths = append(m.paths, b)
		}
	}
	return nil
}

// bindKind makes one socket with a path.
func (m *Master) bindKind(s *settings.Settings, name proto.Service, kind proto.ListenerKind) (*binding, error) {
	switch kind {
	case proto.ListenSubmit:
		return bindService(filepath.Join(s.Instance.Run, "submit", string(name)), kind, name, m.ids.submitters())
	case proto.ListenControl:
		return bindService(s.Instance.Control(string(name)), kind, name, m.ids.administrators())
	case proto.ListenMine:
		return bindService(s.Instance.Mine(string(name)), kind, name, m.ids.everyone())
	}
	return nil, fmt.Errorf("listen for %s: there is no path for sockets of kind %d", name, kind)
}

func (m *Master) closeBindings() {
	for _, b := range append(m.tcp, m.paths...) {
		b.close()
	}
}

// install makes s the configuration in force for whatever starts from now on.
func (m *Master) install(s *settings.Settings) error {
	encoded := map[proto.Service][]byte{}
	for _, service := range proto.Services() {
		b, err := json.Marshal(s.For(string(service)))
		if err != nil {
			return fmt.Errorf("encode the settings: %w", err)
		}
		if len(b) > proto.MaxSettings {
			return fmt.Errorf("the configuration has %d bytes, at most %d are possible: move tables into files", len(b), proto.MaxSettings)
		}
		encoded[service] = b
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settings, m.encoded, m.loaded = s, encoded, m.clock.Now()
	m.generation++
	return nil
}

// startFrame is what a process of a service is told at its start.
func (m *Master) startFrame(def definition) (*proto.Start, []*os.File) {
	m.mu.Lock()
	defer m.mu.Unlock()
	start := &proto.Start{
		Service:    def.name,
		Generation: m.generation,
		Settings:   m.encoded[def.name],
		Separate:   m.ids.separate,
		EmptyDir:   filepath.Join(m.settings.Instance.Run, "empty"),
		AdminUID:   m.ids.ownerUID(),
		AdminGID:   m.ids.admin,
		ClockMoves: m.clock.Movable(),
		ClockAhead: m.clock.Ahead(),
	}
	if heeds(def.name) {
		start.Orders = m.standing
	}
	if id, ok := m.ids.users[def.name]; ok {
		start.UID, start.GID = uint32(id.UID), uint32(id.GID)
	}
	var files []*os.File
	for _, list := range [][]*binding{m.tcp, m.paths} {
		for _, b := range list {
			if b.service == def.name {
				start.Listeners = append(start.Listeners, b.info)
				files = append(files, b.file)
			}
		}
	}
	return start, files
}

// serve runs everything until it is asked to stop.
func (m *Master) serve(ctx context.Context) error {
	defer m.starter.close()
	signals := m.watchSignals()
	defer signals.stop()
	m.log.Emit(event.State{Now: starting, Why: m.limits()})
	for _, s := range m.order {
		go s.run()
	}
	// The administrator's socket and the rest end after the daemons have, so
	// that `mtactl status` can watch the suite stop.
	side, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	control, err := m.openControl()
	if err == nil {
		wg.Add(4)
		go func() { defer wg.Done(); m.watchLoad(side) }()
		go func() { defer wg.Done(); m.serveControl(side, control) }()
		go func() { defer wg.Done(); m.announce(side) }()
		go func() { defer wg.Done(); m.emptyMaildrop(side) }()
		select {
		case <-ctx.Done():
		case <-m.asked:
		}
	}
	m.stopAll()
	cancel()
	wg.Wait()
	m.router.Close()
	m.closeBindings()
	m.log.Emit(event.State{Now: "stopped"})
	unlock(m.held)
	return err
}

// limits is what this instance can't do, said once at the start.
func (m *Master) limits() string {
	if m.ids.separate {
		return "version " + m.opts.Version + "; " + m.confined
	}
	return "version " + m.opts.Version + "; one user: all programs run as the caller, without a root directory of their own"
}

// announce says once that all services of the start are up.
func (m *Master) announce(ctx context.Context) {
	for _, s := range m.order {
		if s.def.start != atStart || s.def.need == optional {
			continue
		}
		if _, err := s.ready(ctx); err != nil {
			return
		}
	}
	m.mu.Lock()
	if m.state == starting {
		m.state = running
	}
	m.mu.Unlock()
	m.log.Emit(event.State{Now: running})
}

// Stop asks the suite to stop. Run returns when it has.
func (m *Master) Stop() {
	select {
	case m.asked <- struct{}{}:
	default:
	}
}

// stopAll stops one service after the other, in the order of the flow: each
// finishes what it has while those that it hands on to still run.
func (m *Master) stopAll() {
	m.mu.Lock()
	m.state = stopping
	bound := m.settings.Limits.DrainTimeout.D()
	m.mu.Unlock()
	m.log.Emit(event.State{Now: stopping})
	for _, s := range m.order {
		s.stop(bound, m.hurry)
	}
}

func (o *Options) fill(s *settings.Settings) {
	inst := s.Instance
	if o.services == nil {
		o.services = services()
	}
	if o.mayCall == nil {
		o.mayCall = proto.MayCall
	}
	if o.pause == nil {
		o.pause = (*pace).next
	}
	if o.command == nil {
		o.command = func(name proto.Service) *exec.Cmd {
			cmd := exec.Command(filepath.Join(inst.Libexec, string(name)))
			cmd.Env = environment()
			return cmd
		}
	}
	if o.pickup == nil {
		o.pickup = func() *exec.Cmd {
			args := []string{"--drain"}
			if inst.Private {
				args = append(args, "-C", inst.Dir)
			}
			cmd := exec.Command(filepath.Join(inst.Libexec, "pickup"), args...)
			cmd.Env = environment()
			return cmd
		}
	}
}

// mayAdminister is the rule of the administrator's socket.
func (m *Master) mayAdminister(peer ipc.PeerCred) bool {
	return service.MayAdminister(peer, m.ids.ownerUID(), m.ids.admin)
}

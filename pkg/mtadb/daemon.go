package mtadb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/service/admin"
	"filbert/pkg/settings"
	"filbert/pkg/tally"
)

const (
	// memoryLimit is far above what the database takes (doc/MANUAL.md has figures).
	memoryLimit = 256 << 20
	credits     = 256
	// flushEvery bounds what a power cut takes.
	flushEvery = time.Second
	// openAgain is the wait before a database that the machine did not let us open is
	// tried again.
	openAgain = 10 * time.Second
	// openPatience is how long a call that comes before the database is open waits.
	openPatience = 5 * time.Second
)

// Memory is the daemon.
type Memory struct {
	settings atomic.Pointer[settings.Settings]
	log      *event.Log
	now      func() time.Time
	moved    chan struct{} // the clock was moved
	root     *os.Root
	follower *follower
	logs     []*os.File // older first, until the database is open
	follows  string
	noLog    error         // why the log can't be read
	mine     chan struct{} // a place for each query of a user

	remembered, batches *tally.Figure

	// die ends the process when Pebble can't go on.
	die func()

	opened chan struct{} // closed when the database is open
	store  atomic.Pointer[store]
	server atomic.Pointer[ipc.Server]
	mu     sync.Mutex
	closed string // why the database is not open, for callers
	full   bool
	wg     sync.WaitGroup
}

// New makes the daemon.
func New() *Memory {
	return &Memory{now: time.Now, moved: make(chan struct{}, 1), opened: make(chan struct{}), mine: make(chan struct{}, mineAtOnce), closed: "the database is being opened", die: func() { os.Exit(1) }}
}

// Open takes hold of the directory and of the log. The database is opened later: reading
// it needs no privilege, and nobody should wait for it.
func (m *Memory) Open(p *service.Process) error {
	m.log = p.Log
	if p.Clock.Movable() {
		m.now = p.Clock.Now
		p.Clock.OnMove(func() {
			select {
			case m.moved <- struct{}{}:
			default:
			}
		})
	}
	m.remembered, m.batches = p.Tally.Figure(proto.FigureRemembered), p.Tally.Figure(proto.FigureBatches)
	m.settings.Store(p.Settings())
	p.OnReload(func(s *settings.Settings) { m.settings.Store(s) })
	inst := p.Settings().Instance
	uid, gid := p.Owner()
	if err := makeDB(inst.DB, uid, gid); err != nil {
		return fmt.Errorf("open %s: %w", inst.DB, err)
	}
	var err error
	if m.root, err = os.OpenRoot(inst.DB); err != nil {
		return fmt.Errorf("open %s: %w", inst.DB, err)
	}
	m.follower = &follower{log: p.Log, now: m.now, maxSize: func() uint64 { return uint64(m.settings.Load().Memory.MaxSize) }}
	m.follows = inst.LogFile()
	m.openLogs()
	p.OnNewLog(m.follower.add)
	return nil
}

// makeDB makes the directory where somebody has removed it.
func makeDB(dir string, uid, gid int) error {
	err := os.Mkdir(dir, dirMode)
	if errors.Is(err, os.ErrExist) || errors.Is(err, syscall.EROFS) {
		return nil
	}
	if err == nil && uid >= 0 {
		err = os.Chown(dir, uid, gid)
	}
	return err
}

// openLogs opens the log, and the one before it: there may be lines in it that were
// written while no mtadb ran.
func (m *Memory) openLogs() {
	for _, path := range []string{m.follows + ".1", m.follows} {
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err == nil {
			var st os.FileInfo
			if st, err = f.Stat(); err == nil && !st.Mode().IsRegular() {
				f.Close()
				err = fmt.Errorf("%s is no file", path)
			}
		}
		switch {
		case err == nil:
			m.logs = append(m.logs, f)
		case path == m.follows:
			m.noLog = err
		}
	}
}

// Confinement: its own directory, and what is open already.
func (m *Memory) Confinement(p *service.Process) privsep.Spec {
	return privsep.Spec{
		Chroot:  p.EmptyDir(),
		Write:   []string{p.Settings().Instance.DB},
		Seccomp: privsep.SeccompWriter,
		Limits:  privsep.Limits{Memory: memoryLimit, NoFile: 1024},
	}
}

// Serve answers and follows until told to drain. There is nothing to finish: what was
// remembered is flushed, the rest of the log is read by the next one.
func (m *Memory) Serve(ctx context.Context, p *service.Process) error {
	work, stop := context.WithCancel(ctx)
	defer stop()
	m.wg.Go(func() { m.keepOpen(work) })
	server := p.Accept(ipc.Spawn(m.handle), ipc.ServerOptions{Credits: credits})
	m.server.Store(server)
	for _, l := range p.Listeners() {
		m.wg.Go(func() {
			var err error
			switch l.Kind {
			case proto.ListenControl:
				err = admin.Serve(work, l.Listener, p.Admin, m.administrators())
			case proto.ListenMine:
				err = admin.ServeUsers(work, l.Listener, p.Admin, m.users())
			}
			if err != nil {
				m.log.Emit(event.TroubleOf(0, "serve "+l.Address, err))
			}
		})
	}
	<-p.Draining()
	err := server.Shutdown(ctx)
	stop()
	m.wg.Wait()
	if s := m.store.Load(); s != nil {
		err = errors.Join(err, s.flush(), s.close())
	}
	return errors.Join(err, m.root.Close())
}

// keepOpen opens the database, however often that takes, and works for it until ctx
// ends.
func (m *Memory) keepOpen(ctx context.Context) {
	for told := ""; ; {
		s, err := m.tryOpen()
		if err == nil {
			m.store.Store(s)
			close(m.opened)
			m.work(ctx, s)
			return
		}
		if why := err.Error(); why != told {
			told = why
			m.log.Emit(event.TroubleOf(0, "open the database (mail flows without it; tried again every "+openAgain.String()+")", err))
		}
		m.setClosed("the database can't be opened: " + err.Error())
		select {
		case <-ctx.Done():
			return
		case <-time.After(openAgain):
		}
	}
}

// tryOpen opens the database; a damaged one is set aside first.
func (m *Memory) tryOpen() (*store, error) {
	note := func(err error) { m.log.Emit(event.TroubleOf(0, "in the database", err)) }
	s, err := openStore(m.root, note, m.broken)
	if !errors.Is(err, errDamaged) {
		return s, err
	}
	name, asideErr := setAside(m.root, m.now())
	if asideErr != nil {
		return nil, errors.Join(err, asideErr)
	}
	m.log.Emit(event.CorruptOf(0, "the database of what is remembered; a new one is begun", name, err))
	return openStore(m.root, note, m.broken)
}

// broken ends the process, as Pebble has no way back.
func (m *Memory) broken(err error) {
	m.log.Emit(event.TroubleOf(0, "going on with the database; mtadb ends and is started again", err))
	m.log.Flush()
	m.die()
}

func (m *Memory) setClosed(why string) {
	m.mu.Lock()
	m.closed = why
	m.mu.Unlock()
}

// work flushes, sweeps and follows.
func (m *Memory) work(ctx context.Context, s *store) {
	if err := m.follower.begin(s, m.logs); err != nil {
		m.log.Emit(event.TroubleOf(0, "taking up the log where it was left", err))
	}
	var wg sync.WaitGroup
	wg.Go(func() { m.follower.run(ctx, s, m.room) })
	defer m.follower.close()
	defer wg.Wait()
	flush, sweep := time.NewTicker(flushEvery), time.NewTicker(sweepEvery)
	defer flush.Stop()
	defer sweep.Stop()
	m.sweepAll(s)
	for {
		select {
		case <-ctx.Done():
			return
		case <-flush.C:
			if err := s.flush(); err != nil {
				m.broken(err)
				return
			}
			if _, err := m.root.Lstat(lockName); errors.Is(err, os.ErrNotExist) {
				m.broken(errors.New("it was deleted: another is begun"))
				return
			}
			m.look(s)
		case <-sweep.C:
			m.sweepAll(s)
		case <-m.moved:
			m.sweepAll(s)
		}
	}
}

func (m *Memory) sweepAll(s *store) {
	set := m.settings.Load().Memory
	now := m.now()
	err := errors.Join(s.sweep(now), s.sweepHistory(now, set.HistoryAge.D(), uint64(set.MaxSize)))
	if err != nil {
		m.log.Emit(event.TroubleOf(0, "dropping what is old", err))
	}
}

// spare is the free space below which nothing is written: Pebble needs some to put
// the database in order, and can't go on where it finds none.
const spare = 64 << 20

// errFull is what callers are told meanwhile.
var errFull = errors.New("the disk is nearly full: nothing is remembered until there is room")

// look notes whether there is room, and tells when that changes.
func (m *Memory) look(s *store) {
	usage, err := s.files.GetDiskUsage(".")
	if err != nil {
		return
	}
	full := usage.AvailBytes < spare
	m.mu.Lock()
	changed := full != m.full
	m.full = full
	m.mu.Unlock()
	switch {
	case changed && full:
		m.log.Emit(event.State{Now: "full", Why: fmt.Sprintf("less than %d MB are free: nothing is remembered until there is room", spare>>20)})
	case changed:
		m.log.Emit(event.State{Now: "room again"})
	}
}

func (m *Memory) room() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return errFull
	}
	return nil
}

// ready is the open database. A caller that comes with the start of the suite waits a
// little for it.
func (m *Memory) ready(ctx context.Context) (*store, error) {
	if s := m.store.Load(); s != nil {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	select {
	case <-m.opened:
		return m.store.Load(), nil
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return nil, errors.New(m.closed)
}

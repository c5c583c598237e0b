package router

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"filbert/pkg/aliases"
	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/lookup"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/resolve"
	"filbert/pkg/service"
	"filbert/pkg/settings"
)

// Bounds of the process.
const (
	credits = 512 // queries under way of one caller
	// queryDeadline ends a query, below the time that dispatch waits.
	queryDeadline = 80 * time.Second
	memoryLimit   = 1 << 30 // a million aliases take about 200 MB while they are replaced
	maxFiles      = 2048    // a socket for each question to DNS
	resolvConf    = "/etc/resolv.conf"
	etc           = "/etc"
)

// Router is the daemon.
type Router struct {
	world World

	mu    sync.RWMutex
	rules *rules
	old   sync.WaitGroup // rules that were replaced and still answer
}

// New makes the daemon. The world's empty fields are filled in by Open.
func New(w World) *Router { return &Router{world: w} }

// Open reads the files that decide where mail goes, and looks at this machine
// while it may: afterwards its interfaces are out of reach.
func (r *Router) Open(p *service.Process) error {
	w := &r.world
	if w.Now == nil {
		w.Now = p.Clock.Now
	}
	if w.Chance == nil {
		w.Chance = luck{}
	}
	if w.Tell == nil {
		w.Tell = func(doing string, err error) { p.Log.Emit(event.TroubleOf(0, doing, err)) }
	}
	w.Figures = newFigures(p.Tally)
	w.UID, w.GID = uint32(os.Getuid()), uint32(os.Getgid())
	if w.Addrs == nil {
		var err error
		if w.Addrs, err = ownAddrs(); err != nil {
			return err
		}
	}
	if w.Servers == nil {
		var err error
		if w.Servers, err = resolve.SystemServers(resolvConf); err != nil {
			return err
		}
	}
	if w.Agents == nil {
		w.Agents = connect(p)
	}
	if w.Callouts == nil {
		w.Callouts = newCallouts(p.Settings())
	}
	w.recalled = make(chan struct{})
	rules, err := compile(p.Settings(), *w)
	if err != nil {
		return err
	}
	r.rules = rules
	rules.announce()
	p.OnReload(r.reload)
	return nil
}

// announce tells what could not be read at the start. The suite serves all the
// same: mail that needs those files waits.
func (r *rules) announce() {
	for _, err := range r.warnings {
		r.tell("starting", err)
	}
}

// ownAddrs are the addresses of all interfaces.
func ownAddrs() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list own addresses: %w", err)
	}
	var out []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, addr.Unmap())
			}
		}
	}
	return out, nil
}

// Confinement: files are read, DNS and the servers of lookups are asked, nothing
// else.
func (r *Router) Confinement(p *service.Process) privsep.Spec {
	ports := privsep.Ports{53}
	for _, s := range r.servers(p.Settings()) {
		if !slices.Contains(ports, s.Port()) {
			ports = append(ports, s.Port())
		}
	}
	tcp, sockets := lookupServers(p.Settings())
	return privsep.Spec{
		Read:       r.readable(p.Settings()),
		Sockets:    sockets,
		ConnectTCP: append(slices.Clone(ports), tcp...),
		ConnectUDP: ports,
		BindUDP:    privsep.AnyPort(), // questions go out from random ports
		Seccomp:    privsep.SeccompReader,
		Limits:     privsep.Limits{Memory: memoryLimit, NoFile: maxFiles},
	}
}

// lookupServers are the TCP ports of the servers that lookups ask, and the
// directories of their Unix sockets: a server that starts anew makes a new one.
func lookupServers(s *settings.Settings) (ports privsep.Ports, dirs []string) {
	for _, l := range s.Lookups {
		tcp, sockets, _ := lookup.Needs(l)
		ports = append(ports, tcp...)
		for _, path := range sockets {
			dirs = addDir(dirs, filepath.Dir(path))
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports), dirs
}

func (r *Router) servers(s *settings.Settings) []netip.AddrPort {
	// compile has parsed the list.
	if list, err := resolve.ParseServers(s.DNS.Servers); err == nil && len(list) > 0 {
		return list
	}
	return r.world.Servers
}

// readable are the directories of all files that are there now: the files
// themselves may be replaced by new ones.
func (r *Router) readable(s *settings.Settings) []string {
	files := []string{filepath.Join(s.Instance.Etc, "x"), filepath.Join(etc, "x")}
	for _, d := range s.Directors {
		if d.File == "" || d.Driver == "forwardfile" { // that is read by its user
			continue
		}
		files = append(append(files, d.File), includedBy(&d)...)
	}
	for _, rt := range s.Routers {
		if rt.File != "" {
			files = append(files, rt.File)
		}
	}
	if len(s.Lookups) > 0 {
		files = append(files, resolvConf) // often a link that leads out of etc
	}
	for _, l := range s.Lookups {
		_, _, needed := lookup.Needs(l)
		files = append(files, needed...)
	}
	var dirs []string
	for _, f := range files {
		dir := filepath.Dir(f)
		if real, err := filepath.EvalSymlinks(f); err == nil {
			dirs = addDir(dirs, filepath.Dir(real))
		}
		dirs = addDir(dirs, dir)
	}
	return dirs
}

// addDir adds a directory that exists. The root is never opened: a file there
// is not worth all others.
func addDir(dirs []string, dir string) []string {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() || dir == "/" || slices.Contains(dirs, dir) {
		return dirs
	}
	return append(dirs, dir)
}

// includedBy are the files that a director's file includes. A file with mistakes
// is looked at too: it may be mended while we run.
func includedBy(d *settings.Director) []string {
	data, err := lookup.ReadFile(d.File, aliases.MaxFile)
	if err != nil {
		return nil
	}
	var names []string
	switch d.Driver {
	case "aliasfile":
		table, _ := aliases.Parse(d.File, data)
		names = table.Includes()
	case "virtual":
		table, _ := aliases.ParseVirtual(d.File, data)
		names = table.Includes()
	case "list":
		items, _ := aliases.ParseList(d.File, data)
		for _, it := range items {
			if it.Kind == aliases.Include {
				names = append(names, it.Text)
			}
		}
	}
	for i, name := range names {
		names[i] = aliases.Resolve(d.File, name)
	}
	return names
}

// reload puts a new configuration in force, or keeps the old one and says why.
func (r *Router) reload(s *settings.Settings) {
	rules, err := compile(s, r.world)
	if err != nil {
		r.world.Tell("reloading", err)
		return
	}
	rules.announce()
	r.world.Callouts.SetLimits(calloutLimits(s))
	r.mu.Lock()
	old := r.rules
	r.rules = rules
	r.mu.Unlock()
	r.old.Go(old.close)
}

// Serve answers until told to drain.
func (r *Router) Serve(ctx context.Context, p *service.Process) error {
	work, stop := context.WithCancel(ctx)
	defer stop()
	memory := newRememberer(&r.world, p)
	var loops sync.WaitGroup
	loops.Go(func() { memory.run(work) })
	server := p.Accept(ipc.Spawn(r.handle), ipc.ServerOptions{Credits: credits})
	<-p.Draining()
	err := server.Shutdown(ctx)
	stop()
	loops.Wait()
	r.mu.RLock()
	r.rules.close()
	r.mu.RUnlock()
	r.old.Wait()
	return err
}

func (r *Router) handle(ctx context.Context, c *ipc.Call) {
	c.CloseFiles() // a query has none
	if c.Kind == proto.KindLookup {
		r.lookUp(ctx, c)
		return
	}
	var m proto.RouteQuery
	if c.Decode(&m) != nil {
		return // the connection is closed
	}
	if !mayRoute(c.Caller) {
		_ = c.Violation(fmt.Errorf("%s may not ask for routes", c.Caller))
		return
	}
	a := r.Answer(ctx, &m)
	if c.Caller != string(proto.Dispatch) {
		withoutPasswords(a.Leaves)
	}
	most := envelope.MaxRecipients // of an answer
	if m.Most > 0 {
		most = min(most, int(m.Most))
	}
	if n := len(a.Leaves); n > most {
		a = &proto.RouteAnswer{TooMany: uint32(n)}
	}
	c.Reply(a)
}

// Answer answers one query.
func (r *Router) Answer(ctx context.Context, m *proto.RouteQuery) *proto.RouteAnswer {
	ctx, cancel := context.WithTimeout(ctx, queryDeadline)
	defer cancel()
	rules, done := r.use()
	defer done()
	if m.Override != "" {
		return rules.overridden(ctx, m)
	}
	return rules.answer(ctx, m)
}

// use gives the rules in force, for as long as done is not called.
func (r *Router) use() (in *rules, done func()) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	r.rules.users.Add(1)
	return r.rules, r.rules.users.Done
}

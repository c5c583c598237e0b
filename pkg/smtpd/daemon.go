package smtpd

import (
	"context"
	"fmt"

	"filbert/pkg/ipc"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/settings"
	"filbert/pkg/wire"
)

// memoryLimit is what the process may use: the content of messages under way,
// and twenty thousand connections.
const memoryLimit = 1 << 30

// daemon is smtpd as master runs it.
type daemon struct {
	server *server
}

// New makes the daemon for service.Main.
func New() service.Daemon { return new(daemon) }

// Open prepares the listeners that master bound. Nothing is opened: the
// process needs no file.
func (d *daemon) Open(p *service.Process) error {
	d.server = newServer(p.Context(), nil, p.Log, p.Board)
	d.server.clock = p.Clock
	d.server.figures = figures{clients: p.Tally.Figure(proto.FigureClients), messages: p.Tally.Figure(proto.FigureClientMessages)}
	for _, l := range p.Listeners() {
		if l.Kind != proto.ListenSMTP {
			return fmt.Errorf("listener %s: not of a kind that smtpd serves", l.Name)
		}
		e, err := siteFor(p.Settings(), l.Name)
		if err != nil {
			return err
		}
		d.server.add(l.Listener, e)
	}
	return nil
}

// siteFor compiles the configuration of the listener of a name.
func siteFor(s *settings.Settings, name string) (*site, error) {
	for _, port := range s.Listen {
		if port.Name == name {
			return newSite(s, port)
		}
	}
	return nil, fmt.Errorf("listener %s: not in the configuration", name)
}

// Confinement: smtpd talks to strangers and may do nothing else. It has its
// listening sockets, its connections, its socket to master and those that come
// over it; no file system, no program to run, no connection of its own making
// to anywhere.
func (d *daemon) Confinement(p *service.Process) privsep.Spec {
	connections := 0
	for _, door := range d.server.doors {
		connections += door.ledger.max
	}
	return privsep.Spec{
		Chroot:  p.EmptyDir(),
		Files:   privsep.FilesListed,
		Seccomp: privsep.SeccompServer,
		Limits: privsep.Limits{
			Memory: memoryLimit,
			// A connection, and the two ends of its pipe while they are ours.
			NoFile: uint64(3*connections + 256),
		},
	}
}

// Serve accepts until the process drains.
func (d *daemon) Serve(ctx context.Context, p *service.Process) error {
	s := d.server
	s.ctx = ctx
	s.cleanup = p.Client(proto.Cleanup, ipc.ClientOptions{
		Stay:     ipc.Always,
		OnUp:     func(context.Context, *ipc.Conn) { s.cleanupUp() },
		OnDown:   func(error) { s.cleanupDown() },
		OnNotice: s.notice,
	})
	s.router = p.Client(proto.Router, ipc.ClientOptions{})
	s.qmgr = p.Client(proto.QMgr, ipc.ClientOptions{})
	p.OnReload(d.reload)
	p.OnOrders(s.heed)
	p.OnLoad(s.takeLoad)
	defer s.forgetOrders()

	failed := s.start()
	var err error
	select {
	case <-p.Draining():
	case err = <-failed:
	case <-ctx.Done():
	}
	s.drain(p.Stopping())
	s.refusals.flush()
	return err
}

// notice takes cleanup's notices. One that does not decode is ignored: the
// next call will show what is wrong with that peer.
func (s *server) notice(kind uint16, payload []byte) {
	if kind != proto.KindCapacity {
		return
	}
	var c proto.Capacity
	dec := wire.NewDecoder(payload)
	c.DecodeFrom(dec)
	if dec.Finish() == nil {
		s.capacity(&c)
	}
}

// reload puts a new configuration in force for connections that come. One that
// does not compile was refused by master's check; should it come this far, the
// old one stays.
func (d *daemon) reload(s *settings.Settings) {
	for _, door := range d.server.doors {
		e, err := siteFor(s, door.site.Load().port.Name)
		if err != nil {
			d.server.trouble("reload", err)
			continue
		}
		door.site.Store(e)
	}
	d.server.resize()
}

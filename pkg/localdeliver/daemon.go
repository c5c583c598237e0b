package localdeliver

import (
	"context"
	"errors"
	"sync"

	"filbert/pkg/ipc"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/settings"
)

// Daemon is the parent as pkg/service runs it.
type Daemon struct {
	// Program is what children run; "" is this program. A test program that
	// runs the daemon inside itself names the real one.
	Program string

	server *server
}

// New makes the daemon.
func New() *Daemon { return &Daemon{} }

// Open has nothing to open: the parent holds no file.
func (d *Daemon) Open(p *service.Process) error {
	d.server = newServer(p.Settings(), (&launcher{program: d.Program}).start, privsep.LookupUser)
	d.server.board, d.server.clock = p.Board, p.Clock
	p.OnReload(d.server.configure)
	return nil
}

// Confinement is what the parent may still do: start programs as other users,
// and end them. It reads the password file again and again, and its children
// inherit whatever it gives up, so files, programs and ports stay open to what
// the users' own rights allow.
func (d *Daemon) Confinement(p *service.Process) privsep.Spec {
	spec := privsep.Spec{
		Files:      privsep.FilesAny,
		Exec:       []string{"/"},
		Scope:      privsep.ScopeAny,
		ConnectTCP: privsep.AnyPort(), BindTCP: privsep.AnyPort(),
		ConnectUDP: privsep.AnyPort(), BindUDP: privsep.AnyPort(),
		// Commands inherit these: wide enough for a mail filter, narrow
		// enough that one cannot take the machine.
		Limits: privsep.Limits{Memory: 1 << 30, NoFile: 4096},
	}
	if p.Settings().Instance.Separate {
		spec.Keep = []privsep.Capability{privsep.CapSetUID, privsep.CapSetGID, privsep.CapKill}
	}
	return spec
}

// Serve answers dispatch and router, each its own questions alone, until the
// suite drains.
func (d *Daemon) Serve(ctx context.Context, p *service.Process) error {
	jobs := p.Accept(ipc.Spawn(d.server.handle), ipc.ServerOptions{}, string(proto.Dispatch))
	questions := p.Accept(ipc.Spawn(d.server.answer), ipc.ServerOptions{}, string(proto.Router))
	<-p.Draining()
	// Both at once: they share the time that is left.
	var answered error
	var wg sync.WaitGroup
	wg.Go(func() { answered = questions.Shutdown(ctx) })
	err := jobs.Shutdown(ctx)
	wg.Wait()
	d.server.drain(ctx)
	return errors.Join(err, answered)
}

// limitsOf are the settings that bound the children.
func limitsOf(conf *settings.Settings) (children, commands int) {
	if !conf.Instance.Separate {
		// All users share one child, which is the caller.
		return conf.Limits.LocalChildren, conf.Limits.LocalChildren
	}
	return conf.Limits.LocalChildren, conf.Limits.PerUser
}

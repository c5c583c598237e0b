package bounce

import (
	"context"
	"os"
	"sync/atomic"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/settings"
)

const (
	credits     = 100 // reports under way at once
	memoryLimit = 256 << 20
)

// caller is the part of ipc.Client that submitting needs.
type caller interface {
	Call(ctx context.Context, req, reply ipc.Message, files ...*os.File) error
}

// Bounce is the daemon.
type Bounce struct {
	site    atomic.Pointer[site]
	log     *event.Log
	board   *service.Scoreboard
	now     func() time.Time
	cleanup caller
}

// New makes the daemon.
func New() *Bounce { return &Bounce{now: time.Now} }

// Open remembers the settings; there is nothing to open.
func (b *Bounce) Open(p *service.Process) error {
	b.log, b.board = p.Log, p.Board
	if p.Clock.Movable() {
		b.now = p.Clock.Now
	}
	b.install(p.Settings())
	p.OnReload(b.install)
	return nil
}

// install makes s what reports are written by from now on.
func (b *Bounce) install(s *settings.Settings) {
	w, err := newSite(s)
	if err != nil {
		b.log.Emit(event.TroubleOf(0, "install the words of reports", err))
	}
	b.site.Store(w)
}

// Confinement: no files, no network.
func (b *Bounce) Confinement(p *service.Process) privsep.Spec {
	return privsep.Spec{
		Chroot:  p.EmptyDir(),
		Seccomp: privsep.SeccompServer,
		Limits:  privsep.Limits{Memory: memoryLimit, NoFile: 1024},
	}
}

// Serve makes reports until told to drain.
func (b *Bounce) Serve(ctx context.Context, p *service.Process) error {
	b.cleanup = p.Client(proto.Cleanup, ipc.ClientOptions{OnNotice: func(uint16, []byte) {}})
	server := p.Accept(ipc.Spawn(b.handle), ipc.ServerOptions{Credits: credits})
	<-p.Draining()
	return server.Shutdown(ctx)
}

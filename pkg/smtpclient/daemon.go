package smtpclient

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/settings"
)

const (
	// credits is how many jobs of one caller may be under way or waiting for
	// a connection.
	credits = 2000
	// callOutCredits is the same for call-outs.
	callOutCredits = 1000
	memoryLimit    = 512 << 20
	maxFiles       = 8192 // a connection each, and the content of large messages
)

// Daemon is the smtp-client service.
type Daemon struct {
	client   *Client
	underWay jobsUnderWay
	jobs     sync.WaitGroup
}

// New makes the daemon.
func New() *Daemon { return &Daemon{} }

// Open prepares the transports and reads the certificates of the authorities.
// There is nothing else to open: a server's address comes with each job.
func (d *Daemon) Open(p *service.Process) error {
	var err error
	if d.client, err = NewClient(p.Settings(), p.Board, p.Log); err != nil {
		return err
	}
	d.client.figures = newFigures(p.Tally)
	d.client.router = p.Client(proto.Router, ipc.ClientOptions{})
	p.OnReload(func(s *settings.Settings) {
		if err := d.client.Configure(s); err != nil {
			p.Log.Emit(event.TroubleOf(0, "reload", err))
		}
	})
	return nil
}

// Confinement: connections to any port and to the configured Unix sockets; no
// files, no programs.
func (d *Daemon) Confinement(p *service.Process) privsep.Spec {
	spec := privsep.Spec{
		Chroot:     p.EmptyDir(),
		ConnectTCP: privsep.AnyPort(),
		Seccomp:    privsep.SeccompClient,
		Limits:     privsep.Limits{Memory: memoryLimit, NoFile: maxFiles},
	}
	for _, t := range p.Settings().Transports {
		if len(t.SourceAddresses) > 0 {
			spec.BindTCP = privsep.AnyPort() // port 0, which the kernel chooses
		}
		if t.Socket != "" && filepath.IsAbs(t.Socket) {
			// In an empty root there would be no way to the socket. Landlock
			// still keeps every file closed.
			spec.Chroot = ""
			if dir := filepath.Dir(t.Socket); isDir(dir) {
				spec.Sockets = append(spec.Sockets, dir)
			}
		}
	}
	return spec
}

// isDir tells whether there is such a directory. The socket itself comes and
// goes with its server, so it is its directory that counts; without that, mail
// for it waits, and the next start or reload looks again.
func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Serve delivers until told to drain, and then finishes the jobs that it has.
// Each caller has its own kind of question: router's connection takes no mail.
func (d *Daemon) Serve(ctx context.Context, p *service.Process) error {
	jobs := p.Accept(d.handle, ipc.ServerOptions{Credits: credits}, string(proto.Dispatch))
	callOuts := p.Accept(d.handleCallOut, ipc.ServerOptions{Credits: callOutCredits}, string(proto.Router))
	<-p.Draining()
	var tasks [2]error
	var wg sync.WaitGroup
	for i, server := range []*ipc.Server{jobs, callOuts} {
		wg.Go(func() { tasks[i] = server.Shutdown(ctx) })
	}
	wg.Wait()
	if err := errors.Join(tasks[:]...); err != nil {
		// Out of time. What is left waits for servers; nobody waits for it.
		return err
	}
	d.jobs.Wait()
	d.client.Close()
	return nil
}

// handle decodes a job on the read loop and does it elsewhere. ctx is done when
// the caller is gone: he will ask again, and what has not begun by then would
// only be delivered twice.
func (d *Daemon) handle(ctx context.Context, c *ipc.Call) {
	if c.Kind == proto.KindAbandon {
		d.handleAbandon(c)
		return
	}
	job := new(proto.RemoteJob)
	if err := c.Decode(job); err != nil {
		return // the connection is closed, and OnError told
	}
	if job.Content.InFile() != (len(c.Files) == 1) || len(c.Files) > 1 {
		_ = c.Violation(errDescriptors) // likewise
		return
	}
	d.jobs.Go(func() {
		defer c.CloseFiles()
		ctx, done := d.underWay.begin(ctx, job.ID)
		defer done()
		answer := d.client.Deliver(ctx, job, c.Files)
		c.Reply(&answer)
	})
}

// handleCallOut is the same for a question of router's.
func (d *Daemon) handleCallOut(ctx context.Context, c *ipc.Call) {
	q := new(proto.CalloutQuery)
	if err := c.Decode(q); err != nil {
		return // the connection is closed, and OnError told
	}
	if len(c.Files) > 0 {
		_ = c.Violation(errDescriptors) // likewise
		return
	}
	d.jobs.Go(func() {
		answer := d.client.CallOut(ctx, q)
		c.Reply(&answer)
	})
}

var errDescriptors = errors.New("message whose content and descriptors do not agree")

package master

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	svc "filbert/pkg/service"
	"filbert/pkg/wire"
)

// line is what the test daemons say to each other.
type line struct{ s string }

func (*line) Kind() uint16                 { return 90 }
func (l *line) EncodeTo(e *wire.Encoder)   { e.String(l.s) }
func (l *line) DecodeFrom(d *wire.Decoder) { l.s = d.String(1000) }

// testDaemon is any of the test suite's programs. As smtpd it serves lines:
// each is an order to show something or to call another daemon.
type testDaemon struct {
	name        string
	descriptors string
	p           *svc.Process
	server      *ipc.Server
	sessions    sync.WaitGroup
}

func runTestDaemon(name string) {
	svc.Main(name, &testDaemon{name: name, descriptors: openDescriptors()})
}

// openDescriptors lists what this process was born with, without what the Go
// runtime opens for itself: its poller, and the processor limits.
func openDescriptors() string {
	var list []string
	for fd := range 64 {
		if target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil &&
			!strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/sys/fs/cgroup/") {
			list = append(list, fmt.Sprint(fd))
		}
	}
	return strings.Join(list, " ")
}

func (d *testDaemon) Open(p *svc.Process) error {
	d.p = p
	if d.name == "cleanup" && p.Settings().Postmaster == "cleanup-fails" {
		return errors.New("fails as configured")
	}
	d.server = p.Accept(d.answer, ipc.ServerOptions{})
	return nil
}

func (d *testDaemon) Confinement(p *svc.Process) privsep.Spec {
	return privsep.Spec{Chroot: p.EmptyDir(), Seccomp: privsep.SeccompServer}
}

func (d *testDaemon) answer(_ context.Context, c *ipc.Call) {
	var l line
	if c.Decode(&l) != nil {
		return
	}
	switch l.s {
	case "crash":
		os.Exit(9)
	case "hostname":
		c.Reply(&line{d.p.Settings().Hostname})
	default:
		c.Reply(&line{fmt.Sprintf("%s %d answers %s", d.name, os.Getpid(), c.Caller)})
	}
}

func (d *testDaemon) Serve(ctx context.Context, p *svc.Process) error {
	for _, l := range p.Listeners() {
		go d.accept(l)
	}
	<-p.Draining()
	if d.name == "dispatch" && p.Settings().Postmaster == "dispatch-hangs" {
		select {}
	}
	for _, l := range p.Listeners() {
		l.Close()
	}
	d.sessions.Wait()
	return d.server.Shutdown(ctx)
}

func (d *testDaemon) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		d.sessions.Add(1)
		go d.session(conn)
	}
}

func (d *testDaemon) session(conn net.Conn) {
	defer d.sessions.Done()
	defer conn.Close()
	row := d.p.Board.Start()
	defer row.End()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-d.p.Stopping():
			fmt.Fprintln(conn, "stopping")
		case <-over:
		}
	}()
	fmt.Fprintln(conn, os.Getpid())
	for in := bufio.NewScanner(conn); in.Scan(); {
		row.Set(in.Text(), "", conn.RemoteAddr().String())
		fmt.Fprintln(conn, d.obey(in.Text()))
	}
}

// obey carries out one line.
func (d *testDaemon) obey(order string) string {
	verb, arg, _ := strings.Cut(order, " ")
	switch verb {
	case "exit":
		os.Exit(7)
	case "panic":
		panic("as asked")
	case "hostname":
		return d.p.Settings().Hostname
	case "environment":
		return strings.Join(os.Environ(), " ")
	case "descriptors":
		return d.descriptors
	case "log":
		d.p.Log.Emit(event.State{Now: arg})
		d.p.Log.Flush()
		return "logged"
	case "call":
		callee, say, _ := strings.Cut(arg, " ")
		return d.call(callee, say)
	case "crash":
		return d.call(arg, "crash")
	}
	return "what?"
}

func (d *testDaemon) call(callee, say string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := d.p.Client(proto.Service(callee), ipc.ClientOptions{})
	defer c.Close()
	var l line
	if err := c.Call(ctx, &line{say}, &l); err != nil {
		return err.Error()
	}
	return l.s
}

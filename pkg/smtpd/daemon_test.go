package smtpd

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"filbert/pkg/ipc"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/service/servicetest"
)

// cleanupDaemon is a fake cleanup behind a real service.
type cleanupDaemon struct {
	fake fakeCleanup
	full bool
}

func (c *cleanupDaemon) Open(p *service.Process) error {
	p.Accept(ipc.Spawn(func(ctx context.Context, call *ipc.Call) {
		defer call.CloseFiles()
		var sub proto.Submission
		var a proto.Acceptance
		if call.Decode(&sub) != nil || c.fake.Call(ctx, &sub, &a, call.Files...) != nil {
			return
		}
		call.Reply(&a)
	}), ipc.ServerOptions{OnConnect: func(conn *ipc.Conn) {
		_ = conn.Notify(&proto.Capacity{Accepting: !c.full, Free: 1 << 30})
	}})
	return nil
}

func (c *cleanupDaemon) Confinement(*service.Process) privsep.Spec { return privsep.Spec{} }

func (c *cleanupDaemon) Serve(_ context.Context, p *service.Process) error {
	<-p.Draining()
	return nil
}

func TestDaemonServesUntilItDrains(t *testing.T) {
	s := testSettings()
	suite := servicetest.New(t, s, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	behind := &cleanupDaemon{}
	suite.Start(proto.Cleanup, behind)
	suite.Start(proto.SMTPD, New(), service.NamedListener{Kind: proto.ListenSMTP, Name: "mx", Address: l.Addr().String(), Listener: l})
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &client{t, conn.(*net.TCPConn), bufio.NewReader(conn)}
	c.expect(220)
	c.cmd(250, "EHLO client.example")
	c.mail(250, "x\r\n")
	c.mail(250, text(1<<20))
	if n := len(behind.fake.messages()); n != 2 {
		t.Errorf("%d messages", n)
	}
	stopped := make(chan error)
	go func() { stopped <- suite.Stop(proto.SMTPD) }()
	c.expect(421)
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestDaemonRefusesAListenerThatIsNotConfigured(t *testing.T) {
	p := service.New(service.Wiring{Settings: testSettings(), Listeners: []service.NamedListener{{Kind: proto.ListenSMTP, Name: "other"}}})
	if err := New().Open(p); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("got %v", err)
	}
	p = service.New(service.Wiring{Settings: testSettings(), Listeners: []service.NamedListener{{Kind: proto.ListenSubmit, Name: "mx"}}})
	if err := New().Open(p); err == nil {
		t.Error("a Unix socket was taken for a port")
	}
}

func TestConfinementLeavesNothingButConnections(t *testing.T) {
	p := service.New(service.Wiring{Settings: testSettings(), Listeners: []service.NamedListener{{Kind: proto.ListenSMTP, Name: "mx"}}})
	d := New()
	if err := d.Open(p); err != nil {
		t.Fatal(err)
	}
	spec := d.Confinement(p)
	if spec.Files != privsep.FilesListed || len(spec.Read)+len(spec.Write)+len(spec.Exec)+len(spec.Sockets) > 0 {
		t.Errorf("files: %+v", spec)
	}
	if len(spec.ConnectTCP)+len(spec.BindTCP)+len(spec.ConnectUDP)+len(spec.BindUDP) > 0 || spec.Scope != privsep.ScopeSelf {
		t.Errorf("network: %+v", spec)
	}
	if spec.Seccomp != privsep.SeccompServer || spec.Limits.Memory == 0 || len(spec.Keep) > 0 {
		t.Errorf("process: %+v", spec)
	}
}

// failingListener fails to accept, first in passing, then for good.
type failingListener struct {
	net.Listener
	errs []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	if len(l.errs) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, err
}

func TestAcceptGoesOnAfterErrorsThatPass(t *testing.T) {
	r := newRig(t, nil)
	l := &failingListener{errs: []error{syscall.EMFILE, syscall.ECONNABORTED}}
	d := &door{listener: l}
	if err := r.server.accept(d); err != io.ErrUnexpectedEOF || len(l.errs) > 0 {
		t.Errorf("got %v, %d errors left", err, len(l.errs))
	}
}

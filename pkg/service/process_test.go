package service_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"filbert/pkg/ipc"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/service/servicetest"
	"filbert/pkg/settings"
	"filbert/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// word is the message of these tests.
type word struct{ s string }

func (*word) Kind() uint16                 { return 90 }
func (w *word) EncodeTo(e *wire.Encoder)   { e.String(w.s) }
func (w *word) DecodeFrom(d *wire.Decoder) { w.s = d.String(100) }

// daemon answers calls with its name and the caller's.
type daemon struct {
	name   string
	server *ipc.Server
}

func (d *daemon) Open(p *service.Process) error {
	d.server = p.Accept(func(_ context.Context, c *ipc.Call) {
		c.Reply(&word{d.name + " to " + c.Caller})
	}, ipc.ServerOptions{})
	return nil
}

func (d *daemon) Confinement(*service.Process) privsep.Spec { return privsep.Spec{} }

func (d *daemon) Serve(ctx context.Context, p *service.Process) error {
	<-p.Draining()
	return d.server.Shutdown(ctx)
}

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestDaemonsCallEachOtherByName(t *testing.T) {
	suite := servicetest.New(t, settings.Default(), nil)
	suite.Start(proto.Cleanup, &daemon{name: "cleanup"})
	p := suite.Start(proto.SMTPD, &daemon{name: "smtpd"})
	var w word
	if err := p.Client(proto.Cleanup, ipc.ClientOptions{}).Call(timeout(t), &word{}, &w); err != nil {
		t.Fatal(err)
	}
	if w.s != "cleanup to smtpd" {
		t.Fatalf("got %q", w.s)
	}
}

func TestClientFindsARestartedService(t *testing.T) {
	suite := servicetest.New(t, settings.Default(), nil)
	suite.Start(proto.Cleanup, &daemon{name: "first"})
	c := suite.Client("smtpd", proto.Cleanup, ipc.ClientOptions{})
	var w word
	if err := c.Call(timeout(t), &word{}, &w); err != nil || w.s != "first to smtpd" {
		t.Fatalf("%q, %v", w.s, err)
	}
	if err := suite.Stop(proto.Cleanup); err != nil {
		t.Fatal(err)
	}
	// Until the client has noticed, and while nobody is there, calls fail as
	// temporary.
	err := c.Call(timeout(t), &word{}, &w)
	var temp interface{ Temporary() bool }
	if !errors.As(err, &temp) || !temp.Temporary() {
		t.Fatalf("got %v", err)
	}
	suite.Start(proto.Cleanup, &daemon{name: "second"})
	for ctx := timeout(t); ; {
		err := c.Call(ctx, &word{}, &w)
		if err == nil {
			break
		}
		if !errors.Is(err, ipc.ErrGone) {
			t.Fatal(err)
		}
	}
	if w.s != "second to smtpd" {
		t.Fatalf("got %q", w.s)
	}
}

func TestConnectionThatComesBeforeItsAcceptorWaits(t *testing.T) {
	p := service.New(service.Wiring{Settings: settings.Default()})
	defer p.Close()
	a, b, err := ipc.ConnPair()
	if err != nil {
		t.Fatal(err)
	}
	p.Admit("early", a)
	c := ipc.NewClient(func(context.Context) (*net.UnixConn, error) { return b, nil }, ipc.ClientOptions{})
	defer c.Close()
	got := make(chan error, 1)
	var w word
	go func() { got <- c.Call(timeout(t), &word{}, &w) }()
	d := &daemon{name: "late"}
	d.Open(p)
	if err := <-got; err != nil || w.s != "late to early" {
		t.Fatalf("%q, %v", w.s, err)
	}
	d.server.Shutdown(timeout(t))
}

func TestAcceptorsAreChosenByCaller(t *testing.T) {
	p := service.New(service.Wiring{Settings: settings.Default()})
	defer p.Close()
	named := func(name string) ipc.Handler {
		return func(_ context.Context, c *ipc.Call) { c.Reply(&word{name}) }
	}
	general := p.Accept(named("general"), ipc.ServerOptions{})
	special := p.Accept(named("special"), ipc.ServerOptions{}, "qmgr")
	for caller, want := range map[string]string{"qmgr": "special", "cleanup": "general"} {
		a, b, err := ipc.ConnPair()
		if err != nil {
			t.Fatal(err)
		}
		p.Admit(caller, a)
		c := ipc.NewClient(func(context.Context) (*net.UnixConn, error) { return b, nil }, ipc.ClientOptions{})
		var w word
		if err := c.Call(timeout(t), &word{}, &w); err != nil || w.s != want {
			t.Errorf("%s reached %q, %v", caller, w.s, err)
		}
		c.Close()
	}
	general.Shutdown(timeout(t))
	special.Shutdown(timeout(t))
}

func TestReloadIsSeenBySettingsAndHooks(t *testing.T) {
	p := service.New(service.Wiring{Settings: settings.Default()})
	defer p.Close()
	var hooked string
	p.OnReload(func(s *settings.Settings) { hooked = s.Hostname + "/" + p.Settings().Hostname })
	next := settings.Default()
	next.Hostname = "new.example"
	p.Reload(next)
	if hooked != "new.example/new.example" {
		t.Fatalf("the hook saw %q", hooked)
	}
}

func TestDrainBoundEndsTheContext(t *testing.T) {
	p := service.New(service.Wiring{Settings: settings.Default()})
	defer p.Close()
	p.Drain(0, service.Stop)
	p.Drain(time.Hour, service.Stop) // no second chance
	<-p.Draining()
	<-p.Context().Done()
}

func TestReplacedProcessStopsOnlyWhenTheSuiteDoes(t *testing.T) {
	p := service.New(service.Wiring{Settings: settings.Default()})
	defer p.Close()
	p.Drain(time.Hour, service.Replaced)
	<-p.Draining()
	select {
	case <-p.Stopping():
		t.Fatal("a replaced process was told to stop")
	default:
	}
	p.Drain(0, service.Stop)
	<-p.Stopping()
	<-p.Context().Done()
}

func TestOnlyOwnerRootAndAdministratorsMayAdminister(t *testing.T) {
	cases := []struct {
		peer  ipc.PeerCred
		group uint32
		want  bool
	}{
		{ipc.PeerCred{UID: 0, GID: 0}, service.NoGroup, true},
		{ipc.PeerCred{UID: 100, GID: 9}, service.NoGroup, true},
		{ipc.PeerCred{UID: 101, GID: 9}, service.NoGroup, false},
		{ipc.PeerCred{UID: 101, GID: 9}, 9, true},
		{ipc.PeerCred{UID: 101, GID: 8, Groups: []uint32{7, 9}}, 9, true},
		{ipc.PeerCred{UID: 101, GID: 8, Groups: []uint32{7}}, 9, false},
		{ipc.PeerCred{UID: 101, GID: service.NoGroup}, service.NoGroup, false},
	}
	for _, c := range cases {
		if got := service.MayAdminister(c.peer, 100, c.group); got != c.want {
			t.Errorf("%+v, group %d: %v", c.peer, c.group, got)
		}
	}
}

func TestBoardShowsWhatIsUnderWay(t *testing.T) {
	now := time.Unix(1000, 0)
	b := service.NewScoreboard(func() time.Time { return now })
	old := b.Start()
	now = now.Add(time.Second)
	young := b.Start()
	young.Set("data", "0ABCDEFGHJK", "192.0.2.1")
	young.Add(5)
	now = now.Add(time.Second)
	young.Set("data", "", "")
	young.Add(7)
	old.Set("quit", "", "")
	rows := b.Snapshot().Rows
	if len(rows) != 2 || rows[0].Phase != "quit" || !rows[0].Since.Equal(time.Unix(1002, 0)) {
		t.Fatalf("%+v", rows)
	}
	r := rows[1]
	if r.ID != "0ABCDEFGHJK" || r.Peer != "192.0.2.1" || r.Bytes != 12 || !r.Since.Equal(time.Unix(1001, 0)) {
		t.Fatalf("%+v", r)
	}
	old.End()
	young.End()
	if b.Len() != 0 {
		t.Fatal("rows are left")
	}
}

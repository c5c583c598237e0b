package ipc

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// exchange is a server whose connections a client can be given one by one.
type exchange struct {
	t      *testing.T
	mu     sync.Mutex
	server *Server // nil: nobody is there
	dials  int
}

func (x *exchange) dial(context.Context) (*net.UnixConn, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dials++
	if x.server == nil {
		return nil, errors.New("nobody is there")
	}
	return attach(x.t, x.server, "client"), nil
}

func (x *exchange) set(s *Server) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.server = s
}

func (x *exchange) client(opts ClientOptions) *Client {
	c := NewClient(x.dial, opts)
	x.t.Cleanup(c.Close)
	return c
}

func TestClientConnectsAtItsFirstCallOnly(t *testing.T) {
	x := &exchange{t: t, server: NewServer(echo, ServerOptions{})}
	c := x.client(ClientOptions{})
	if x.mu.Lock(); x.dials != 0 {
		t.Error("connected before anybody called")
	}
	x.mu.Unlock()
	for range 3 {
		if err := c.Call(ctxFor(t), &text{"a"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if x.dials != 1 {
		t.Fatalf("%d connections for three calls", x.dials)
	}
}

func TestCallFailsAtOnceWhenNoConnectionCanBeMade(t *testing.T) {
	x := &exchange{t: t}
	down := make(chan error, 100)
	c := x.client(ClientOptions{OnDown: func(err error) { down <- err }})
	err := c.Call(ctxFor(t), &text{}, nil)
	var temp interface{ Temporary() bool }
	if !errors.Is(err, ErrGone) || !errors.As(err, &temp) || !temp.Temporary() {
		t.Fatalf("got %v", err)
	}
	if err := <-down; !errors.Is(err, ErrGone) {
		t.Fatalf("OnDown was told %v", err)
	}
	done := make(chan error, 1)
	c.Go(ctxFor(t), &text{}, func(_ *Reply, err error) { done <- err })
	if err := <-done; !errors.Is(err, ErrGone) {
		t.Fatalf("Go: %v", err)
	}
}

func TestPersistentClientComesBackAndIsToldFirst(t *testing.T) {
	x := &exchange{t: t}
	ups := make(chan string, 10)
	c := x.client(ClientOptions{
		Stay: Always,
		OnUp: func(ctx context.Context, conn *Conn) {
			var m text
			if err := conn.Call(ctx, &text{"first"}, &m); err != nil {
				m.s = err.Error()
			}
			ups <- m.s
		},
	})
	var mu sync.Mutex
	var order []string
	record := func(ctx context.Context, call *Call) {
		var m text
		if call.Decode(&m) == nil {
			mu.Lock()
			order = append(order, m.s)
			mu.Unlock()
			call.Reply(&m)
		}
	}
	first := NewServer(record, ServerOptions{})
	x.set(first)
	if got := <-ups; got != "first" {
		t.Fatalf("OnUp: %q", got)
	}
	x.set(NewServer(record, ServerOptions{}))
	first.Shutdown(ctxFor(t))
	if got := <-ups; got != "first" { // without anybody calling
		t.Fatalf("OnUp: %q", got)
	}
	if err := c.Call(ctxFor(t), &text{"second"}, nil); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(order) != 3 || order[1] != "first" || order[2] != "second" {
		t.Fatalf("the servers saw %q", order)
	}
}

func TestNoticesReachTheClient(t *testing.T) {
	s := NewServer(echo, ServerOptions{OnConnect: func(c *Conn) { c.Notify(&number{42}) }})
	x := &exchange{t: t, server: s}
	got := make(chan uint16, 1)
	x.client(ClientOptions{Stay: Always, OnNotice: func(kind uint16, _ []byte) { got <- kind }})
	if kind := <-got; kind != 8 {
		t.Fatalf("kind %d", kind)
	}
}

func TestClosedClientFailsItsCalls(t *testing.T) {
	arrived := make(chan struct{}, 1)
	s := NewServer(func(context.Context, *Call) { arrived <- struct{}{} }, ServerOptions{})
	c := (&exchange{t: t, server: s}).client(ClientOptions{})
	got := make(chan error, 1)
	c.Go(context.Background(), &text{}, func(_ *Reply, err error) { got <- err })
	<-arrived
	c.Close()
	if err := <-got; !errors.Is(err, ErrGone) {
		t.Fatalf("the call under way: %v", err)
	}
	if err := c.Call(ctxFor(t), &text{}, nil); !errors.Is(err, ErrGone) {
		t.Fatalf("a later call: %v", err)
	}
}

func TestReplyOfAnotherKindEndsTheConnection(t *testing.T) {
	s := NewServer(func(_ context.Context, c *Call) { c.Reply(&number{1}) }, ServerOptions{})
	c := (&exchange{t: t, server: s}).client(ClientOptions{})
	if err := c.Call(ctxFor(t), &text{}, &text{}); !errors.Is(err, ErrProtocol) {
		t.Fatalf("got %v", err)
	}
}

func TestContextOfAHandlerEndsWithItsConnection(t *testing.T) {
	arrived, ended := make(chan struct{}), make(chan struct{})
	s := NewServer(Spawn(func(ctx context.Context, c *Call) {
		close(arrived)
		<-ctx.Done()
		close(ended)
	}), ServerOptions{})
	c := (&exchange{t: t, server: s}).client(ClientOptions{})
	c.Go(context.Background(), &text{}, func(*Reply, error) {})
	<-arrived
	c.Close()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the handler's context goes on")
	}
}

func TestServerListensWithTheKernelsWordForWhoCalls(t *testing.T) {
	path := t.TempDir() + "/s"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	who := make(chan *Call, 1)
	s := NewServer(func(ctx context.Context, c *Call) { who <- c; echo(ctx, c) }, ServerOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	allow := true
	go func() {
		ended <- s.Listen(ctx, l, func(p PeerCred) (string, error) {
			if !allow {
				return "", errors.New("not you")
			}
			allow = false
			return "user", nil
		})
	}()
	dial := func(context.Context) (*net.UnixConn, error) {
		return net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	}
	c := NewClient(dial, ClientOptions{})
	if err := c.Call(ctxFor(t), &text{}, nil); err != nil {
		t.Fatal(err)
	}
	call := <-who
	if call.Caller != "user" || int(call.Peer.PID) <= 0 {
		t.Fatalf("%q %+v", call.Caller, call.Peer)
	}
	refused := NewClient(dial, ClientOptions{})
	if err := refused.Call(ctxFor(t), &text{}, nil); !errors.Is(err, ErrGone) {
		t.Fatalf("a refused peer: %v", err)
	}
	refused.Close()
	c.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	s.Shutdown(ctxFor(t))
}

// A peer that is busy for a moment must not lose the calls under way, whose
// outcome nobody would know then: a thousand messages of 100 KiB are given to a
// cleanup that has just started.
func TestCallsWaitForAPeerThatIsBusy(t *testing.T) {
	busy, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	_, uc := serve(t, func(_ context.Context, c *Call) {
		once.Do(func() {
			close(busy)
			<-goOn
		})
		c.Reply(&number{})
	}, ServerOptions{Credits: 1000})
	c := dialled(t, uc, Options{})
	req := &text{strings.Repeat("x", 100<<10)}
	const calls = 900
	answers := make(chan error, calls)
	for range calls {
		c.Go(context.Background(), req, func(_ *Reply, err error) { answers <- err })
	}
	<-busy
	close(goOn)
	for range calls {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
}

func TestCallThatIsTooBigAndGivenUpEndsOnce(t *testing.T) {
	_, uc := serve(t, echo, ServerOptions{})
	c := dialled(t, uc, Options{})
	<-c.Ready()
	p := &pending{done: func(*Reply, error) {}}
	c.transmit(p, false) // too big: finished with ErrTooBig
	if c.abandon(p) {
		t.Error("its caller would hear of it twice")
	}
}

// TestCallsGoToTheSuccessorOfAPeerThatIsStopping: which still works on an
// earlier call, and is not to be waited for.
func TestCallsGoToTheSuccessorOfAPeerThatIsStopping(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	old := NewServer(Spawn(func(_ context.Context, c *Call) {
		close(begun)
		<-finish
		c.Reply(&text{"old"})
	}), ServerOptions{})
	x := &exchange{t: t, server: old}
	c := x.client(ClientOptions{})
	first := make(chan error, 1)
	var early text
	go func() { first <- c.Call(ctxFor(t), &text{}, &early) }()
	<-begun
	x.set(NewServer(func(_ context.Context, c *Call) { c.Reply(&text{"new"}) }, ServerOptions{}))
	stopped := make(chan error, 1)
	go func() { stopped <- old.Shutdown(ctxFor(t)) }()
	for until := time.Now().Add(20 * time.Second); len(old.Conns()) == 0 || !old.Conns()[0].refusing.Load(); {
		if time.Now().After(until) {
			t.Fatal("the server does not stop")
		}
		runtime.Gosched()
	}
	var late text
	if err := c.Call(ctxFor(t), &text{}, &late); err != nil || late.s != "new" {
		t.Errorf("the call after: %q, %v", late.s, err)
	}
	close(finish)
	if err := <-first; err != nil || early.s != "old" {
		t.Errorf("the call before: %q, %v", early.s, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestAPeerThatIsAlwaysStoppingIsGivenUp: it may be lying.
func TestAPeerThatIsAlwaysStoppingIsGivenUp(t *testing.T) {
	x := &exchange{t: t, server: NewServer(func(_ context.Context, c *Call) { c.Refuse(errStopping) }, ServerOptions{})}
	err := x.client(ClientOptions{}).Call(ctxFor(t), &text{}, nil)
	if !errors.Is(err, errStopping) || x.dials != mostPeers {
		t.Errorf("%v after %d connections", err, x.dials)
	}
}

package ipc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"filbert/pkg/wire"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// text is the message of these tests.
type text struct{ s string }

func (*text) Kind() uint16                 { return 7 }
func (t *text) EncodeTo(e *wire.Encoder)   { e.String(t.s) }
func (t *text) DecodeFrom(d *wire.Decoder) { t.s = d.String(wire.MaxString) }

// number is another, of another kind.
type number struct{ n uint64 }

func (*number) Kind() uint16                 { return 8 }
func (n *number) EncodeTo(e *wire.Encoder)   { e.U64(n.n) }
func (n *number) DecodeFrom(d *wire.Decoder) { n.n = d.U64() }

func echo(_ context.Context, c *Call) {
	var m text
	if c.Decode(&m) != nil {
		return
	}
	c.Reply(&m, c.Files...)
	c.CloseFiles()
}

// serve runs a server over one connection and returns the client's end.
func serve(t testing.TB, h Handler, opts ServerOptions) (*Server, *net.UnixConn) {
	t.Helper()
	s := NewServer(h, opts)
	uc := attach(t, s, "tester")
	return s, uc
}

// attach adds a connection to s.
func attach(t testing.TB, s *Server, caller string) *net.UnixConn {
	t.Helper()
	a, b, err := ConnPair()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.ServeConn(context.Background(), a, caller)
	}()
	t.Cleanup(func() {
		b.Close()
		<-ended
	})
	return b
}

// dialled makes an end that calls over uc.
func dialled(t testing.TB, uc *net.UnixConn, opts Options) *Conn {
	t.Helper()
	c, err := NewConn(uc, opts)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Serve(context.Background())
	}()
	t.Cleanup(func() {
		c.Close()
		<-ended
	})
	return c
}

// ctxFor bounds a test that would otherwise hang.
func ctxFor(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestCallsOfManyCallersGetTheirOwnAnswers(t *testing.T) {
	_, uc := serve(t, Spawn(echo), ServerOptions{Credits: 16})
	c := dialled(t, uc, Options{})
	var wg sync.WaitGroup
	for g := range 50 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 200 {
				want := fmt.Sprintf("%d/%d/%s", g, i, strings.Repeat("x", g*i))
				var got text
				if err := c.Call(ctxFor(t), &text{want}, &got); err != nil {
					t.Error(err)
					return
				}
				if got.s != want {
					t.Errorf("caller %d got another's answer", g)
					return
				}
			}
		}()
	}
	wg.Wait()
}

func TestAnswersComeInAnyOrder(t *testing.T) {
	var mu sync.Mutex
	var held *Call
	h := func(_ context.Context, c *Call) {
		mu.Lock()
		defer mu.Unlock()
		if held == nil {
			held = c
			return
		}
		c.Reply(&text{"second"})
		held.Reply(&text{"first"})
	}
	_, uc := serve(t, h, ServerOptions{})
	c := dialled(t, uc, Options{})
	order := make(chan string, 2)
	for range 2 {
		c.Go(ctxFor(t), &text{}, func(r *Reply, err error) {
			var m text
			if err == nil {
				err = r.Decode(&m)
			}
			if err != nil {
				m.s = err.Error()
			}
			order <- m.s
		})
	}
	if a, b := <-order, <-order; a != "second" || b != "first" {
		t.Fatalf("answers came as %q, %q", a, b)
	}
}

func TestLargeFramesArriveWhole(t *testing.T) {
	_, uc := serve(t, echo, ServerOptions{MaxFrame: 8 << 20})
	c := dialled(t, uc, Options{MaxFrame: 8 << 20})
	<-c.Ready()
	var wg sync.WaitGroup
	for _, n := range []int{0, 1, readBuffer - headerSize - 4, readBuffer, readBuffer + 1, 3 << 20, 7 << 20} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			want := strings.Repeat("ab", n/2)
			var got text
			if err := c.Call(ctxFor(t), &text{want}, &got); err != nil || got.s != want {
				t.Errorf("%d bytes: %d came back, error %v", n, len(got.s), err)
			}
		}()
	}
	wg.Wait()
}

func TestMessageLongerThanThePeerAcceptsIsNotSent(t *testing.T) {
	_, uc := serve(t, echo, ServerOptions{MaxFrame: 1000})
	c := dialled(t, uc, Options{})
	if err := c.Call(ctxFor(t), &text{strings.Repeat("x", 1000)}, nil); !errors.Is(err, ErrTooBig) {
		t.Fatalf("got %v", err)
	}
	if err := c.Call(ctxFor(t), &text{"short"}, nil); err != nil {
		t.Fatalf("the connection did not go on: %v", err)
	}
}

func TestReplyLongerThanTheCallerAcceptsIsARefusal(t *testing.T) {
	h := func(_ context.Context, c *Call) { c.Reply(&text{strings.Repeat("x", 5000)}) }
	_, uc := serve(t, h, ServerOptions{})
	c := dialled(t, uc, Options{MaxFrame: 2000})
	var remote *RemoteError
	if err := c.Call(ctxFor(t), &text{}, nil); !errors.As(err, &remote) {
		t.Fatalf("got %v", err)
	}
}

func TestDescriptorsRideWithTheirFrame(t *testing.T) {
	// Frames with and without descriptors, many at once: each must come with
	// exactly its own file.
	h := func(_ context.Context, c *Call) {
		var m text
		if c.Decode(&m) != nil {
			return
		}
		got := "none"
		if len(c.Files) == 1 {
			b, err := io.ReadAll(c.Files[0])
			got = string(b)
			if err != nil {
				got = err.Error()
			}
		}
		c.CloseFiles()
		c.Reply(&text{m.s + "=" + got})
	}
	_, uc := serve(t, h, ServerOptions{})
	c := dialled(t, uc, Options{})
	var wg sync.WaitGroup
	for g := range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 50 {
				name, want, files := fmt.Sprint(g, "/", i), "none", []*os.File(nil)
				if i%3 == 0 {
					want = name
					files = []*os.File{fileWith(t, want)}
				}
				var got text
				if err := c.Call(ctxFor(t), &text{name}, &got, files...); err != nil || got.s != name+"="+want {
					t.Errorf("%s: got %q, %v", name, got.s, err)
				}
				for _, f := range files {
					f.Close()
				}
			}
		}()
	}
	wg.Wait()
}

func fileWith(t testing.TB, s string) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err == nil {
		_, err = f.WriteString(s)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestCallerMayCloseItsDescriptorWhileTheCallIsQueued(t *testing.T) {
	release := make(chan struct{})
	h := Spawn(func(_ context.Context, c *Call) {
		<-release
		echo(nil, c)
	})
	_, uc := serve(t, h, ServerOptions{Credits: 1})
	c := dialled(t, uc, Options{})
	first := make(chan error, 1)
	c.Go(ctxFor(t), &text{}, func(_ *Reply, err error) { first <- err })
	second := make(chan *Reply, 1)
	f := fileWith(t, "content")
	c.Go(ctxFor(t), &text{}, func(r *Reply, err error) { second <- r }, f)
	f.Close()
	close(release)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	r := <-second
	if r == nil || len(r.Files) != 1 {
		t.Fatalf("reply %+v", r)
	}
	defer r.CloseFiles()
	if b, err := io.ReadAll(r.Files[0]); err != nil || string(b) != "content" {
		t.Fatalf("read %q, %v", b, err)
	}
}

func TestCreditsBoundCallsUnderWay(t *testing.T) {
	var mu sync.Mutex
	var now, most int
	h := Spawn(func(_ context.Context, c *Call) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		defer func() {
			mu.Lock()
			now--
			mu.Unlock()
			echo(nil, c)
		}()
	})
	_, uc := serve(t, h, ServerOptions{Credits: 3})
	c := dialled(t, uc, Options{})
	var wg sync.WaitGroup
	for range 200 {
		wg.Add(1)
		c.Go(ctxFor(t), &text{}, func(_ *Reply, err error) {
			if err != nil {
				t.Error(err)
			}
			wg.Done()
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	if most > 3 {
		t.Fatalf("%d calls under way with 3 credits", most)
	}
}

func TestWaitingForACreditEndsWithTheContext(t *testing.T) {
	var held []*Call
	arrived := make(chan struct{}, 1)
	h := func(_ context.Context, c *Call) { held = append(held, c); arrived <- struct{}{} }
	_, uc := serve(t, h, ServerOptions{Credits: 1})
	c := dialled(t, uc, Options{})
	c.Go(context.Background(), &text{}, func(*Reply, error) {})
	<-arrived
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Call(ctx, &text{}, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestAbandonedCallKeepsItsCreditUntilAnswered(t *testing.T) {
	calls := make(chan *Call, 2)
	_, uc := serve(t, func(_ context.Context, c *Call) { calls <- c }, ServerOptions{Credits: 1})
	c := dialled(t, uc, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan error, 1)
	go func() { left <- c.Call(ctx, &text{"a"}, nil) }()
	first := <-calls
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	second := make(chan error, 1)
	c.Go(ctxFor(t), &text{"b"}, func(_ *Reply, err error) { second <- err })
	select {
	case <-calls:
		t.Fatal("a second call went out beyond the credit")
	default:
	}
	first.Reply(&text{})
	(<-calls).Reply(&text{})
	if err := <-second; err != nil {
		t.Fatal(err)
	}
}

func TestPeerGoneIsTemporary(t *testing.T) {
	arrived := make(chan *Call, 1)
	_, uc := serve(t, func(_ context.Context, c *Call) { arrived <- c }, ServerOptions{})
	c := dialled(t, uc, Options{})
	got := make(chan error, 1)
	go func() { got <- c.Call(ctxFor(t), &text{}, nil) }()
	call := <-arrived
	call.Conn().Close()
	err := <-got
	var temp interface{ Temporary() bool }
	if !errors.Is(err, ErrGone) || !errors.As(err, &temp) || !temp.Temporary() {
		t.Fatalf("got %v", err)
	}
	call.Reply(&text{}) // must be harmless
	if err := c.Call(ctxFor(t), &text{}, nil); !errors.Is(err, ErrGone) {
		t.Fatalf("a call after the end: %v", err)
	}
}

func TestRefusalIsATypedTemporaryError(t *testing.T) {
	_, uc := serve(t, func(_ context.Context, c *Call) { c.Refuse(errors.New("disk full")) }, ServerOptions{})
	c := dialled(t, uc, Options{})
	err := c.Call(ctxFor(t), &text{}, nil)
	var remote *RemoteError
	if !errors.As(err, &remote) || remote.Text != "disk full" || !remote.Temporary() {
		t.Fatalf("got %v", err)
	}
}

func TestFirstAnswerCounts(t *testing.T) {
	h := func(_ context.Context, c *Call) {
		c.Reply(&text{"one"})
		c.Reply(&text{"two"})
		c.Refuse(errors.New("three"))
	}
	_, uc := serve(t, h, ServerOptions{})
	c := dialled(t, uc, Options{})
	for range 2 {
		var m text
		if err := c.Call(ctxFor(t), &text{}, &m); err != nil || m.s != "one" {
			t.Fatalf("got %q, %v", m.s, err)
		}
	}
}

func TestNoticesReachEveryConnection(t *testing.T) {
	s, uc := serve(t, echo, ServerOptions{})
	got := make(chan string, 2)
	note := func(kind uint16, payload []byte) { got <- fmt.Sprint(kind, len(payload)) }
	a := dialled(t, uc, Options{OnNotice: note})
	b := dialled(t, attach(t, s, "other"), Options{OnNotice: note})
	for _, c := range []*Conn{a, b} { // a call there and back: both are known
		if err := c.Call(ctxFor(t), &text{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.Notify(&number{5})
	for range 2 {
		if g := <-got; g != "8 8" {
			t.Fatalf("got %q", g)
		}
	}
}

func TestShutdownWaitsForCallsUnderWay(t *testing.T) {
	arrived := make(chan *Call, 1)
	s, uc := serve(t, func(_ context.Context, c *Call) { arrived <- c }, ServerOptions{})
	c := dialled(t, uc, Options{})
	got := make(chan error, 1)
	go func() { got <- c.Call(ctxFor(t), &text{}, nil) }()
	call := <-arrived
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(ctxFor(t)) }()
	var remote *RemoteError
	for err := error(nil); !errors.As(err, &remote); { // until the stop has begun
		refused := make(chan error, 1)
		c.Go(ctxFor(t), &text{}, func(_ *Reply, err error) { refused <- err })
		select {
		case again := <-arrived:
			again.Reply(&text{})
			err = <-refused
		case err = <-refused:
		}
	}
	select {
	case <-stopped:
		t.Fatal("shutdown did not wait")
	default:
	}
	call.Reply(&text{})
	if err := <-got; err != nil {
		t.Fatalf("the call under way got %v", err)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}

func TestPeerThatReadsNothingBlocksNobody(t *testing.T) {
	// Both ends send far more than the socket holds before either reads an
	// answer; if a read loop could wait for its peer, both would for ever.
	big := strings.Repeat("x", 200<<10)
	h := func(_ context.Context, c *Call) { c.Reply(&text{big}) }
	a, b, err := ConnPair()
	if err != nil {
		t.Fatal(err)
	}
	left, right := dialled(t, a, Options{Handler: h}), dialled(t, b, Options{Handler: h})
	var wg sync.WaitGroup
	for _, c := range []*Conn{left, right} {
		for range 100 {
			wg.Add(1)
			c.Go(ctxFor(t), &text{big}, func(_ *Reply, err error) {
				if err != nil {
					t.Error(err)
				}
				wg.Done()
			})
		}
	}
	wg.Wait()
}

// raw speaks the format by hand.
func rawHello() []byte {
	var e wire.Encoder
	encodeFrame(&e, header{role: roleHello}, &hello{version, 0, DefaultMaxFrame})
	return e.Buf
}

func rawFrame(length uint32, id uint64, kind uint16, r role, files uint8, payload string) []byte {
	b := make([]byte, headerSize)
	header{length, id, kind, r, files}.put(b)
	return append(b, payload...)
}

func TestMalformedFrameClosesThatConnectionOnly(t *testing.T) {
	left := binary.BigEndian.AppendUint32(nil, 1)
	cases := map[string][]byte{
		"no hello":            rawFrame(0, 1, 7, roleCall, 0, ""),
		"other version":       rawFrame(9, 0, 0, roleHello, 0, "\x09\x00\x00\x00\x00\x00\x10\x00\x00"),
		"hello cut short":     rawFrame(3, 0, 0, roleHello, 0, "\x01\x00\x00"),
		"hello twice":         append(rawHello(), rawHello()...),
		"too long":            append(rawHello(), rawFrame(DefaultMaxFrame+1, 1, 7, roleCall, 0, "")...),
		"longest":             append(rawHello(), rawFrame(1<<32-1, 1, 7, roleCall, 0, "")...),
		"unknown role":        append(rawHello(), rawFrame(0, 1, 7, 200, 0, "")...),
		"role zero":           append(rawHello(), rawFrame(0, 1, 7, 0, 0, "")...),
		"call without id":     append(rawHello(), rawFrame(0, 0, 7, roleCall, 0, "")...),
		"reply to nothing":    append(rawHello(), rawFrame(0, 1, 7, roleReply, 0, "")...),
		"notice":              append(rawHello(), rawFrame(0, 0, 7, roleNotice, 0, "")...),
		"files not sent":      append(rawHello(), rawFrame(0, 1, 7, roleCall, 3, "")...),
		"too many files":      append(rawHello(), rawFrame(0, 1, 7, roleCall, 255, "")...),
		"left-over bytes":     append(rawHello(), rawFrame(6, 1, 7, roleCall, 0, string(left)+"xy")...),
		"payload cut short":   append(rawHello(), rawFrame(4, 1, 7, roleCall, 0, string(left))...),
		"kind nobody expects": append(rawHello(), rawFrame(0, 1, 99, roleCall, 0, "")...),
		"text protocol":       []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	}
	s, uc := serve(t, echo, ServerOptions{})
	good := dialled(t, uc, Options{})
	for name, bytes := range cases {
		t.Run(name, func(t *testing.T) {
			bad := attach(t, s, "bad")
			if _, err := bad.Write(bytes); err != nil {
				t.Fatal(err)
			}
			bad.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.Copy(io.Discard, bad); err != nil && !errors.Is(err, io.EOF) && !isReset(err) {
				t.Fatalf("the connection was not closed: %v", err)
			}
			var m text
			if err := good.Call(ctxFor(t), &text{"still here"}, &m); err != nil || m.s != "still here" {
				t.Fatalf("the other connection suffered: %q, %v", m.s, err)
			}
		})
	}
}

func isReset(err error) bool { return strings.Contains(err.Error(), "reset") }

func TestCallsBeyondTheCreditsCloseTheConnection(t *testing.T) {
	_, uc := serve(t, func(context.Context, *Call) {}, ServerOptions{Credits: 2})
	b := rawHello()
	for id := range uint64(3) {
		b = append(b, rawFrame(0, id+1, 7, roleCall, 0, "")...)
	}
	if _, err := uc.Write(b); err != nil {
		t.Fatal(err)
	}
	uc.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, uc); err != nil && !isReset(err) {
		t.Fatalf("the connection was not closed: %v", err)
	}
}

func TestUnannouncedDescriptorsCloseTheConnection(t *testing.T) {
	_, uc := serve(t, echo, ServerOptions{})
	f := fileWith(t, "")
	defer f.Close()
	fd, err := duplicateOne(f)
	if err != nil {
		t.Fatal(err)
	}
	w := writer{conn: uc, lost: func(error) {}}
	if w.raw, err = uc.SyscallConn(); err != nil {
		t.Fatal(err)
	}
	w.send(append(rawHello(), rawFrame(4, 1, 7, roleCall, 0, "\x00\x00\x00\x00")...), []int{fd})
	uc.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, uc); err != nil && !isReset(err) {
		t.Fatalf("the connection was not closed: %v", err)
	}
}

// TestViolationFoundByAHandlerIsTold: it ends the connection from outside of the
// read loop, which then only meets a closed socket.
func TestViolationFoundByAHandlerIsTold(t *testing.T) {
	for name, h := range map[string]Handler{
		"in the payload":    func(_ context.Context, c *Call) { _ = c.Decode(new(number)) },
		"in what was meant": func(_ context.Context, c *Call) { _ = c.Violation(errors.New("two of them")) },
	} {
		t.Run(name, func(t *testing.T) {
			told := make(chan error, 1)
			_, uc := serve(t, h, ServerOptions{OnError: func(_ *Conn, err error) { told <- err }})
			c := dialled(t, uc, Options{})
			if err := c.Call(ctxFor(t), &text{"x"}, new(text)); !errors.Is(err, ErrGone) {
				t.Errorf("the call: %v", err)
			}
			if err := <-told; !errors.Is(err, ErrProtocol) {
				t.Errorf("told: %v", err)
			}
		})
	}
}

// TestAnAnnouncedFrameCostsNothingUntilItComes: or a crowd of headers would fill
// the memory of a daemon.
func TestAnAnnouncedFrameCostsNothingUntilItComes(t *testing.T) {
	const announced = 64 << 20
	a, b, err := ConnPair()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var header [headerSize]byte
	binary.BigEndian.PutUint32(header[:], announced)
	header[11], header[14] = 1, byte(roleCall)
	if _, err := b.Write(header[:]); err != nil {
		t.Fatal(err)
	}
	b.Close()
	rd := newReader(a, announced)
	rd.idle = func() {}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, _, err = rd.next()
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	if cost := after.TotalAlloc - before.TotalAlloc; cost > announced/16 {
		t.Errorf("a header alone cost %d bytes", cost)
	}
}

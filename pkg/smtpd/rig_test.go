package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/service"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
)

// testPatience bounds every wait of the tests; nothing is expected to take it.
const testPatience = 20 * time.Second

// taken is a message that the fake cleanup got to its end.
type taken struct {
	envelope envelope.Envelope
	content  string
	piped    bool
	complete bool
}

// fakeCleanup takes messages as cleanup does, chunks included.
type fakeCleanup struct {
	mu        sync.Mutex
	taken     []taken
	abandoned int
	calls     int
	verdict   func(*taken) proto.Acceptance             // nil: take it
	early     func(*proto.Submission) *proto.Acceptance // not nil: answer before the content is read
	err       error
	hold      chan struct{} // not nil: answers wait for it
}

func (f *fakeCleanup) Call(ctx context.Context, req, reply ipc.Message, files ...*os.File) error {
	sub := req.(*proto.Submission)
	f.mu.Lock()
	f.calls++
	err, early, hold := f.err, f.early, f.hold
	f.mu.Unlock()
	if err != nil {
		return err
	}
	if early != nil {
		if a := early(sub); a != nil {
			*reply.(*proto.Acceptance) = *a
			return nil
		}
	}
	m := taken{envelope: sub.Envelope, complete: sub.Complete, piped: len(files) > 0}
	if m.piped {
		body, err := readChunks(ctx, files[0])
		if err != nil {
			f.mu.Lock()
			f.abandoned++
			f.mu.Unlock()
			return err
		}
		m.content = string(body)
	} else {
		m.content = string(sub.Content.Inline)
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	a := proto.Acceptance{ID: queueid.ID(1 << 40), Code: 250}
	if f.verdict != nil {
		a = f.verdict(&m)
	}
	if a.Code == 250 {
		f.mu.Lock()
		f.taken = append(f.taken, m)
		f.mu.Unlock()
	}
	*reply.(*proto.Acceptance) = a
	return nil
}

// readChunks reads a large message as the contract says.
func readChunks(ctx context.Context, r *os.File) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(past) })
	defer stop()
	var body bytes.Buffer
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, err
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > proto.ChunkMax {
			return nil, errors.New("chunk too long")
		}
		if n == 0 {
			return body.Bytes(), nil
		}
		if _, err := io.CopyN(&body, r, int64(n)); err != nil {
			return nil, err
		}
	}
}

func (f *fakeCleanup) messages() []taken {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]taken(nil), f.taken...)
}

// only is the one message that was taken.
func (f *fakeCleanup) only(t *testing.T) taken {
	t.Helper()
	all := f.messages()
	if len(all) != 1 {
		t.Fatalf("%d messages taken, want 1", len(all))
	}
	return all[0]
}

// lockedBuffer is a log that tests read.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// rig is a server on a loopback port with a fake cleanup behind it.
type rig struct {
	t       testing.TB
	server  *server
	cleanup *fakeCleanup
	door    *door
	log     *lockedBuffer
	ahead   *atomic.Int64 // nanoseconds that the server's clock is ahead
	addr    string
	stop    context.CancelFunc
	once    sync.Once
	ended   chan struct{}
}

func testSettings() *settings.Settings {
	s := settings.Default()
	s.Hostname = "mx.example.edu"
	s.Domains.Local = []string{"example.edu"}
	s.Domains.Relay = []string{"*.relay.example"}
	s.Domains.Trusted = []string{"192.0.2.0/24"}
	s.Verify.LocalRecipients = "off" // there is no router; see verify_test.go
	s.Listen = []settings.Listen{{Name: "mx", Address: "127.0.0.1:0"}}
	return s
}

// newRig starts a server; change may alter its settings before.
func newRig(t testing.TB, change func(*settings.Settings, *settings.Listen)) *rig {
	t.Helper()
	s := testSettings()
	if change != nil {
		change(s, &s.Listen[0])
	}
	e, err := newSite(s, s.Listen[0])
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &rig{t: t, cleanup: &fakeCleanup{}, log: &lockedBuffer{}, ahead: new(atomic.Int64), addr: l.Addr().String(), stop: cancel, ended: make(chan struct{})}
	log := event.New(r.log, "smtpd", event.Options{Direct: true, Debug: true})
	r.server = newServer(ctx, r.cleanup, log, service.NewScoreboard(time.Now))
	r.server.now = func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }
	r.door = r.server.add(l, e)
	failed := r.server.start()
	t.Cleanup(func() {
		cancel()
		r.drain()
		select {
		case err := <-failed:
			t.Errorf("accept: %v", err)
		default:
		}
		if n := r.server.memory.used.Load(); n != 0 {
			t.Errorf("%d octets of the memory budget are still taken", n)
		}
		if n := r.server.board.Len(); n != 0 {
			t.Errorf("%d rows are left on the scoreboard", n)
		}
	})
	return r
}

// later moves the server's clock on.
func (r *rig) later(d time.Duration) { r.ahead.Add(int64(d)) }

// waitUntil waits for something that will become true.
func (r *rig) waitUntil(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(testPatience)
	for !ok() {
		if time.Now().After(deadline) {
			r.t.Fatalf("never came true: %s", what)
		}
		runtime.Gosched()
	}
}

// drain stops the server, once, and waits until it has stopped.
func (r *rig) drain() {
	r.once.Do(func() {
		stopping := make(chan struct{})
		close(stopping)
		go r.drainOn(stopping)
	})
	<-r.ended
}

func (r *rig) drainOn(stopping <-chan struct{}) {
	r.server.drain(stopping)
	close(r.ended)
}

// client is a raw SMTP client.
type client struct {
	t    testing.TB
	conn *net.TCPConn
	r    *bufio.Reader
}

// dial connects and reads nothing.
func (r *rig) dial() *client {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	c := &client{r.t, conn.(*net.TCPConn), bufio.NewReader(conn)}
	_ = conn.SetDeadline(time.Now().Add(testPatience))
	r.t.Cleanup(func() { conn.Close() })
	return c
}

// connect connects and reads the greeting.
func (r *rig) connect() *client {
	r.t.Helper()
	c := r.dial()
	c.expect(220)
	return c
}

// hello is connect and EHLO.
func (r *rig) hello() *client {
	r.t.Helper()
	c := r.connect()
	c.cmd(250, "EHLO client.example")
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// reply reads one reply, all of its lines.
func (c *client) reply() (int, string, error) {
	var lines []string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return 0, strings.Join(lines, "\n"), err
		}
		if !strings.HasSuffix(line, "\r\n") || len(line) > smtp.MaxReplyLine || len(line) < 6 {
			c.t.Errorf("bad reply line %q", line)
		}
		code, err := strconv.Atoi(line[:3])
		if err != nil {
			c.t.Errorf("reply line %q without a code", line)
		}
		lines = append(lines, strings.TrimRight(line[4:], "\r\n"))
		if line[3] == ' ' {
			return code, strings.Join(lines, "\n"), nil
		}
	}
}

// expect reads one reply and wants a code.
func (c *client) expect(code int) string {
	c.t.Helper()
	got, text, err := c.reply()
	if err != nil {
		c.t.Fatalf("want %d, got %v", code, err)
	}
	if got != code {
		c.t.Fatalf("want %d, got %d %s", code, got, text)
	}
	return text
}

// cmd sends a line and wants a code.
func (c *client) cmd(code int, line string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	got, text, err := c.reply()
	if err != nil {
		c.t.Fatalf("%.60q: want %d, got %v", line, code, err)
	}
	if got != code {
		c.t.Fatalf("%.60q: want %d, got %d %s", line, code, got, text)
	}
	return text
}

// closed wants the end of the connection.
func (c *client) closed() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); len(rest) > 0 || err != nil && !errors.Is(err, net.ErrClosed) && !isReset(err) {
		c.t.Fatalf("want the end of the connection, got %q, %v", rest, err)
	}
}

func isReset(err error) bool { return strings.Contains(err.Error(), "reset by peer") }

// envelope begins a transaction.
func (c *client) envelope() {
	c.t.Helper()
	c.cmd(250, "MAIL FROM:<sender@client.example>")
	c.cmd(250, "RCPT TO:<user@example.edu>")
}

// mail sends one whole message; content has its dots stuffed already.
func (c *client) mail(code int, content string) string {
	c.t.Helper()
	c.envelope()
	c.cmd(354, "DATA")
	c.send(content + ".\r\n")
	return c.expect(code)
}

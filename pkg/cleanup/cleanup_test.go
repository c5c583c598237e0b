package cleanup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filbert/pkg/durable/crashfs"
	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/journal"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// rig is a cleanup on a disk of memory, with one submitter.
type rig struct {
	t      *testing.T
	c      *Cleanup
	disk   *crashfs.FS
	client *ipc.Client
	dead   context.CancelFunc
}

func newRig(t *testing.T, caller string) *rig {
	t.Helper()
	disk := crashfs.New()
	for _, dir := range []string{"incoming", "corrupt"} {
		if err := disk.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := disk.SyncDir("."); err != nil {
		t.Fatal(err)
	}
	c := New()
	s := settings.Default()
	s.Hostname = "mail.example.org"
	s.Spool.SegmentSize, s.Spool.MaxSegments, s.Spool.Reserve = 1<<20, 8, 0
	s.Limits.Hops, s.Limits.HeaderSize, s.Limits.HeaderFields = 5, 4<<10, 50
	c.settings.Store(s)
	c.log, c.fs = event.Discard(), disk
	c.now = func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	if err := c.openJournal(); err != nil {
		t.Fatal(err)
	}
	gone := func(context.Context) (*net.UnixConn, error) { return nil, ipc.ErrGone }
	c.handover = &handover{log: c.log, client: ipc.NewClient(gone, ipc.ClientOptions{})}
	server := ipc.NewServer(c.handle, ipc.ServerOptions{MaxFrame: proto.MaxFrame})
	c.capacity = newCapacity(c.journal, c.log)
	c.capacity.server = server
	go c.answerAll()
	ctx, cancel := context.WithCancel(t.Context())
	client := ipc.NewClient(func(context.Context) (*net.UnixConn, error) {
		a, b, err := ipc.ConnPair()
		if err == nil {
			go func() { _ = server.ServeConn(ctx, b, caller) }()
		}
		return a, err
	}, ipc.ClientOptions{MaxFrame: proto.MaxFrame})
	t.Cleanup(func() {
		client.Close()
		cancel()
		c.handover.client.Close()
		_ = server.Shutdown(context.Background())
		c.running.Wait()
		if err := c.journal.Close(); err != nil && !errors.Is(err, crashfs.ErrCut) {
			t.Error(err)
		}
		close(c.committed)
	})
	return &rig{t: t, c: c, disk: disk, client: client, dead: cancel}
}

func letter(text string) *proto.Submission {
	return &proto.Submission{
		Envelope: envelope.Envelope{
			Source:     envelope.FromSMTP,
			Sender:     mailaddr.MustParse("a@example.org"),
			Recipients: []envelope.Recipient{{Address: mailaddr.MustParse("b@example.net")}},
			Client: envelope.Client{
				Addr: netip.MustParseAddr("192.0.2.7"), HELO: untrusted.From("client.example"), Proto: "ESMTP", UID: -1,
			},
		},
		Content: proto.Content{Inline: []byte(text)},
	}
}

func (r *rig) submit(m *proto.Submission, files ...*os.File) proto.Acceptance {
	r.t.Helper()
	var got proto.Acceptance
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := r.client.Call(ctx, m, &got, files...); err != nil {
		r.t.Fatal(err)
	}
	return got
}

// kept is what the journal has, in order.
func (r *rig) kept() (envs []*envelope.Envelope, texts []string) {
	r.t.Helper()
	_, err := journal.Scan(r.disk, func(f journal.Found) error {
		env, err := envelope.Unmarshal(f.Record.Envelope)
		if err != nil {
			return err
		}
		envs = append(envs, env)
		text := string(f.Record.Content)
		if f.Record.Large != nil {
			file, err := journal.OpenLarge(r.disk, f.Record.ID, f.Record.Large)
			if err != nil {
				return err
			}
			b := make([]byte, f.Record.Large.Length)
			if _, err := file.ReadAt(b, 0); err != nil {
				return err
			}
			text = string(b)
		}
		texts = append(texts, text)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return envs, texts
}

func (r *rig) refused(got proto.Acceptance, code int, status string) {
	r.t.Helper()
	if got.Code != code || got.Status.String() != status {
		r.t.Errorf("answer %d %s %q, want %d %s", got.Code, got.Status, got.Text, code, status)
	}
	if envs, _ := r.kept(); len(envs) != 0 {
		r.t.Error("a refused message was kept")
	}
}

const odd = "X-Odd:\tfolded\r\n\t  value \r\nnot a field\r\nSUBJECT : \xff8-bit\r\n\r\nbody \t\r\n.dot\r\n\r\n"

func TestEveryByteIsKeptBehindTheReceivedField(t *testing.T) {
	r := newRig(t, "smtpd")
	if got := r.submit(letter(odd)); got.Code != 250 || got.ID.IsZero() {
		t.Fatalf("answer %+v", got)
	}
	envs, texts := r.kept()
	added, ok := strings.CutSuffix(texts[0], odd)
	if !ok {
		t.Fatalf("the message was changed:\n%q", texts[0])
	}
	if !strings.HasPrefix(added, "Received: ") || strings.Count(added, "\r\n") != strings.Count(added, "\r\n\t")+strings.Count(added, "\r\n ")+1 {
		t.Errorf("more than one field was added: %q", added)
	}
	if envs[0].Size != int64(len(texts[0])) || !envs[0].Has8Bit || envs[0].Hops != 1 {
		t.Errorf("envelope %+v", envs[0])
	}
}

func TestRelayedMailIsNotCompleted(t *testing.T) {
	r := newRig(t, "smtpd")
	r.submit(letter("Subject: x\r\n\r\n"))
	_, texts := r.kept()
	for _, name := range []string{"Date:", "Message-ID:", "From:"} {
		if strings.Contains(texts[0], "\r\n"+name) {
			t.Errorf("%s was added to mail of others", name)
		}
	}
}

func TestBodyWithoutAHeaderStaysBody(t *testing.T) {
	for _, text := range []string{
		"no colon here\r\nSubject: text\r\n",
		" folded\r\nSubject: text\r\n",
		strings.Repeat("a line of text\r\n", 100), // more than a header may have
	} {
		r := newRig(t, "smtpd")
		if got := r.submit(letter(text)); got.Code != 250 {
			t.Fatalf("%q: %d %s", text, got.Code, got.Text)
		}
		_, texts := r.kept()
		if head, ok := strings.CutSuffix(texts[0], "\r\n\r\n"+text); !ok || !strings.HasPrefix(head, "Received: ") {
			t.Errorf("kept %q", texts[0])
		}
	}
}

func TestOwnMailGetsWhatIsMissing(t *testing.T) {
	r := newRig(t, "pickup")
	m := letter("Subject: x\r\nDate: already there\r\n\r\n")
	m.Complete = true
	r.submit(m)
	_, texts := r.kept()
	if !strings.Contains(texts[0], "\r\nMessage-ID: <") || !strings.Contains(texts[0], "\r\nFrom: a@example.org\r\n") ||
		strings.Count(texts[0], "\nDate:") != 1 {
		t.Errorf("completed to:\n%s", texts[0])
	}
}

func TestIdentityComesFromTheKernelNotFromTheEnvelope(t *testing.T) {
	r := newRig(t, "smtpd")
	m := letter("\r\n")
	m.Envelope.Source, m.Envelope.Client.UID = envelope.FromBounce, 0
	r.submit(m)
	envs, _ := r.kept()
	if envs[0].Source != envelope.FromSMTP || envs[0].Client.UID != -1 {
		t.Errorf("smtpd passed for %v, uid %d", envs[0].Source, envs[0].Client.UID)
	}
}

func TestReceivedTellsTheKernelsUserBesideTheClaimedOne(t *testing.T) {
	r := newRig(t, "pickup")
	m := letter("\r\n")
	m.Envelope.Client.UID, m.Envelope.Client.Login = -1, "somebody-else"
	r.submit(m)
	_, texts := r.kept()
	field, _, _ := strings.Cut(strings.ReplaceAll(texts[0], "\r\n\t", " "), "\r\n")
	if want := fmt.Sprintf("(Filbert, from user somebody-else, uid %d)", os.Getuid()); !strings.Contains(field, want) {
		t.Errorf("%q has no %q", field, want)
	}
}

func TestContentIsCheckedAgain(t *testing.T) {
	many := strings.Repeat("Received: x\r\n", 5)
	for _, c := range []struct {
		name, text string
		code       int
		status     string
	}{
		{"bare LF", "Subject: x\r\n\r\na\nb\r\n", 550, "5.6.0"},
		{"bare CR", "Subject: x\r\n\r\na\rb\r\n", 550, "5.6.0"},
		{"bare LF in header", "Subject: x\nTo: y\r\n\r\n", 550, "5.6.0"},
		{"no last line end", "Subject: x\r\n\r\nabc", 550, "5.6.0"},
		{"loop", many + "\r\n", 554, "5.4.6"},
		{"header too long", "X: " + strings.Repeat("y", 5000) + "\r\n\r\n", 552, "5.3.4"},
		{"too many fields", strings.Repeat("X: y\r\n", 60) + "\r\n", 552, "5.3.4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "smtpd")
			r.refused(r.submit(letter(c.text)), c.code, c.status)
		})
	}
}

func TestEnvelopeIsCheckedAgain(t *testing.T) {
	for name, change := range map[string]func(*envelope.Envelope){
		"no recipients":         func(v *envelope.Envelope) { v.Recipients = nil },
		"null recipient":        func(v *envelope.Envelope) { v.Recipients[0].Address = mailaddr.Address{} },
		"a pipe from outside":   func(v *envelope.Envelope) { v.Recipients[0].Kind, v.Recipients[0].Target = envelope.TargetPipe, "x" },
		"a user from outside":   func(v *envelope.Envelope) { v.Recipients[0].User = "root" },
		"a file from outside":   func(v *envelope.Envelope) { v.Recipients[0].Kind, v.Recipients[0].Target = envelope.TargetFile, "/x" },
		"an owner of one's own": func(v *envelope.Envelope) { v.Recipients[0].ErrorsTo = &v.Sender },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "smtpd")
			m := letter("Subject: x\r\n\r\n")
			change(&m.Envelope)
			if got := r.submit(m); got.Code < 500 {
				t.Errorf("answer %+v", got)
			}
		})
	}
}

// sendLarge writes chunks into a pipe; end says whether the last mark comes.
func sendLarge(t *testing.T, w *os.File, text string, end bool) {
	t.Helper()
	for len(text) > 0 {
		n := min(len(text), 10_000)
		var head [4]byte
		binary.BigEndian.PutUint32(head[:], uint32(n))
		if _, err := w.Write(append(head[:], text[:n]...)); err != nil {
			return // the reader has seen enough
		}
		text = text[n:]
	}
	if end {
		_, _ = w.Write([]byte{0, 0, 0, 0})
	}
	_ = w.Close()
}

func (r *rig) submitLarge(text string, end bool) (proto.Acceptance, error) {
	r.t.Helper()
	rd, w, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	defer rd.Close()
	go sendLarge(r.t, w, text, end)
	m := letter("")
	m.Content = proto.Content{}
	var got proto.Acceptance
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err = r.client.Call(ctx, m, &got, rd)
	return got, err
}

func TestLargeMessageIsKeptByteForByte(t *testing.T) {
	r := newRig(t, "smtpd")
	text := odd + strings.Repeat("0123456789abcdef\r\n", 50_000)
	got, err := r.submitLarge(text, true)
	// crashfs gives no descriptor to pass on, so that dispatch would find the
	// message in the journal.
	if err != nil || got.Code != 250 {
		t.Fatalf("answer %+v, %v", got, err)
	}
	_, texts := r.kept()
	if !strings.HasSuffix(texts[0], text) {
		t.Error("a large message was changed")
	}
}

func TestLargeMessageWithoutEndMarkIsForgotten(t *testing.T) {
	r := newRig(t, "smtpd")
	if got, err := r.submitLarge(odd+strings.Repeat("x\r\n", 100_000), false); err == nil {
		t.Errorf("half a message was answered: %+v", got)
	}
	if envs, _ := r.kept(); len(envs) != 0 {
		t.Error("half a message was kept")
	}
	for e, err := range r.disk.ReadDir("incoming") {
		if err == nil && len(e.Name) == 11 {
			t.Errorf("%s is left behind", e.Name)
		}
	}
}

func TestLargeMessageThatIsRefusedLeavesNothing(t *testing.T) {
	r := newRig(t, "smtpd")
	got, err := r.submitLarge(odd+strings.Repeat("x\r\n", 100_000)+"bare\n\r\n", true)
	if err != nil {
		t.Fatal(err)
	}
	r.refused(got, 550, "5.6.0")
	for e, err := range r.disk.ReadDir("incoming") {
		if err == nil && len(e.Name) == 11 {
			t.Errorf("%s is left behind", e.Name)
		}
	}
}

func TestNo250WithoutTheFlush(t *testing.T) {
	r := newRig(t, "smtpd")
	r.disk.FailFlush(func(string) bool { return true })
	if got := r.submit(letter("Subject: x\r\n\r\n")); got.Code != 451 {
		t.Errorf("answer %+v after a failed flush, want 451", got)
	}
}

func TestAcceptedMessageSurvivesAPowerCut(t *testing.T) {
	for seed := range uint64(20) {
		r := newRig(t, "smtpd")
		text := "Subject: x\r\n\r\n" + strings.Repeat("y\r\n", 1000)
		if got := r.submit(letter(text)); got.Code != 250 {
			t.Fatalf("answer %+v", got)
		}
		r.disk.Cut()
		after := r.disk.Restart(seed)
		found := 0
		_, err := journal.Scan(after, func(f journal.Found) error {
			if bytes.HasSuffix(f.Record.Content, []byte(text)) {
				found++
			}
			return nil
		})
		if err != nil || found != 1 {
			t.Fatalf("seed %d: found %d times, %v", seed, found, err)
		}
	}
}

// What is over the limit must not fill the disk before it is refused.
func TestMessageOverTheLimitIsNotWritten(t *testing.T) {
	r := newRig(t, "smtpd")
	s := *r.c.settings.Load()
	s.Limits.MessageSize = 200 << 10
	r.c.settings.Store(&s)
	r.disk.Limit(4<<20, 0)
	got, err := r.submitLarge(odd+strings.Repeat("x\r\n", 2_000_000), true)
	if err != nil {
		t.Fatal(err)
	}
	r.refused(got, 552, "5.3.4")
}

// A submitter that writes nothing more must not keep cleanup from ending.
func TestDrainingEndsTheWaitForASubmitter(t *testing.T) {
	r := newRig(t, "pickup")
	rd, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	defer w.Close()
	m := letter("")
	m.Content = proto.Content{}
	answered := make(chan error, 1)
	go func() { answered <- r.client.Call(context.Background(), m, &proto.Acceptance{}, rd) }()
	// More than a pipe holds: when this is written it is being read.
	part := append([]byte{0, 0, 0x80, 0}, strings.Repeat("x\r\n\r\n", 0x8000/5)...)
	part = append(part, make([]byte, 4+0x8000-len(part))...)
	for range 8 {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.c.capacity.server.Shutdown(over)
	ended := make(chan struct{})
	go func() {
		r.c.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("still waiting for the submitter")
	}
	if err := <-answered; err == nil {
		t.Error("half a message was answered")
	}
}

// notices is a dispatch that counts what it is told and takes nothing.
func notices(t *testing.T, h *handover) (rescans *atomic.Int32, connect func()) {
	rescans = new(atomic.Int32)
	up := make(chan struct{})
	server := ipc.NewServer(func(context.Context, *ipc.Call) {}, ipc.ServerOptions{
		OnNotice: func(*ipc.Conn, uint16, []byte) { rescans.Add(1) },
	})
	connected := make(chan struct{}, 10)
	h.client = ipc.NewClient(func(ctx context.Context) (*net.UnixConn, error) {
		select {
		case <-up:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		a, b, err := ipc.ConnPair()
		if err == nil {
			go func() { _ = server.ServeConn(t.Context(), b, "cleanup") }()
		}
		return a, err
	}, ipc.ClientOptions{Stay: ipc.Always, OnUp: func(context.Context, *ipc.Conn) { connected <- struct{}{} }})
	t.Cleanup(h.client.Close)
	return rescans, func() {
		close(up)
		<-connected
	}
}

func TestMissedMessageIsRememberedUntilDispatchIsTold(t *testing.T) {
	h := &handover{log: event.Discard()}
	rescans, connect := notices(t, h)
	h.miss() // nobody is there to be told
	connect()
	for h.client.Notify(&proto.Rescan{}) != nil {
		runtime.Gosched()
	}
	h.release(0, nil) // the next message is taken
	for began := time.Now(); rescans.Load() < 2; runtime.Gosched() {
		if time.Since(began) > 20*time.Second {
			t.Fatal("dispatch is not told")
		}
	}
}

func TestLargeMessagesThatWaitForDispatchAreFew(t *testing.T) {
	h := &handover{log: event.Discard()}
	_, _ = notices(t, h)
	m := &proto.Attempt{Content: proto.Content{Size: 1 << 20}}
	for range 3000 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatalf("out of descriptors: %v", err)
		}
		h.give(m, f)
	}
	if !h.missed {
		t.Error("3000 descriptors wait for a dispatch that is away")
	}
}

package pickup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
)

// TestMain lets the test binary be the program: with PICKUP_TEST it makes its
// process as hostile as that says and then runs Main.
func TestMain(m *testing.M) {
	how := os.Getenv("PICKUP_TEST")
	if how == "" && len(os.Args) > 0 && filepath.Base(os.Args[0]) == "pickup" {
		how = "arrest" // started again, without the variable
	}
	if how == "" {
		os.Exit(m.Run())
	}
	if how != "arrest" {
		os.Setenv("PICKUP_TEST", "run")
	}
	if dir, ok := strings.CutPrefix(how, "site "); ok {
		os.Exit(mainAt(dir))
	}
	switch how {
	case "arrest":
		environ := os.Environ()
		c, err := arrest()
		fmt.Printf("instance %q, privileged %v, began with %q, has %q, error %v\n", c.instance, c.privileged, environ, os.Environ(), err)
		os.Exit(exOK)
	case "closed":
		for fd := range 3 {
			_ = syscall.Close(fd)
		}
		panic(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
	case "noargs":
		panic(syscall.Exec("/proc/self/exe", nil, os.Environ()))
	case "descriptors":
		for range 200 {
			_, _ = syscall.Dup(0) // no close-on-exec
		}
		panic(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
	case "fsize":
		_ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100, Max: 100})
	case "nofile":
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 5, Max: 5})
		panic(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
	}
	os.Exit(Main())
}

// mainAt is Main with another place for the installed instance: the one that a
// privileged process keeps its group for.
func mainAt(dir string) int {
	c, err := arrest()
	p := &pickup{in: os.Stdin, out: os.Stdout, err: os.Stderr, program: c.program, stop: new(interrupts), now: time.Now}
	if err == nil {
		p.stop.watch()
		p.opts, err = parseOptions(c.program, c.args)
	}
	if err == nil {
		p.site = site{inst: settings.Private(dir), name: "here.example", sure: true}
		p.user = lookupUser(c.uid)
		err = p.run()
	}
	return p.exit(err)
}

// rig is a private instance without a suite.
type rig struct {
	*testing.T
	dir string
	// site of calls within this process.
	site site
	user user
	env  string // NAME
	now  time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "pickup") // a short path, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, d := range []string{"etc", "run/submit", "run/control", "spool/maildrop", "spool/corrupt"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return &rig{
		T: t, dir: dir, now: time.Now(),
		site: site{inst: settings.Private(dir), name: "here.example", sure: true},
		user: user{uid: os.Getuid(), login: "ann"},
	}
}

type result struct {
	status   int
	out, err string
}

// call runs a program of that name in this process.
func (r *rig) call(program, stdin string, args ...string) result {
	r.Helper()
	return r.callFrom(program, strings.NewReader(stdin), args...)
}

func (r *rig) callFrom(program string, stdin io.Reader, args ...string) result {
	r.Helper()
	var out, errs bytes.Buffer
	p := &pickup{in: stdin, out: &out, err: &errs, program: program, stop: new(interrupts), now: func() time.Time { return r.now }}
	var err error
	if p.opts, err = parseOptions(program, args); err == nil {
		p.site, p.user, p.fullName = r.site, r.user, r.env
		err = p.run()
	}
	status := p.exit(err)
	return result{status, out.String(), errs.String()}
}

// want checks the exit status.
func (r *rig) want(got result, status int) {
	r.Helper()
	if got.status != status {
		r.Fatalf("exit status %d, want %d; stderr: %s", got.status, status, got.err)
	}
}

// lies is the names in a directory of the spool.
func (r *rig) lies(dir string) []string {
	r.Helper()
	entries, err := os.ReadDir(filepath.Join(r.dir, "spool", dir))
	if err != nil {
		r.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (r *rig) nothingLies() {
	r.Helper()
	if names := r.lies("maildrop"); len(names) > 0 {
		r.Errorf("left in maildrop: %v", names)
	}
}

// suite is cleanup's place, filled by a test.
type suite struct {
	t      *testing.T
	answer func(m *proto.Submission) *proto.Acceptance

	mu   sync.Mutex
	took []taken
}

// taken is one submission, whatever was answered.
type taken struct {
	proto.Submission
	text string
	peer ipc.PeerCred
}

var accepted = &proto.Acceptance{ID: queueid.ID(1), Code: 250, Status: smtp.Status{Class: 2}, Text: "Ok"}

func refuse(code, subject, detail int) *proto.Acceptance {
	return &proto.Acceptance{Code: code, Status: smtp.Status{Class: code / 100, Subject: subject, Detail: detail}, Text: "No \x1b[31mway"}
}

// start makes cleanup answer a; nil: accept everything.
func (r *rig) start(a *proto.Acceptance) *suite {
	r.Helper()
	if a == nil {
		a = accepted
	}
	return r.startWith(func(*proto.Submission) *proto.Acceptance { return a })
}

func (r *rig) startWith(answer func(*proto.Submission) *proto.Acceptance) *suite {
	r.Helper()
	s := &suite{t: r.T, answer: answer}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(r.dir, "run/submit/cleanup"), Net: "unix"})
	if err != nil {
		r.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(r.dir, "run/submit/cleanup"), 0o666); err != nil {
		r.Fatal(err)
	}
	server := ipc.NewServer(ipc.Spawn(s.handle), ipc.ServerOptions{
		MaxFrame:  proto.MaxFrame,
		OnConnect: func(c *ipc.Conn) { _ = c.Notify(&proto.Capacity{Accepting: true, Free: 1 << 30}) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Listen(ctx, l, func(ipc.PeerCred) (string, error) { return proto.CallerPickup, nil })
	}()
	r.Cleanup(func() {
		cancel()
		<-ended
		_ = server.Shutdown(ctx)
	})
	return s
}

func (s *suite) handle(_ context.Context, call *ipc.Call) {
	var got taken
	if err := call.Decode(&got.Submission); err != nil {
		s.t.Errorf("submission: %v", err)
		return
	}
	got.peer = call.Peer
	if !got.Content.InFile() {
		got.text = string(got.Content.Inline)
	} else {
		defer call.CloseFiles()
		text, err := readChunks(call.Files[0])
		if err != nil {
			call.Refuse(err)
			return
		}
		got.text = text
	}
	a := s.answer(&got.Submission)
	s.mu.Lock()
	s.took = append(s.took, got)
	s.mu.Unlock()
	if a == nil {
		call.Refuse(errors.New("not now"))
		return
	}
	call.Reply(a)
}

func readChunks(f *os.File) (string, error) {
	var b strings.Builder
	for {
		var n uint32
		if err := binary.Read(f, binary.BigEndian, &n); err != nil {
			return "", err
		}
		if n == 0 {
			return b.String(), nil
		}
		if n > proto.ChunkMax {
			return "", errors.New("chunk too long")
		}
		if _, err := io.CopyN(&b, f, int64(n)); err != nil {
			return "", err
		}
	}
}

// one is the only message that was handed in.
func (s *suite) one() taken {
	s.t.Helper()
	all := s.all()
	if len(all) != 1 {
		s.t.Fatalf("%d messages were handed in, want 1", len(all))
	}
	return all[0]
}

func (s *suite) all() []taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]taken(nil), s.took...)
}

// to is the recipients in one line.
func (m *taken) to() string {
	var words []string
	for _, r := range m.Envelope.Recipients {
		words = append(words, r.Address.String())
	}
	return strings.Join(words, " ")
}

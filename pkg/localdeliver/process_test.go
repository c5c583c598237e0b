package localdeliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/service/servicetest"
	"filbert/pkg/settings"
)

// testSettings is an instance with mailboxes below a directory of the test.
func testSettings(t *testing.T) *settings.Settings {
	t.Helper()
	s := settings.Default()
	s.Hostname = "mail.local.example"
	s.Instance.Mail = mkdir(t, t.TempDir(), "mail")
	s.Transports = map[string]settings.Transport{
		"maildir":  {Driver: "maildir", Path: "{mail}/{user}"},
		"mbox":     {Driver: "mbox", Path: "{mail}/{user}.mbox"},
		"pipe":     {Driver: "pipe"},
		"describe": {Driver: "pipe", Command: []string{exe(t), commandFlag, "describe", s.Instance.Mail + "/self"}},
		"smtp":     {Driver: "smtp"},
	}
	return s
}

func startServer(t *testing.T, s *settings.Settings) *server {
	t.Helper()
	srv := newServer(s, (&launcher{}).start, privsep.LookupUser)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		srv.drain(ctx)
	})
	return srv
}

func jobFor(user, transport, text string) *proto.LocalJob {
	job := testJob(settings.Transport{}, text).Job
	job.Transport = transport
	job.User = &proto.User{Name: user}
	job.Recipient.Address = mailaddr.MustParse(user + "@local.example")
	return &job
}

func TestDaemonDeliversForDispatchAlone(t *testing.T) {
	s := testSettings(t)
	suite := servicetest.New(t, s, nil)
	suite.Start(proto.LocalDeliver, New())
	client := suite.Client(string(proto.Dispatch), proto.LocalDeliver, ipc.ClientOptions{})
	var done proto.LocalDone
	if err := client.Call(t.Context(), jobFor("bob", "maildir", testMessage), &done); err != nil {
		t.Fatal(err)
	}
	wantDelivered(t, &done)
	if done.Outcome.Transport != "maildir" {
		t.Fatalf("transport %q", done.Outcome.Transport)
	}
	onlyMessage(t, filepath.Join(s.Instance.Mail, "bob"))
}

func TestContentInAFileIsDeliveredFromItsPlace(t *testing.T) {
	s := testSettings(t)
	srv := startServer(t, s)
	path := filepath.Join(t.TempDir(), "spool")
	text := bigMessage()
	write(t, path, "somebody's envelope"+text+"somebody's message")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	job := jobFor("bob", "maildir", "")
	job.Content = proto.Content{Offset: int64(len("somebody's envelope")), Size: int64(len(text))}
	wantDelivered(t, srv.deliver(t.Context(), job, f))
	if onlyMessage(t, filepath.Join(s.Instance.Mail, "bob")) != stored(text) {
		t.Fatal("the message differs")
	}
}

func TestContentThatIsTooShortIsDeferred(t *testing.T) {
	s := testSettings(t)
	srv := startServer(t, s)
	path := filepath.Join(t.TempDir(), "spool")
	write(t, path, testMessage)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	job := jobFor("bob", "maildir", "")
	job.Content = proto.Content{Size: 1 << 20}
	wantOutcome(t, srv.deliver(t.Context(), job, f), outcome.Deferred, outcome.Internal, "4.3.0")
}

func TestABurstSharesOneChildAndEachMessageArrivesOnce(t *testing.T) {
	s := testSettings(t)
	srv := startServer(t, s)
	var wg sync.WaitGroup
	var failures sync.Map
	for i := range 60 {
		transport := []string{"maildir", "mbox"}[i%2]
		wg.Go(func() {
			text := fmt.Sprintf("Subject: number %d.\r\n\r\nbody\r\n", i)
			if done := srv.deliver(t.Context(), jobFor("bob", transport, text), nil); done.Outcome.Class != outcome.Delivered {
				failures.Store(i, show(done))
			}
		})
	}
	wg.Wait()
	failures.Range(func(k, v any) bool { t.Errorf("%v: %v", k, v); return true })
	all := read(t, filepath.Join(s.Instance.Mail, "bob.mbox"))
	children := map[string]bool{}
	for _, name := range names(t, filepath.Join(s.Instance.Mail, "bob", "new")) {
		all += read(t, filepath.Join(s.Instance.Mail, "bob", "new", name))
		_, rest, _ := strings.Cut(name, "P")
		pid, _, _ := strings.Cut(rest, "Q")
		children[pid] = true
	}
	if len(children) != 1 {
		t.Errorf("%d children wrote", len(children))
	}
	for i := range 60 {
		if n := strings.Count(all, fmt.Sprintf("Subject: number %d.\n", i)); n != 1 {
			t.Errorf("message %d is there %d times", i, n)
		}
	}
}

func TestAnIdleChildEnds(t *testing.T) {
	srv := startServer(t, testSettings(t))
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "maildir", testMessage), nil))
	srv.pool.mu.Lock()
	var c *child
	for _, c = range srv.pool.live {
	}
	srv.pool.mu.Unlock()
	if c == nil {
		t.Fatal("the child was gone at once")
	}
	select {
	case <-c.done:
	case <-time.After(30 * time.Second):
		t.Fatal("the child never ended")
	}
	if !c.cmd.ProcessState.Success() {
		t.Fatalf("the child ended with %v", c.cmd.ProcessState)
	}
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "maildir", testMessage), nil))
}

func TestAChildHasNothingOfItsParents(t *testing.T) {
	t.Setenv("FILBERT_TEST_SECRET", "x")
	s := testSettings(t)
	// What somebody started the suite with, and forgot to close.
	leak, err := syscall.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leak)
	srv := startServer(t, s)
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "describe", testMessage), nil))
	var got self
	if err := json.Unmarshal([]byte(read(t, s.Instance.Mail+"/self")), &got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.FDs, []string{"0", "1", "2"}) {
		t.Errorf("descriptors %v", got.FDs)
	}
	if slices.ContainsFunc(got.Env, func(v string) bool { return strings.Contains(v, "SECRET") }) {
		t.Errorf("environment %q", got.Env)
	}
	if got.Umask != 0o077 {
		t.Errorf("umask %03o", got.Umask)
	}
	if got.PPID == os.Getpid() {
		t.Error("the command runs as a child of the parent")
	}
}

func TestADeadChildIsATemporaryFailureAndIsReplaced(t *testing.T) {
	s := testSettings(t)
	s.Transports["suicide"] = settings.Transport{Driver: "pipe", Command: []string{"/bin/kill", "-KILL"}}
	srv := startServer(t, s)
	file := filepath.Join(t.TempDir(), "pid")
	s.Transports["hang"] = settings.Transport{Driver: "pipe", Command: []string{exe(t), commandFlag, "hang", file}}
	result := make(chan *proto.LocalDone)
	go func() { result <- srv.deliver(context.Background(), jobFor("bob", "hang", testMessage), nil) }()
	waitForFile(t, file)
	srv.pool.mu.Lock()
	for _, c := range srv.pool.live {
		_ = c.cmd.Process.Kill()
	}
	srv.pool.mu.Unlock()
	wantOutcome(t, <-result, outcome.Deferred, outcome.Internal, "4.3.0")
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "maildir", testMessage), nil))
}

func waitForFile(t *testing.T, path string) {
	t.Helper()
	for range 3000 {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s never came", path)
}

func TestDrainEndsWhatDoesNotEnd(t *testing.T) {
	s := testSettings(t)
	file := filepath.Join(t.TempDir(), "pid")
	s.Transports["hang"] = settings.Transport{Driver: "pipe", Command: []string{exe(t), commandFlag, "hang", file}}
	srv := startServer(t, s)
	result := make(chan *proto.LocalDone)
	go func() { result <- srv.deliver(context.Background(), jobFor("bob", "hang", testMessage), nil) }()
	waitForFile(t, file)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	srv.drain(ctx)
	if done := <-result; done.Outcome.Class != outcome.Deferred {
		t.Fatalf("%s", show(done))
	}
	if done := srv.deliver(t.Context(), jobFor("bob", "maildir", testMessage), nil); done.Outcome.Kind != outcome.Busy {
		t.Fatalf("after the end: %s", show(done))
	}
}

// A dispatch that starts again has everything delivered again that was under way.
func TestDeliveriesAreCalledOffWhenDispatchHasGone(t *testing.T) {
	s := testSettings(t)
	srv := startServer(t, s)
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "mbox", testMessage), nil))
	mbox := filepath.Join(s.Instance.Mail, "bob.mbox")
	before := read(t, mbox)
	write(t, mbox+".lock", "somebody reads")
	ctx, gone := context.WithCancel(t.Context())
	result := make(chan *proto.LocalDone)
	go func() { result <- srv.deliver(ctx, jobFor("bob", "mbox", testMessage), nil) }()
	var c *child
	for c == nil {
		srv.pool.mu.Lock()
		for _, live := range srv.pool.live {
			if live.jobs == 1 {
				c = live
			}
		}
		srv.pool.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	gone()
	wantOutcome(t, <-result, outcome.Deferred, outcome.Internal, "4.3.0")
	<-c.done // well before the lock is given up
	if err := os.Remove(mbox + ".lock"); err != nil {
		t.Fatal(err)
	}
	if after := read(t, mbox); after != before {
		t.Fatalf("the mailbox became %q", after)
	}
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "mbox", testMessage), nil))
}

func TestAChildThatTalksNonsenseDefersItsJobOnly(t *testing.T) {
	s := testSettings(t)
	for _, program := range []string{"/bin/true", "/bin/cat"} {
		srv := newServer(s, (&launcher{program: program}).start, privsep.LookupUser)
		done := srv.deliver(t.Context(), jobFor("bob", "maildir", testMessage), nil)
		wantOutcome(t, done, outcome.Deferred, outcome.Internal, "4.3.0")
		srv.drain(t.Context())
	}
}

func TestUnknownTransportsAreDeferredAsConfiguration(t *testing.T) {
	srv := startServer(t, testSettings(t))
	for _, name := range []string{"", "nothing", "smtp"} {
		done := srv.deliver(t.Context(), jobFor("bob", name, testMessage), nil)
		wantOutcome(t, done, outcome.Deferred, outcome.Internal, "4.3.5")
	}
}

// planFor asks a separated instance who would deliver.
func planFor(t *testing.T, job *proto.LocalJob, transport settings.Transport) (plan, *outcome.Outcome) {
	t.Helper()
	users := map[string]privsep.User{
		"bob":  {Name: "bob", Home: "/home/bob", Identity: privsep.Identity{UID: 1000, GID: 1000, Groups: []int{1000, 20}}},
		"vox":  {Name: "vox", Home: "/home/vox", Identity: privsep.Identity{UID: 1001, GID: 1001}},
		"root": {Name: "root", Home: "/root"},
		"toor": {Name: "toor", Home: "/root"},
	}
	p := planner{lookup: func(name string) (privsep.User, error) {
		if name == "broken" {
			return privsep.User{}, errors.New("input or output error")
		}
		u, ok := users[name]
		if !ok {
			return u, fmt.Errorf("user %s: %w", name, privsep.ErrNoUser)
		}
		return u, nil
	}}
	s := testSettings(t)
	s.Instance.Separate = true
	s.Transports = map[string]settings.Transport{job.Transport: transport}
	p.settings.Store(s)
	return p.plan(job)
}

func TestTheUserIsLookedUpAndNotTakenFromTheJob(t *testing.T) {
	job := jobFor("bob", "maildir", "")
	job.User.UID, job.User.GID = 0, 0
	pl, o := planFor(t, job, settings.Transport{Driver: "maildir"})
	if o != nil || pl.identity.UID != 1000 || pl.actor.Home != "/home/bob" || job.User.UID != 1000 || job.User.GID != 1000 {
		t.Fatalf("%+v %+v", pl, job.User)
	}
}

// Two lines of a table of users with one account are two mailboxes.
func TestATableOfUsersSaysWhereAMailboxLies(t *testing.T) {
	for named, want := range map[string]string{"/srv/mail/ann": "/srv/mail/ann", "": "/home/bob", "ann": "/home/bob"} {
		job := jobFor("bob", "maildir", "")
		job.User.Home = named
		pl, o := planFor(t, job, settings.Transport{Driver: "maildir"})
		if o != nil || job.User.Home != want || pl.actor.Home != "/home/bob" {
			t.Errorf("%q: the mailbox is in %q, who writes to it is at home in %q: %v", named, job.User.Home, pl.actor.Home, o)
		}
	}
}

func TestWhoActsIsTheAliasThenTheTransportThenTheUser(t *testing.T) {
	job := jobFor("bob", "maildir", "")
	if pl, _ := planFor(t, job, settings.Transport{Driver: "maildir", User: "vox"}); pl.key.user != "vox" {
		t.Errorf("the transport's user: %q", pl.key.user)
	}
	job.Recipient.Kind, job.Recipient.User = envelope.TargetPipe, "bob"
	if pl, _ := planFor(t, job, settings.Transport{Driver: "pipe", User: "vox"}); pl.key.user != "bob" {
		t.Errorf("the alias's user: %q", pl.key.user)
	}
}

func TestMailIsNeverDeliveredAsRoot(t *testing.T) {
	for _, name := range []string{"root", "toor"} {
		_, o := planFor(t, jobFor(name, "maildir", ""), settings.Transport{Driver: "maildir"})
		if o == nil || o.Class != outcome.Deferred || o.Kind != outcome.Permission {
			t.Errorf("%s: %+v", name, o)
		}
	}
	if pl, o := planFor(t, jobFor("root", "maildir", ""), settings.Transport{Driver: "maildir", User: "vox"}); o != nil || pl.identity.UID != 1001 {
		t.Errorf("root with a named user: %+v", o)
	}
}

func TestAUserThatCannotBeFoundIsDeferred(t *testing.T) {
	for name, kind := range map[string]outcome.Kind{"nobody-here": outcome.Permission, "broken": outcome.Internal} {
		_, o := planFor(t, jobFor(name, "maildir", ""), settings.Transport{Driver: "maildir"})
		if o == nil || o.Class != outcome.Deferred || o.Kind != kind {
			t.Errorf("%s: %+v", name, o)
		}
	}
	job := jobFor("bob", "pipe", "")
	job.User, job.Recipient.Kind = nil, envelope.TargetPipe
	if _, o := planFor(t, job, settings.Transport{Driver: "pipe"}); o == nil || o.Class != outcome.Deferred {
		t.Errorf("nobody named: %+v", o)
	}
}

func TestChildrenOfDifferentUmasksAreDifferent(t *testing.T) {
	a, _ := planFor(t, jobFor("bob", "maildir", ""), settings.Transport{Driver: "maildir"})
	b, _ := planFor(t, jobFor("bob", "maildir", ""), settings.Transport{Driver: "maildir", Umask: "007"})
	if a.key == b.key || b.key.umask != 0o007 {
		t.Fatalf("%+v %+v", a.key, b.key)
	}
}

// fakeChild is a process that lives until it is retired.
func fakeChild() *child {
	c, theirs := deafChild()
	c.cmd = execCat(theirs)
	if err := c.cmd.Start(); err != nil {
		panic(err)
	}
	_ = theirs.Close()
	return c
}

// deafChild has a connection, of which nobody has the other end, and no process.
func deafChild() (*child, *os.File) {
	ours, theirs, err := ipc.Pair()
	if err != nil {
		panic(err)
	}
	uc, err := ipc.FileConn(ours)
	if err != nil {
		panic(err)
	}
	conn, err := ipc.NewConn(uc, ipc.Options{})
	if err != nil {
		panic(err)
	}
	return &child{conn: conn, done: make(chan struct{})}, theirs
}

func testPool(total, commands int) *pool {
	p := newPool(func(plan) (*child, error) { return fakeChild(), nil })
	p.limit(total, commands)
	return p
}

func acquireNow(p *pool, user string, w work) (*child, error) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return p.acquire(ctx, plan{key: childKey{user: user}}, w)
}

func TestLimitsOfChildrenAndCommandsHold(t *testing.T) {
	p := testPool(2, 1)
	defer p.close(t.Context())
	a, err := acquireNow(p, "a", workCommand)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := acquireNow(p, "a", workCommand); !errors.Is(err, errBusy) {
		t.Errorf("a second command: %v", err)
	}
	a2, err := acquireNow(p, "a", workMailbox)
	if err != nil || a2 != a {
		t.Errorf("a mailbox beside it: %v", err)
	}
	b, err := acquireNow(p, "b", workMailbox)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := acquireNow(p, "c", workMailbox); !errors.Is(err, errBusy) {
		t.Errorf("a third child: %v", err)
	}
	// A child that has nothing to do makes room.
	p.release(b, workMailbox)
	c, err := p.acquire(t.Context(), plan{key: childKey{user: "c"}}, workMailbox)
	if err != nil {
		t.Fatal(err)
	}
	p.release(c, workMailbox)
	p.release(a, workCommand)
	p.release(a, workMailbox)
}

func TestOneUserHoldsABoundedNumberOfJobs(t *testing.T) {
	p := testPool(2, 1)
	defer p.close(t.Context())
	var c *child
	for i := range jobsPerChild + 1 {
		got, err := acquireNow(p, "a", workMailbox)
		if (err == nil) != (i < jobsPerChild) {
			t.Fatalf("job %d: %v", i, err)
		}
		if got != nil {
			c = got
		}
	}
	waited := make(chan error)
	go func() {
		_, err := p.acquire(context.Background(), plan{key: childKey{user: "a"}}, workMailbox)
		waited <- err
	}()
	p.release(c, workMailbox)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	for range jobsPerChild {
		p.release(c, workMailbox)
	}
}

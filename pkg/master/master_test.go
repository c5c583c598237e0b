package master

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if name := os.Getenv("FILBERT_TEST_DAEMON"); name != "" {
		runTestDaemon(name) // does not return
	}
	if dir := os.Getenv("FILBERT_TEST_MASTER"); dir != "" {
		if err := Run(context.Background(), testOptions(testSettings(dir, "127.0.0.1:0"))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if path := os.Getenv("FILBERT_TEST_ASK"); path != "" {
		code := 0
		if resp, err := controlAt(path).Get("http://master/v1/status"); err == nil {
			code = resp.StatusCode
		}
		fmt.Println(code)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// requirePureGo skips where the daemons can't confine themselves.
func requirePureGo(t *testing.T) {
	t.Helper()
	if _, _, errno := syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0); errno == syscall.ENOTSUP {
		t.Skip("daemons confine themselves only when built with CGO_ENABLED=0")
	}
}

func testSettings(dir string, addresses ...string) *settings.Settings {
	s := settings.Default()
	s.Hostname = "mail.example"
	s.Instance = settings.Private(dir)
	s.Limits.DrainTimeout = settings.Duration(20 * time.Second)
	for i, a := range addresses {
		s.Listen = append(s.Listen, settings.Listen{Name: "l" + strconv.Itoa(i), Address: a})
	}
	return s
}

// testOptions are those of a suite of four daemons, all of them this program.
func testOptions(s *settings.Settings) Options {
	return Options{
		Load:    func() (*settings.Settings, []string, error) { return s, nil, nil },
		Version: "test",
		services: []definition{
			{proto.SMTPD, atStart, replaced, nil, nil, needed},
			{proto.Cleanup, atStart, inPlace, nil, nil, needed},
			{proto.Dispatch, atStart, inPlace, nil, nil, needed},
			{proto.Bounce, whenCalled, inPlace, nil, nil, needed},
		},
		mayCall: func(caller, callee proto.Service) bool {
			return caller == proto.SMTPD && callee != proto.Dispatch
		},
		command: func(name proto.Service) *exec.Cmd {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(environment(), "FILBERT_TEST_DAEMON="+string(name))
			return cmd
		},
		pickup: func() *exec.Cmd { return exec.Command("/bin/false") },
	}
}

// rig is a running master.
type rig struct {
	t     *testing.T
	dir   string
	ended chan error
	end   context.CancelFunc

	mu       sync.Mutex
	settings *settings.Settings
	failure  error
	once     sync.Once
}

// start runs a master in this process and stops it with the test. alter may
// change its options.
func start(t *testing.T, alter func(*Options, *settings.Settings)) *rig {
	t.Helper()
	requirePureGo(t)
	dir, err := os.MkdirTemp("", "fm") // short: socket paths are
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: dir, ended: make(chan error, 1), settings: testSettings(dir, "127.0.0.1:0")}
	opts := testOptions(nil)
	opts.Load = func() (*settings.Settings, []string, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.failure != nil {
			return nil, []string{"filbert.toml:1:1: nonsense"}, r.failure
		}
		s := *r.settings
		return &s, nil, nil
	}
	if alter != nil {
		alter(&opts, r.settings)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.end = cancel
	go func() { r.ended <- Run(ctx, opts) }()
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Log(r.log())
		}
		os.RemoveAll(dir)
	})
	return r
}

func (r *rig) stop() {
	r.once.Do(func() {
		r.end()
		select {
		case err := <-r.ended:
			if err != nil {
				r.t.Errorf("master: %v", err)
			}
		case <-time.After(2 * patience):
			r.t.Error("master does not stop")
		}
	})
}

func (r *rig) log() string {
	b, _ := os.ReadFile(r.settings.Instance.LogFile())
	return string(b)
}

// until polls a state of the outside world, which tells nobody of its changes.
func (r *rig) until(what string, f func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !f(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain: %s\n%s", what, r.log())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func control(dir string) *http.Client {
	return controlAt(settings.Private(dir).Control(proto.ControlMaster))
}

func controlAt(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
}

func fetchStatus(dir string) (*proto.Status, error) {
	resp, err := control(dir).Get("http://master/v1/status?boards=1")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var st proto.Status
	return &st, json.NewDecoder(resp.Body).Decode(&st)
}

// status waits until the suite runs.
func (r *rig) status() *proto.Status {
	r.t.Helper()
	var st *proto.Status
	r.until("the suite runs", func() bool {
		var err error
		st, err = fetchStatus(r.dir)
		return err == nil && st.State == running
	})
	return st
}

func (r *rig) reload() (int, proto.ReloadResult) {
	r.t.Helper()
	resp, err := control(r.dir).Post("http://master/v1/reload", "", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var result proto.ReloadResult
	if err := json.NewDecoder(resp.Body).Decode(&result); err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, result
}

func serviceOf(st *proto.Status, name proto.Service) proto.ServiceStatus {
	i := slices.IndexFunc(st.Services, func(s proto.ServiceStatus) bool { return s.Name == string(name) })
	return st.Services[i]
}

// session is a connection to the test smtpd, which greets with its pid.
type session struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	pid  int
}

func dialSession(t *testing.T, address string) *session {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	s := &session{t: t, conn: conn, r: bufio.NewReader(conn)}
	line, err := s.r.ReadString('\n')
	if err != nil {
		t.Fatalf("greeting: %v", err)
	}
	s.pid, _ = strconv.Atoi(strings.TrimSpace(line))
	return s
}

func (s *session) ask(q string) string {
	s.t.Helper()
	fmt.Fprintf(s.conn, "%s\n", q)
	line, err := s.r.ReadString('\n')
	if err != nil {
		s.t.Fatalf("%s: %v", q, err)
	}
	return strings.TrimSpace(line)
}

func TestDaemonsAreIntroducedToEachOther(t *testing.T) {
	r := start(t, nil)
	st := r.status()
	s := dialSession(t, st.Listeners[0].Address)
	want := fmt.Sprintf("cleanup %d answers smtpd", serviceOf(st, proto.Cleanup).Processes[0].PID)
	if got := s.ask("call cleanup"); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestArrowThatIsNotInTheTableIsRefused(t *testing.T) {
	r := start(t, nil)
	s := dialSession(t, r.status().Listeners[0].Address)
	if got := s.ask("call dispatch"); !strings.Contains(got, errNoArrow.Error()) {
		t.Fatalf("got %q", got)
	}
	if got := s.ask("call nobody"); !strings.Contains(got, "no such service") {
		t.Fatalf("got %q", got)
	}
}

func TestLazyServiceStartsAtItsFirstCall(t *testing.T) {
	r := start(t, nil)
	st := r.status()
	if got := serviceOf(st, proto.Bounce); got.State != "idle" || len(got.Processes) != 0 {
		t.Fatalf("before: %+v", got)
	}
	if got := dialSession(t, st.Listeners[0].Address).ask("call bounce"); !strings.HasSuffix(got, "answers smtpd") {
		t.Fatalf("got %q", got)
	}
	if got := serviceOf(r.status(), proto.Bounce); got.State != running || len(got.Processes) != 1 {
		t.Fatalf("after: %+v", got)
	}
}

func TestDaemonThatEndsIsStartedAgainAndItsPortStaysOpen(t *testing.T) {
	r := start(t, nil)
	address := r.status().Listeners[0].Address
	s := dialSession(t, address)
	fmt.Fprintln(s.conn, "exit 7")
	io.Copy(io.Discard, s.conn)      // until it is dead
	again := dialSession(t, address) // the kernel keeps it until somebody serves
	if again.pid == s.pid {
		t.Fatal("the same process answers")
	}
	r.until("the log tells of the end", func() bool {
		return strings.Contains(r.log(), fmt.Sprintf("did=ended name=smtpd pid=%d status=\"exit 7\"", s.pid))
	})
	if got := serviceOf(r.status(), proto.SMTPD); got.Restarts != 1 || got.LastExit != "exit 7" {
		t.Fatalf("%+v", got)
	}
}

func TestCallersFindARestartedDaemon(t *testing.T) {
	r := start(t, nil)
	s := dialSession(t, r.status().Listeners[0].Address)
	first := s.ask("call cleanup")
	s.ask("crash cleanup")
	r.until("another cleanup answers", func() bool {
		got := s.ask("call cleanup")
		return strings.HasSuffix(got, "answers smtpd") && got != first
	})
}

func TestPanicIsLogged(t *testing.T) {
	r := start(t, nil)
	s := dialSession(t, r.status().Listeners[0].Address)
	fmt.Fprintln(s.conn, "panic")
	r.until("the log tells of the panic", func() bool {
		l := r.log()
		return strings.Contains(l, "panic: as asked") && strings.Contains(l, `status="exit 2"`)
	})
}

func TestBackoffFollowsThePace(t *testing.T) {
	asked := make(chan int)
	r := start(t, func(o *Options, s *settings.Settings) {
		s.Postmaster = "cleanup-fails"
		o.pause = func(p *pace, _ time.Duration) time.Duration {
			p.next(0)
			asked <- p.ends
			return 0
		}
	})
	for want := 1; want <= 3; want++ {
		select {
		case got := <-asked:
			if got != want {
				t.Fatalf("end %d counted as %d", want, got)
			}
		case <-time.After(patience):
			t.Fatal("not started again")
		}
	}
	done := make(chan struct{})
	go func() { // let the rest pass
		for {
			select {
			case <-asked:
			case <-done:
				return
			}
		}
	}()
	defer close(done)
	if !strings.Contains(r.log(), "as configured") {
		t.Error("the log does not say why it does not start")
	}
	r.stop()
}

func TestPaceGrowsToABoundAndForgets(t *testing.T) {
	var p pace
	var got []time.Duration
	for range 8 {
		got = append(got, p.next(0)/time.Second)
	}
	if want := []time.Duration{0, 1, 2, 4, 8, 16, 30, 30}; !slices.Equal(got, want) {
		t.Fatalf("pauses %v, want %v", got, want)
	}
	if d := p.next(healthyAfter); d != 0 {
		t.Fatalf("after a long life the pause is %v", d)
	}
}

func TestReloadKeepsPortsAndSessions(t *testing.T) {
	r := start(t, nil)
	before := r.status().Listeners[0].Address
	old := dialSession(t, before)
	r.mu.Lock()
	next := *r.settings
	next.Listen = append(slices.Clone(next.Listen), settings.Listen{Name: "more", Address: "127.0.0.1:0"})
	next.Hostname = "new.example"
	r.settings = &next
	r.mu.Unlock()

	if code, result := r.reload(); code != http.StatusOK || !slices.Equal(result.Restarted, []string{"smtpd"}) {
		t.Fatalf("reload: %d %+v", code, result)
	}
	st := r.status()
	if len(st.Listeners) != 2 || st.Listeners[0].Address != before {
		t.Fatalf("listeners: %+v", st.Listeners)
	}
	for _, l := range st.Listeners {
		r.until("the new process accepts on "+l.Address, func() bool {
			s := dialSession(t, l.Address)
			defer s.conn.Close()
			return s.pid != old.pid && s.ask("hostname") == "new.example"
		})
	}
	if got := old.ask("hostname"); got != "mail.example" {
		t.Fatalf("the old session ended or changed: %q", got)
	}
	if got := old.ask("call cleanup hostname"); got != "new.example" {
		t.Fatalf("cleanup was not reconfigured in place: %q", got)
	}
	old.conn.Close()
	r.until("the old process ends with its last session", func() bool {
		return strings.Contains(r.log(), fmt.Sprintf("did=ended name=smtpd pid=%d status=\"exit 0\"", old.pid))
	})
}

func TestReloadClosesWhatIsNoLongerListed(t *testing.T) {
	r := start(t, func(_ *Options, s *settings.Settings) {
		s.Listen = append(s.Listen, settings.Listen{Name: "second", Address: "127.0.0.1:0"})
	})
	st := r.status()
	r.mu.Lock()
	next := *r.settings
	next.Listen = next.Listen[:1]
	r.settings = &next
	r.mu.Unlock()
	if code, result := r.reload(); code != http.StatusOK {
		t.Fatalf("reload: %d %+v", code, result)
	}
	r.until("the port is closed", func() bool {
		c, err := net.Dial("tcp", st.Listeners[1].Address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	dialSession(t, st.Listeners[0].Address)
}

func TestBadConfigurationChangesNothing(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	r := start(t, nil)
	st := r.status()
	spoil := map[string]func(){
		"does not parse": func() { r.failure = errors.New("the configuration has mistakes") },
		"port is taken": func() {
			next := *r.settings
			next.Listen = append(slices.Clone(next.Listen), settings.Listen{Name: "busy", Address: busy.Addr().String()})
			r.settings = &next
		},
		"users changed": func() {
			next := *r.settings
			next.Users.Main = "somebody"
			r.settings = &next
		},
	}
	good := r.settings
	for name, f := range spoil {
		r.mu.Lock()
		f()
		r.mu.Unlock()
		code, result := r.reload()
		if code != http.StatusUnprocessableEntity || len(result.Problems) == 0 {
			t.Errorf("%s: %d %+v", name, code, result)
		}
		r.mu.Lock()
		r.settings, r.failure = good, nil
		r.mu.Unlock()
	}
	after := r.status()
	if len(after.Listeners) != 1 || serviceOf(after, proto.SMTPD).Processes[0].PID != serviceOf(st, proto.SMTPD).Processes[0].PID {
		t.Fatalf("something changed: %+v", after)
	}
}

func TestSecondStartIsRefusedWhileTheFirstLives(t *testing.T) {
	r := start(t, nil)
	r.status()
	runtime.GC() // nothing but a reference holds the lock
	runtime.GC()
	err := Run(context.Background(), testOptions(r.settings))
	if !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Fatalf("got %v", err)
	}
}

func TestLeftOverLockIsNoObstacle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.lock")
	if err := os.WriteFile(path, []byte("1\n"), 0o644); err != nil { // process 1 lives
		t.Fatal(err)
	}
	f, crashed, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != fmt.Sprintln(os.Getpid()) || !crashed {
		t.Fatalf("the lock names %q; crashed: %v", b, crashed)
	}
	if _, _, err := lock(path); !errors.Is(err, ErrRunning) {
		t.Fatalf("the lock does not hold: %v", err)
	}
	unlock(f)
	f, crashed, err = lock(path)
	if err != nil || crashed {
		t.Fatalf("a stop in good order looks like a crash: %v, %v", crashed, err)
	}
	unlock(f)
}

// The daemons of a killed master hold its sockets a moment longer than it held
// the lock.
func TestStartAfterACrashWaitsForTheAddress(t *testing.T) {
	orphan, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	want := []settings.Listen{{Name: "mx", Address: orphan.Addr().String()}}
	if _, err := bindPatiently(want, 0); !errors.Is(err, syscall.EADDRINUSE) {
		orphan.Close()
		t.Fatalf("a start without a crash before it: %v", err)
	}
	time.AfterFunc(2*bindPause, func() { orphan.Close() })
	all, err := bindPatiently(want, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		b.close()
	}
}

func TestStopDrainsInTheOrderOfTheFlow(t *testing.T) {
	r := start(t, nil)
	s := dialSession(t, r.status().Listeners[0].Address)
	r.end()
	// The session is told, and ends by itself; cleanup still serves it.
	if line, err := s.r.ReadString('\n'); err != nil || line != "stopping\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	if got := s.ask("call cleanup"); !strings.HasSuffix(got, "answers smtpd") {
		t.Fatalf("got %q", got)
	}
	s.conn.Close()
	r.stop()
	var ends []string
	for line := range strings.Lines(r.log()) {
		if strings.Contains(line, "did=ended") {
			if !strings.Contains(line, `status="exit 0"`) {
				t.Errorf("not drained: %s", line)
			}
			ends = append(ends, strings.Fields(strings.SplitN(line, "name=", 2)[1])[0])
		}
	}
	if want := []string{"smtpd", "cleanup", "dispatch"}; !slices.Equal(ends, want) {
		t.Fatalf("ended in the order %v, want %v", ends, want)
	}
}

func TestDaemonThatDoesNotDrainIsKilled(t *testing.T) {
	r := start(t, func(_ *Options, s *settings.Settings) {
		s.Postmaster = "dispatch-hangs"
		s.Limits.DrainTimeout = settings.Duration(time.Millisecond)
	})
	r.status()
	r.stop()
	if !strings.Contains(r.log(), `name=dispatch`) || !strings.Contains(r.log(), `status="signal killed"`) {
		t.Fatal("no daemon was killed")
	}
}

func TestDaemonsEndWhenMasterIsKilled(t *testing.T) {
	requirePureGo(t)
	dir, err := os.MkdirTemp("", "fm")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "FILBERT_TEST_MASTER="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: dir, settings: testSettings(dir)}
	st := r.status()
	var pids []int
	for _, s := range st.Services {
		for _, p := range s.Processes {
			pids = append(pids, p.PID)
		}
	}
	if len(pids) != 3 {
		t.Fatalf("processes: %v", pids)
	}
	cmd.Process.Kill()
	cmd.Wait()
	for _, pid := range pids {
		r.until(fmt.Sprintf("%d ends", pid), func() bool { return !alive(pid) })
	}
	// The next start finds sockets and a lock file, and takes them over.
	again, err := open(testSettings(dir, "127.0.0.1:0"), testOptions(nil))
	if err != nil {
		t.Fatal(err)
	}
	again.closeBindings()
	again.held.Close()
	again.starter.close()
	again.router.Close()
}

// alive is false for zombies too: init may be slow to reap.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func TestDaemonsInheritNothing(t *testing.T) {
	inherited, err := syscall.Dup(0) // as a careless parent leaves it: not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	CloseInherited()
	t.Setenv("SECRET", "value")
	r := start(t, nil)
	s := dialSession(t, r.status().Listeners[0].Address)
	if got := s.ask("environment"); strings.Contains(got, "SECRET") {
		t.Errorf("environment: %s", got)
	}
	if got := s.ask("descriptors"); got != "0 1 2 3" {
		t.Errorf("descriptors at the start: %s", got)
	}
}

func TestBoardsAreShown(t *testing.T) {
	r := start(t, nil)
	s := dialSession(t, r.status().Listeners[0].Address)
	s.ask("hostname")
	rows := serviceOf(r.status(), proto.SMTPD).Processes[0].Board
	if len(rows) != 1 || rows[0].Phase != "hostname" || rows[0].Peer != s.conn.LocalAddr().String() {
		t.Fatalf("%+v", rows)
	}
}

func TestFiguresAreShownWhenAskedFor(t *testing.T) {
	r := start(t, nil)
	if p := serviceOf(r.status(), proto.SMTPD).Processes[0]; p.Stats != nil {
		t.Errorf("nobody asked for %+v", p.Stats)
	}
	resp, err := control(r.dir).Get("http://master/v1/status?stats=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var st proto.Status
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		t.Fatal(err)
	}
	if p := serviceOf(&st, proto.SMTPD).Processes[0]; p.Stats == nil || p.Stats.CPU <= 0 || p.Board != nil {
		t.Errorf("%+v", p)
	}
}

func TestLogIsReopened(t *testing.T) {
	r := start(t, nil)
	st := r.status()
	s := dialSession(t, st.Listeners[0].Address)
	path := r.settings.Instance.LogFile()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	r.until("the daemon writes to the new log", func() bool {
		s.ask("log here-i-am")
		return strings.Contains(r.log(), "here-i-am")
	})
}

func TestStopByTheControlSocket(t *testing.T) {
	r := start(t, nil)
	r.status()
	resp, err := control(r.dir).Post("http://master/v1/stop", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("status %d", resp.StatusCode)
	}
	r.once.Do(func() {
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
	})
}

package script

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"filbert/pkg/resolve/resolvetest"
)

// patience is how long a script waits for something to happen. Long, because
// it only matters to a script that fails.
const patience = time.Minute

// world is all that belongs to one running script.
type world struct {
	dir  string // $WORK
	inst string // the instance
	bin  string
	port int
	hold net.Listener // on port

	dns       *resolvetest.Server
	authority *authority
	sinks     map[string]*sink
	maps      map[string]*mapServer
	loads     map[string]*load
	listeners map[string]string // name: address
	first     string            // the address of the first listener
	exit      int               // of the last program
	queued    []string          // ids that servers gave our messages
	killed    []int             // processes, since the last "back"
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// Params is what testscript needs to run the scripts of dir with the programs
// of bin.
func Params(dir, bin string) testscript.Params {
	return testscript.Params{
		Dir:                dir,
		Setup:              func(e *testscript.Env) error { return setup(e, bin) },
		Cmds:               commands,
		Condition:          condition,
		RequireUniqueNames: true,
	}
}

var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"filbert": filbert, "mtactl": mtactl, "sendmail": sendmail, "mailq": mailq, "status": status,
	"smtp": smtpDialogue, "send": send, "load": loadCommand,
	"dns": dnsCommand, "sink": sinkCommand, "sink-stop": sinkStop, "map": mapCommand, "map-stop": mapStop,
	"make-cdb": makeCDB, "make-sqlite": makeSQLite,
	"wait-mail": waitMail, "no-mail": noMail, "get-mail": getMail, "wait-sink": waitSink,
	"wait-log": waitLog, "log": logCommand, "wait-settled": waitSettled, "wait-queue": waitQueue,
	"wait-file": waitFile, "until": untilOutput, "same-message": sameMessage, "match": match, "report": report,
	"make-message": makeMessage, "control": control, "octets": octets,
	"tick": tick, "times": times,
}

func condition(name string) (bool, error) {
	if name == "root" {
		return os.Getuid() == 0, nil
	}
	if name == "elsewhere" {
		return elsewhere() != "", nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

func setup(e *testscript.Env, bin string) error {
	w := &world{
		dir: e.WorkDir, inst: filepath.Join(e.WorkDir, "i"), bin: bin,
		sinks: map[string]*sink{}, maps: map[string]*mapServer{}, loads: map[string]*load{}, listeners: map[string]string{},
	}
	u, err := user.Current()
	if err != nil {
		return err
	}
	name, err := w.startDNS()
	if err != nil {
		return err
	}
	if w.port, w.hold, err = freePort(); err != nil {
		return err
	}
	if err := w.startAuthority(e); err != nil {
		return err
	}
	e.Values[worldKey{}] = w
	for _, v := range []string{
		fmt.Sprintf("PORT=%d", w.port), "DNS=" + name, "MAIL=" + filepath.Join(w.inst, "mail"), "INST=" + w.inst,
		"BIN=" + bin, "ELSEWHERE=" + elsewhere(), "USER=" + u.Username, "FILBERT_INSTANCE=" + w.inst, "TZ=UTC",
	} {
		name, value, _ := strings.Cut(v, "=")
		e.Setenv(name, value)
	}
	t, _ := e.T().(interface {
		Failed() bool
		Log(...any)
	})
	e.Defer(func() {
		w.end()
		if t != nil && t.Failed() {
			t.Log(w.artefacts())
		}
	})
	return nil
}

var nextPort atomic.Int32

// heldAt is where a script listens on its port as long as it lives, so that no other
// process that looks for ports takes it between two servers. No script uses this address.
const heldAt = "127.255.255.254"

// freePort gives a port for the script's sinks, which listen on different
// addresses of loopback, and what holds it. It lies below the range from which the
// kernel picks ports, so that no other listener or connection gets it by chance.
func freePort() (port int, hold net.Listener, err error) {
	for range 2000 {
		port = 20000 + (os.Getpid()*37+int(nextPort.Add(1)))%10000
		l, err := net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", port))
		if err != nil {
			continue
		}
		l.Close()
		if hold, err = net.Listen("tcp", fmt.Sprintf("%s:%d", heldAt, port)); err == nil {
			return port, hold, nil
		}
	}
	return 0, nil, fmt.Errorf("no port is free between 20000 and 30000")
}

// end stops all that the script has started.
func (w *world) end() {
	for _, l := range w.loads {
		l.stop()
	}
	for _, pid := range w.pids() {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	if pid := w.masterPID(); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		w.awaitEnd(pid, 5*time.Second)
	}
	// Whoever is left is ended by its number, children after their master so
	// that none is started again.
	for range 3 {
		for _, pid := range w.pids() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			w.awaitEnd(pid, 5*time.Second)
		}
	}
	for _, s := range w.sinks {
		s.close()
	}
	for _, m := range w.maps {
		m.close()
	}
	if w.dns != nil {
		w.dns.Close()
	}
	w.hold.Close()
	w.unmount()
}

// unmount takes away what a script that failed has left mounted: its directory
// could not be removed.
func (w *world) unmount() {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], w.dir+"/") {
			_ = syscall.Unmount(f[1], syscall.MNT_DETACH) // else the directory stays, and is seen
		}
	}
}

// awaitEnd waits until a process is gone.
func (w *world) awaitEnd(pid int, atMost time.Duration) bool {
	for until := time.Now().Add(atMost); time.Now().Before(until); time.Sleep(pollEvery) {
		if !alive(pid) {
			return true
		}
	}
	return false
}

// alive tells whether a process runs; one that has ended and whose parent has
// not asked for its status does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// stands tells whether all threads of a process are stopped.
func stands(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range threads {
		b, readErr := os.ReadFile(path)
		if readErr != nil {
			return false // it may have made another
		}
		if _, rest, _ := strings.Cut(string(b), ") "); !strings.HasPrefix(rest, "T") {
			return false
		}
	}
	return err == nil && len(threads) > 0
}

var pidField = regexp.MustCompile(`did=started .*\bpid=(\d+)`)

// pids are the live processes of the instance: master, and those that the log
// names, as long as they run a program of ours.
func (w *world) pids() []int {
	var out []int
	if pid := w.masterPID(); pid != 0 {
		out = append(out, pid)
	}
	for _, m := range pidField.FindAllStringSubmatch(w.log(), -1) {
		var pid int
		_, _ = fmt.Sscan(m[1], &pid)
		if w.runs(pid) {
			out = append(out, pid)
		}
	}
	return out
}

// masterPID is the live master's, 0 if there is none.
func (w *world) masterPID() int {
	b, err := os.ReadFile(filepath.Join(w.inst, "run", "master.lock"))
	if err != nil {
		return 0
	}
	var pid int
	if _, err := fmt.Sscan(string(b), &pid); err != nil || !w.runs(pid) {
		return 0
	}
	return pid
}

// runs tells whether a process is alive and one of our programs.
func (w *world) runs(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && strings.HasPrefix(exe, w.bin+"/") && alive(pid)
}

// log is the instance's log so far.
func (w *world) log() string {
	b, _ := os.ReadFile(filepath.Join(w.inst, "log", "filbert.log"))
	return string(b)
}

// artefacts are what one wants to see of a script that failed.
func (w *world) artefacts() string {
	lines := strings.Split(strings.TrimSpace(w.log()), "\n")
	if n := len(lines); n > 40 {
		lines = lines[n-40:]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the end of the log:\n%s\n", strings.Join(lines, "\n"))
	if said, err := os.ReadFile(filepath.Join(w.inst, "log", "start.err")); err == nil && len(said) > 0 {
		fmt.Fprintf(&b, "master and the daemons said:\n%s\n", said[max(0, len(said)-8000):])
	}
	for name, s := range w.sinks {
		fmt.Fprintf(&b, "%s:\n%s\n", name, s.tail())
	}
	return b.String()
}

// expand fills in ${NAME}; a name that is not set stays, so that mistakes show.
func expand(ts *testscript.TestScript, text string) string {
	return variable.ReplaceAllStringFunc(text, func(s string) string {
		if v := ts.Getenv(s[2 : len(s)-1]); v != "" {
			return v
		}
		return s
	})
}

var variable = regexp.MustCompile(`\$\{[A-Z][A-Z0-9_]*\}`)

// read is a file of the case with its variables filled in.
func read(ts *testscript.TestScript, name string) string { return expand(ts, ts.ReadFile(name)) }

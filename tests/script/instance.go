package script

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"filbert/pkg/proto"
	"github.com/rogpeppe/go-internal/testscript"
)

func (w *world) program(name string) string { return filepath.Join(w.bin, name) }

// run runs a program, whose output the script may look at, and keeps its exit
// status.
func run(ts *testscript.TestScript, neg bool, program string, args ...string) {
	w := worldOf(ts)
	err := ts.Exec(program, args...)
	w.exit = 0
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended):
		w.exit = ended.ExitCode()
	case err != nil:
		ts.Fatalf("run %s: %v", program, err)
	}
	switch {
	case neg && err == nil:
		ts.Fatalf("%s %s: should have failed", filepath.Base(program), strings.Join(args, " "))
	case !neg && err != nil:
		ts.Fatalf("%s %s: %v", filepath.Base(program), strings.Join(args, " "), err)
	}
}

func status(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "status N")
	if got, want := worldOf(ts).exit, number(ts, args[0]); got != want {
		ts.Fatalf("the program ended with exit status %d, not %d", got, want)
	}
}

func mtactl(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	run(ts, neg, w.program("mtactl"), append([]string{"-C", w.inst}, args...)...)
}

func sendmail(ts *testscript.TestScript, neg bool, args []string) {
	run(ts, neg, worldOf(ts).program("sendmail"), args...)
}

func mailq(ts *testscript.TestScript, neg bool, args []string) {
	run(ts, neg, worldOf(ts).program("mailq"), args...)
}

func filbert(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) > 0, "filbert init|etc|start|stop|reload|kill|pause|continue|back|gone")
	w, rest := worldOf(ts), args[1:]
	switch args[0] {
	case "init":
		initialize(ts, neg, rest)
	case "etc":
		w.putEtc(ts)
	case "start":
		mtactl(ts, neg, append([]string{"start"}, rest...))
		if !neg {
			w.learn(ts)
		}
	case "stop":
		mtactl(ts, neg, []string{"stop"})
	case "reload":
		mtactl(ts, neg, []string{"reload"})
		if !neg {
			w.learn(ts)
		}
	case "kill":
		usage(ts, len(rest) > 0, "filbert kill NAME [SIGNAL]")
		sig := "KILL"
		if len(rest) > 1 {
			sig = rest[1]
		}
		w.kill(ts, rest[0], sig)
	case "pause":
		w.pause(ts, rest[0])
	case "continue":
		w.signal(ts, rest[0], syscall.SIGCONT)
	case "back":
		w.awaitBack(ts)
	case "gone":
		until(ts, func() (bool, string) {
			left := w.pids()
			return len(left) == 0, fmt.Sprintf("processes %v are left", left)
		})
	default:
		ts.Fatalf("filbert %s: unknown", args[0])
	}
}

func initialize(ts *testscript.TestScript, neg bool, args []string) {
	if !contains(args, "--hostname") {
		args = append([]string{"--hostname", "mail.test"}, args...)
	}
	if !contains(args, "--dns") {
		args = append([]string{"--dns", ts.Getenv("DNS")}, args...)
	}
	mtactl(ts, neg, append([]string{"init"}, args...))
	if !neg {
		worldOf(ts).putEtc(ts)
	}
}

// putEtc copies the case's files under etc/ into the instance.
func (w *world) putEtc(ts *testscript.TestScript) {
	from := filepath.Join(w.dir, "etc")
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		to := filepath.Join(w.inst, "etc", rel)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		text := read(ts, path)
		if rel == "filbert.toml" && !strings.Contains(text, ts.Getenv("DNS")) {
			return errors.New("etc/filbert.toml must ask the name server ${DNS}, or it would ask the Internet")
		}
		// Renamed into place, since a running suite may read it.
		if err := os.WriteFile(to+".new", []byte(text), 0o600); err != nil {
			return err
		}
		return os.Rename(to+".new", to)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		ts.Fatalf("put etc/ into the instance: %v", err)
	}
}

// status asks master.
func (w *world) status() (*proto.Status, error) {
	// Its exit status is 75 while a service is down, which is an answer too.
	out, err := exec.Command(w.program("mtactl"), "-C", w.inst, "status", "--json").Output()
	var st proto.Status
	if len(out) == 0 && err != nil {
		return &st, err
	}
	return &st, json.Unmarshal(out, &st)
}

// learn finds out where the suite listens.
func (w *world) learn(ts *testscript.TestScript) {
	st, err := w.status()
	ts.Check(err)
	w.listeners, w.first = map[string]string{}, ""
	for _, l := range st.Listeners {
		if strings.HasPrefix(l.Address, "/") {
			continue
		}
		w.listeners[l.Name] = l.Address
		ts.Setenv("MX_"+strings.ToUpper(strings.ReplaceAll(l.Name, "-", "_")), l.Address)
		if w.first == "" {
			w.first = l.Address
			ts.Setenv("MX", l.Address)
		}
	}
}

// address is where a listener of that name listens, "" being the first.
func (w *world) address(ts *testscript.TestScript, name string) string {
	a := w.first
	if name != "" {
		a = w.listeners[name]
	}
	if a == "" {
		ts.Fatalf("the suite has no listener %q (it has %v)", name, w.listeners)
	}
	return a
}

// processes are the numbers of a service's processes.
func (w *world) processes(ts *testscript.TestScript, name string) []int {
	if name == "master" {
		if pid := w.masterPID(); pid != 0 {
			return []int{pid}
		}
		ts.Fatalf("master does not run")
	}
	st, err := w.status()
	ts.Check(err)
	var out []int
	for _, s := range st.Services {
		if s.Name != name {
			continue
		}
		for _, p := range s.Processes {
			out = append(out, p.PID)
		}
	}
	return out
}

// kill sends a signal to a service and waits until its processes are gone.
func (w *world) kill(ts *testscript.TestScript, name, signal string) {
	signals := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT}
	sig, ok := signals[signal]
	usage(ts, ok, "filbert kill NAME [KILL|TERM|INT]")
	pids := w.running(ts, name)
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			ts.Fatalf("kill %s: %v", name, err)
		}
	}
	for _, pid := range pids {
		if !w.awaitEnd(pid, patience) {
			ts.Fatalf("%s, pid %d, lives on after signal %s", name, pid, signal)
		}
	}
	w.killed = append(w.killed, pids...)
}

// running waits until a service has processes: one that is just being started has none
// yet.
func (w *world) running(ts *testscript.TestScript, name string) (pids []int) {
	until(ts, func() (bool, string) {
		pids = w.processes(ts, name)
		return len(pids) > 0, "no process of " + name + " runs"
	})
	return pids
}

// pause stops a service and waits until it stands: a thread that runs on another
// processor goes on for some milliseconds after the signal was sent.
func (w *world) pause(ts *testscript.TestScript, name string) {
	for _, pid := range w.running(ts, name) {
		ts.Check(syscall.Kill(pid, syscall.SIGSTOP))
		until(ts, func() (bool, string) {
			return stands(pid), fmt.Sprintf("%s, pid %d, has threads that run", name, pid)
		})
	}
}

func (w *world) signal(ts *testscript.TestScript, name string, sig syscall.Signal) {
	for _, pid := range w.processes(ts, name) {
		ts.Check(syscall.Kill(pid, sig))
	}
}

// awaitBack waits until all services run again. Master may not have seen yet that one
// was killed.
func (w *world) awaitBack(ts *testscript.TestScript) {
	until(ts, func() (bool, string) {
		st, err := w.status()
		if err != nil {
			return false, err.Error()
		}
		for _, s := range st.Services {
			running := s.State == "idle"
			for _, p := range s.Processes {
				if slices.Contains(w.killed, p.PID) {
					return false, fmt.Sprintf("%s still has the process %d, which was killed", s.Name, p.PID)
				}
				running = running || p.State == "running"
			}
			if !running {
				return false, fmt.Sprintf("%s is in state %s", s.Name, s.State)
			}
		}
		return st.State == "running", "the suite is " + st.State
	})
	w.killed = nil // their numbers may be given out again
}

package master

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// starter starts all processes from one thread that lives as long as master.
//
// The kernel sends the parent's death signal when the THREAD that made the
// child ends. A goroutine that happens to run on a thread of which the runtime
// disposes would kill healthy daemons.
type starter struct {
	jobs chan func()
}

func newStarter() *starter {
	s := &starter{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

// start starts cmd so that it dies with master.
func (s *starter) start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	// A group of its own: the terminal's Ctrl-C is for master, which knows the
	// order in which to stop.
	cmd.SysProcAttr.Setpgid = true
	done := make(chan error, 1)
	s.jobs <- func() { done <- cmd.Start() }
	return <-done
}

// close ends the thread. Requires: no process that it started lives.
func (s *starter) close() { close(s.jobs) }

// environment is all that a daemon sees of master's: the time zone, and where the
// authorities are that vouch for servers, for those who have their own.
func environment() []string {
	env := []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C"}
	for _, name := range []string{"TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

package mtactl

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/config"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

const (
	startTimeout = time.Minute
	pollEvery    = 50 * time.Millisecond
	shownLines   = 15 // of the log, when a start failed
)

func (a *app) startCommand() *cobra.Command {
	var foreground bool
	c := &cobra.Command{
		Use:   "start",
		Short: "start the suite, and wait until it serves",
		Long: `start checks the configuration, starts master, and returns when all services
are there. When they are not, it shows why and the last lines of the log.`,
		Example: `  mtactl start
  mtactl -C ~/mta start
  mtactl start --foreground            for systemd, or to watch it`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.start(foreground) },
	}
	c.Flags().BoolVar(&foreground, "foreground", false, "become master instead of starting it; Ctrl-C stops the suite")
	return c
}

func (a *app) start(foreground bool) error {
	l, err := a.load()
	if err != nil {
		return err
	}
	a.problems(l.Problems)
	inst := l.Settings.Instance
	if st, err := a.status(inst, false); err == nil {
		fmt.Fprintf(a.Out, "Filbert runs already (pid %d).\n", st.PID)
		return nil
	}
	path, args, err := masterCommand(inst)
	if err != nil {
		return err
	}
	if err := makeDirs(inst); err != nil {
		return err
	}
	if foreground {
		err := syscall.Exec(path, args, os.Environ())
		return fail(exSoftware, "", "run %s", path).because(err)
	}
	return a.background(l, path, args)
}

// masterCommand is the program to run with its arguments.
func masterCommand(inst settings.Instance) (string, []string, error) {
	path := filepath.Join(inst.Libexec, "master")
	if _, err := os.Stat(path); err != nil {
		return "", nil, fail(exUnavailable, "in a source tree run `make build`; else install the package again",
			"the program master is not in %s", inst.Libexec)
	}
	args := []string{path}
	if inst.Private {
		args = append(args, "-C", inst.Dir)
	}
	return path, args, nil
}

// background starts master detached from the terminal and waits for it.
func (a *app) background(l *config.Loaded, path string, args []string) error {
	inst := l.Settings.Instance
	// Master says on standard error what keeps it from starting. A pipe would
	// break when we end, so it is a file.
	said, err := os.OpenFile(filepath.Join(inst.Log, "start.err"), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o640)
	if err != nil {
		return fail(exCantCreate, a.self()+" check tells what is wrong with the directories", "open the file for master's messages").because(err)
	}
	defer said.Close()
	from := fileSize(inst.LogFile())
	cmd := &exec.Cmd{Path: path, Args: args, Dir: "/", Stdout: said, Stderr: said, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := cmd.Start(); err != nil {
		return fail(exUnavailable, "", "start master").because(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	st, err := a.waitStarted(inst, ended)
	if err != nil {
		a.whyNot(inst, said, from)
		x := &examiner{s: l.Settings, inst: inst}
		x.ports() // the usual reason, with what to do about it
		a.printFindings(x.findings)
		return err
	}
	fmt.Fprintf(a.Out, "Filbert runs (pid %d).\n", st.PID)
	a.listeners(st)
	return nil
}

// waitStarted polls the control socket until master says that it serves, or is
// gone.
func (a *app) waitStarted(inst settings.Instance, ended <-chan error) (*proto.Status, error) {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case err := <-ended:
			return nil, fail(exUnavailable, "", "master did not start").because(err)
		case <-a.ctx.Done():
			return nil, fail(exTempFail, "", "interrupted while the suite was starting")
		case <-deadline.C:
			return nil, fail(exUnavailable, a.self()+" status -v shows who is missing", "the suite does not serve after %s", startTimeout)
		case <-poll.C:
			st, err := a.status(inst, false)
			if err == nil && st.State == "running" {
				return st, nil
			}
			if err != nil && !errors.Is(err, errNotRunning) {
				return nil, err
			}
		}
	}
}

// whyNot shows what master and the log said since the start.
func (a *app) whyNot(inst settings.Instance, said *os.File, from int64) {
	if _, err := said.Seek(0, io.SeekStart); err == nil {
		if b, _ := io.ReadAll(io.LimitReader(said, 64<<10)); len(b) > 0 {
			fmt.Fprintf(a.Err, "%s\n", strings.TrimRight(showLines(string(b)), "\n"))
		}
	}
	lines := lastLines(inst.LogFile(), from, shownLines)
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(a.Err, "The last lines of %s:\n", inst.LogFile())
	for _, line := range lines {
		fmt.Fprintf(a.Err, "    %s\n", show(line))
	}
}

func showLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = show(lines[i])
	}
	return strings.Join(lines, "\n")
}

func fileSize(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}

func (a *app) stopCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stop",
		Short: "stop the suite, and wait until it has ended",
		Long: `stop lets every program finish what it has in hand (for limits.drain_timeout at
most) and waits for the end. Mail that is not delivered yet stays on disk.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.stop() },
	}
}

func (a *app) stop() error {
	inst, err := a.instance()
	if err != nil {
		return err
	}
	st, err := a.status(inst, false)
	if errors.Is(err, errNotRunning) {
		fmt.Fprintln(a.Out, "Filbert does not run.")
		return nil
	}
	if err != nil {
		return err
	}
	if err := a.master(inst).post(a.ctx, "/v1/stop", nil, nil); err != nil {
		return err
	}
	deadline := time.NewTimer(stopTimeout(inst))
	defer deadline.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case <-a.ctx.Done():
			return fail(exTempFail, "the suite goes on stopping", "interrupted while waiting")
		case <-deadline.C:
			return fail(exTempFail, fmt.Sprintf("kill -TERM %d ends it without waiting longer; nothing on disk is lost", st.PID), "the suite has not ended yet (pid %d)", st.PID)
		case <-poll.C:
			if !held(inst) {
				fmt.Fprintln(a.Out, "Filbert has stopped.")
				return nil
			}
		}
	}
}

// stopTimeout is a little longer than the programs may drain.
func stopTimeout(inst settings.Instance) time.Duration {
	limit := settings.Default().Limits.DrainTimeout.D()
	if s, _, err := config.Load(inst.ConfigFile(), inst); err == nil {
		limit = s.Limits.DrainTimeout.D()
	}
	return 2*limit + 10*time.Second
}

// held says whether a master lives: it locks run/master.lock as long as it
// does, so a file that is only left over does not count.
func held(inst settings.Instance) bool {
	f, err := os.Open(filepath.Join(inst.Run, "master.lock"))
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}

func (a *app) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "put a changed configuration in force",
		Long: `reload checks the configuration and, if it has no mistakes, puts it in force
without refusing or dropping a connection: old processes finish what they have
begun, new ones take what comes. A configuration with mistakes changes nothing.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.reload() },
	}
}

func (a *app) reload() error {
	l, err := a.load()
	if err != nil {
		return err
	}
	a.problems(l.Problems)
	var res proto.ReloadResult
	if err := a.master(l.Settings.Instance).post(a.ctx, "/v1/reload", nil, &res); err != nil {
		return a.reloadRefused(err)
	}
	for _, p := range res.Problems {
		fmt.Fprintln(a.Err, show(p))
	}
	fmt.Fprint(a.Out, "The configuration is in force")
	if len(res.Restarted) > 0 {
		fmt.Fprintf(a.Out, "; new processes for %s", strings.Join(res.Restarted, ", "))
	}
	fmt.Fprintln(a.Out, ".")
	return nil
}

package localdeliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// commandPath is the PATH of children and commands.
const commandPath = "/usr/local/bin:/usr/bin:/bin"

// lastOutput is how long the output is waited for after a command has ended: a
// daemon that it left behind may keep it open for ever.
const lastOutput = time.Second

// command runs the command of a pipe with the message on its standard input.
func (w *worker) command(ctx context.Context, d *delivery) *proto.LocalDone {
	args, err := d.arguments()
	if err == nil {
		var env []string
		if env, err = d.environment(); err == nil {
			return d.run(ctx, args, env)
		}
	}
	if errors.Is(err, errTemplate) {
		return ended(outcome.Defer(outcome.Internal, statusConfig, "transport %q: %v", d.Job.Transport, err))
	}
	return ended(outcome.Fail(outcome.Content, smtp.Status{Class: 5, Subject: 1, Detail: 3},
		"an address that cannot be given to a command: %v", err))
}

// run starts the command and judges its end.
func (d *delivery) run(ctx context.Context, args, env []string) *proto.LocalDone {
	limit := d.t.Timeout.D()
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	output := &cut{left: int(d.t.MaxOutput)}
	complaint := output
	if d.t.Returns == returnsReport {
		// A warning of the script's is nothing for whoever wrote to us.
		complaint = &cut{left: maxComplaint}
	}
	cmd := exec.CommandContext(timed, args[0])
	cmd.Args, cmd.Env, cmd.Dir = args, env, d.workDir()
	cmd.Stdout, cmd.Stderr = output, complaint
	cmd.WaitDelay = lastOutput
	// A session of its own, so that the time limit reaches what it started,
	// and no command outlives a child that is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	in := &input{text: d.text, abort: cmd.Cancel}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return ended(outcome.Defer(outcome.Internal, statusSystem, "make a pipe: %v", err))
	}
	// The signal at the parent's death is sent at the death of the thread
	// that started the command: keep that thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return ended(outcome.Defer(outcome.Command, statusConfig, "start the command: %v", err))
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		in.feed(stdin)
	}()
	werr := cmd.Wait() // closes stdin, which ends feed
	<-fed
	done := &proto.LocalDone{Output: untrusted.From(output.String())}
	switch {
	case in.err != nil:
		done.Outcome = outcome.Defer(outcome.Internal, statusSystem, "read the message: %v", in.err)
	case werr != nil && ctx.Err() != nil:
		done.Outcome = outcome.Defer(outcome.Internal, statusSystem, "the suite stopped while %s ran", args[0])
	case werr != nil && timed.Err() != nil:
		done.Outcome = outcome.Defer(outcome.Command, statusSystem, "%s did not end within %s", args[0], limit)
	case d.t.Returns == returnsReport:
		done.Outcome = judgeReport(cmd.ProcessState, werr, complaint.String())
	default:
		done.Outcome = judge(cmd.ProcessState, werr, output.String())
	}
	if d.t.Returns == returnsReport && done.Outcome.Class != outcome.Failed {
		done.Output = untrusted.Text{} // half a text, for a report that is not made
	}
	return done
}

// workDir is the home where there is one. Commands of users without (nobody)
// run in the root directory.
func (d *delivery) workDir() string {
	if info, err := os.Stat(d.Actor.Home); err == nil && info.IsDir() {
		return d.Actor.Home
	}
	return "/"
}

// input feeds the message to a command.
type input struct {
	text  *text
	abort func() error
	err   error // the message could not be read whole
}

// feed writes the message and closes w. A command that does not want all of it
// is judged by its exit status alone, so the writer's errors do not count. When the
// message itself cannot be read, the command is killed before it could take the
// end of its input for the end of the message.
func (in *input) feed(w io.WriteCloser) {
	err := in.text.writeTo(w, nil)
	if errors.Is(err, errShort) {
		in.err = err
		_ = in.abort()
	}
	_ = w.Close()
}

// cut keeps the first bytes of a command's output and takes the rest, so that
// the command neither waits nor dies of it.
type cut struct {
	mu   sync.Mutex // a daemon left behind may write while the report is made
	left int
	kept []byte
}

func (c *cut) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(p), c.left)
	c.kept = append(c.kept, p[:n]...)
	c.left -= n
	return len(p), nil
}

func (c *cut) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.kept)
}

// returnsReport is the value of a transport's `returns` by which its command
// writes a part of the report and delivers nothing.
const returnsReport = "report"

// judgeReport turns the end of a command that writes a part of the report into
// an outcome. Whatever the command says when it fails, the mail waits: a report
// without its words would tell the sender less than he should know.
func judgeReport(state *os.ProcessState, err error, complaint string) outcome.Outcome {
	o := judge(state, err, complaint)
	if o.Class == outcome.Delivered {
		return outcome.Fail(outcome.UnknownUser, smtp.Status{Class: 5, Subject: 1, Detail: 1}, "there is no such user here")
	}
	if o.Class != outcome.Deferred {
		o.Class, o.Status = outcome.Deferred, statusSystem
	}
	return o
}

// judge turns the end of a command into an outcome.
func judge(state *os.ProcessState, err error, output string) outcome.Outcome {
	if state == nil {
		return outcome.Defer(outcome.Command, statusSystem, "run the command: %v", err)
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || status.Signaled() {
		return outcome.Defer(outcome.Command, statusSystem, "the command was ended by signal %q%s",
			status.Signal(), firstLine(output))
	}
	code := status.ExitStatus()
	if code == 0 {
		return delivered("delivered to a command")
	}
	verdict := exitVerdict(code)
	text := fmt.Sprintf("the command ended with status %d (%s)%s", code, verdict.text, firstLine(output))
	return outcome.Outcome{Class: verdict.class, Kind: outcome.Command, Status: verdict.status, Text: untrusted.From(text)}
}

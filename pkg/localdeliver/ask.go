package localdeliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// maxComplaint bounds what is kept of what a program prints on standard error.
const maxComplaint = 4 << 10

// ask runs the program of a director or router.
func (w *worker) ask(ctx context.Context, req *childAsk) *proto.ConsultAnswer {
	args, err := fillArguments(req.Command, req.value)
	if errors.Is(err, untrusted.ErrUnsafe) {
		// An address like this will never fit: waiting does not help, and it must
		// not look as if the program were at fault.
		return &proto.ConsultAnswer{Output: untrusted.From("fail an address that cannot be given to a command\n")}
	}
	if err != nil {
		return &proto.ConsultAnswer{Trouble: err.Error()}
	}
	out, err := req.run(ctx, args)
	if err != nil {
		return &proto.ConsultAnswer{Trouble: fmt.Sprintf("%s %v", args[0], err)}
	}
	return &proto.ConsultAnswer{Output: untrusted.From(out)}
}

// value gives a placeholder.
func (m *childAsk) value(name string) (string, error) {
	switch name {
	case "local_part":
		return m.Query.LocalPart, nil
	case "domain":
		return m.Query.Domain, nil
	case "detail":
		return m.Query.Detail, nil
	case "sender":
		return m.Query.Sender, nil
	case "recipient":
		return m.Query.Recipient, nil
	}
	return "", fmt.Errorf("%w: there is no placeholder {%s}", errTemplate, name)
}

// run runs the program and gives what it printed. Nothing that it started is
// left when this returns, but what began a session of its own.
func (m *childAsk) run(ctx context.Context, args []string) (string, error) {
	timed, cancel := context.WithTimeout(ctx, m.Timeout)
	defer cancel()
	cmd := exec.CommandContext(timed, args[0])
	cmd.Args, cmd.Dir = args, "/"
	cmd.Env = []string{"PATH=" + commandPath, "HOME=" + m.Actor.Home, "USER=" + m.Actor.Name, "LOGNAME=" + m.Actor.Name}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	stdout, stderr := &printed{cut: cut{left: proto.MaxConsulted + 1}}, &printed{cut: cut{left: maxComplaint}}
	var err error
	if cmd.Stdout, err = stdout.open(); err != nil {
		return "", err
	}
	defer stdout.close()
	if cmd.Stderr, err = stderr.open(); err != nil {
		return "", err
	}
	defer stderr.close()
	// The signal at the parent's death comes at the death of this thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("can't be started: %w", cause(err))
	}
	stdout.collect()
	stderr.collect()
	werr := cmd.Wait()
	// What it left behind may hold its output open.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	stdout.finish()
	stderr.finish()
	output, complaint := stdout.String(), firstLine(stderr.String())
	switch {
	case werr != nil && ctx.Err() != nil:
		return "", errors.New("was ended, as the suite stopped")
	case werr != nil && timed.Err() != nil:
		return "", fmt.Errorf("did not end within %s%s", m.Timeout, complaint)
	case werr != nil:
		return "", fmt.Errorf("ended with %w%s", werr, complaint)
	case len(output) > proto.MaxConsulted:
		return "", fmt.Errorf("printed more than %d octets", proto.MaxConsulted)
	}
	return output, nil
}

// printed collects what a program prints. exec.Cmd could do so, but would wait
// for whoever holds the pipe before anybody could end him.
type printed struct {
	cut
	reader, writer *os.File
	done           sync.WaitGroup
}

func (p *printed) open() (*os.File, error) {
	var err error
	p.reader, p.writer, err = os.Pipe()
	return p.writer, err
}

// collect begins to read. The program has its end of the pipe by now.
func (p *printed) collect() {
	_ = p.writer.Close()
	p.done.Go(func() { _, _ = io.Copy(p, p.reader) })
}

// finish waits for the end, but not for ever: a daemon in a session of its own
// may hold the pipe.
func (p *printed) finish() {
	_ = p.reader.SetReadDeadline(time.Now().Add(lastOutput))
	p.done.Wait()
}

func (p *printed) close() {
	_ = p.reader.Close()
	_ = p.writer.Close()
}

// fillArguments is a command of the configuration with its placeholders filled
// in, each within one argument. The program itself is never chosen by a message.
func fillArguments(command []string, value func(name string) (string, error)) ([]string, error) {
	if len(command) == 0 || !strings.HasPrefix(command[0], "/") {
		return nil, fmt.Errorf("%w: no command with the full path of a program", errTemplate)
	}
	args := []string{command[0]}
	for _, template := range command[1:] {
		arg, err := fillArgument(template, value)
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
	}
	return args, nil
}

// fillArgument fills one argument. A value that would turn the argument into an
// option, or make another one of it, is refused; hyphens of the template are the
// administrator's: "--user={local_part}".
func fillArgument(template string, value func(name string) (string, error)) (string, error) {
	arg, err := expand(template, value)
	if err != nil || arg == template {
		return arg, err
	}
	hyphens := len(template) - len(strings.TrimLeft(template, "-"))
	rest, err := untrusted.From(arg[hyphens:]).ForArg()
	return template[:hyphens] + rest, err
}

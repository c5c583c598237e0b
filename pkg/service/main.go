package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"filbert/pkg/clock"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// Exit statuses of a daemon.
const (
	exitDrained   = 0
	exitTrouble   = 1
	exitOrphaned  = 3
	exitStartedBy = 64 // EX_USAGE: started by hand
)

// controlFD is the daemon's end of its socket pair with master.
const controlFD = 3

// Limits of every daemon that states none of its own and starts no programs.
// Procs counts the threads of all daemons of a user; FileSize bounds what one gone
// wild can fill, and is more than any file of ours needs.
const (
	daemonProcs    = 4096
	daemonFileSize = 64 << 30
)

// startTimeout is how long master may take to send the start frame.
const startTimeout = 30 * time.Second

// Main runs a daemon to its end. It does not return.
func Main(name string, d Daemon) {
	os.Exit(run(proto.Service(name), d))
}

func run(name proto.Service, d Daemon) int {
	thrift()
	ignoreTerminal()
	c, err := openControl()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: this program is run by master, not by hand (%v)\n", name, err)
		return exitStartedBy
	}
	p, start, err := configure(name, c)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: configure: %v\n", name, err)
		return exitTrouble
	}
	defer p.Log.Close()
	c.attach(p)
	report, err := prepare(p, d)
	if err != nil {
		p.Log.Emit(event.TroubleOf(0, "starting "+p.Name(), err))
		return exitTrouble
	}
	start.Reply(&proto.Ready{Confined: report})
	drainOnSignal(p)
	return finish(p, d.Serve(p.Context(), p))
}

// ignoreTerminal leaves Ctrl-C and the like to master, who knows the order in
// which the suite stops.
func ignoreTerminal() {
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
}

// configure waits for the start frame and makes the process it describes.
func configure(name proto.Service, c *control) (*Process, *ipc.Call, error) {
	call, err := c.waitForStart()
	if err != nil {
		return nil, nil, err
	}
	var m proto.Start
	if err := call.Decode(&m); err != nil {
		return nil, nil, err
	}
	if m.Service != name {
		return nil, nil, fmt.Errorf("master calls this program %q", m.Service)
	}
	var s settings.Settings
	if err := json.Unmarshal(m.Settings, &s); err != nil {
		return nil, nil, fmt.Errorf("read the settings: %w", err)
	}
	listeners, err := adopt(m.Listeners, call.Files)
	if err != nil {
		return nil, nil, err
	}
	var moved *clock.Clock
	if m.ClockMoves {
		moved = clock.New(m.ClockAhead)
	}
	m.Settings, m.Listeners = nil, nil
	return New(Wiring{
		Start:     m,
		Settings:  &s,
		Log:       newLog(c.log, name, &s, moved),
		Clock:     moved,
		Listeners: listeners,
		Dial:      c.dial,
		Tell: func(ctx context.Context, req, reply ipc.Message) error {
			return c.conn.Call(ctx, req, reply)
		},
	}), call, nil
}

func newLog(out *logFile, name proto.Service, s *settings.Settings, c *clock.Clock) *event.Log {
	return event.New(out, string(name), event.Options{
		Format: event.Format(s.Log.Format),
		Debug:  slices.Contains(s.Log.Debug, string(name)) || slices.Contains(s.Log.Debug, "all"),
		Now:    c.Now,
	})
}

// adopt turns the descriptors of a start frame into listeners.
func adopt(infos []proto.ListenerInfo, files []*os.File) ([]NamedListener, error) {
	if len(infos) != len(files) {
		return nil, fmt.Errorf("%d listeners named, %d descriptors came", len(infos), len(files))
	}
	var out []NamedListener
	for i, info := range infos {
		l, err := net.FileListener(files[i])
		files[i].Close()
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", info.Name, err)
		}
		if u, ok := l.(*net.UnixListener); ok {
			// The path is master's: an ending daemon must not remove it.
			u.SetUnlinkOnClose(false)
		}
		out = append(out, NamedListener{info.Kind, info.Name, info.Address, l})
	}
	return out, nil
}

// prepare is the part with privilege: open, drop, confine, assert.
func prepare(p *Process, d Daemon) (string, error) {
	if err := d.Open(p); err != nil {
		return "", fmt.Errorf("open: %w", err)
	}
	spec := d.Confinement(p)
	was := reach(spec)
	p.outgrown = func() bool { return !slices.Equal(was, reach(d.Confinement(p))) }
	start := &p.wiring.Start
	if start.Separate && spec.Identity == nil && start.UID != 0 {
		spec.Identity = &privsep.Identity{UID: int(start.UID), GID: int(start.GID)}
	}
	spec.ParentDeath = syscall.SIGKILL // as master asked when it started us
	if spec.Seccomp != privsep.SeccompNone {
		spec.Limits.Procs = cmp.Or(spec.Limits.Procs, daemonProcs)
		spec.Limits.FileSize = cmp.Or(spec.Limits.FileSize, daemonFileSize)
	}
	report, err := privsep.Confine(spec)
	if err != nil {
		return "", err
	}
	if err := privsep.Assert(spec); err != nil {
		return "", fmt.Errorf("assert: %w", err)
	}
	return report.String(), nil
}

// reach is what a process may get to, by name, in one order.
func reach(s privsep.Spec) []string {
	var out []string
	add := func(what string, names []string) {
		for _, n := range names {
			out = append(out, what+" "+n)
		}
	}
	add("root", []string{s.Chroot})
	add("read", s.Read)
	add("write", s.Write)
	add("exec", s.Exec)
	add("socket", s.Sockets)
	for i, ports := range []privsep.Ports{s.ConnectTCP, s.BindTCP, s.ConnectUDP, s.BindUDP} {
		for _, port := range ports {
			out = append(out, fmt.Sprintf("ports %d %d", i, port))
		}
	}
	slices.Sort(out)
	return out
}

// drainOnSignal lets `kill PID` be gentle.
func drainOnSignal(p *Process) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		p.Drain(p.Settings().Limits.DrainTimeout.D(), Stop)
	}()
}

var errEnded = errors.New("ended without being asked to")

// finish turns the end of Serve into an exit status.
func finish(p *Process, err error) int {
	asked := false
	select {
	case <-p.Draining():
		asked = true
	default:
	}
	if err == nil && !asked {
		err = errEnded
	}
	p.Close()
	if err != nil && !(asked && errors.Is(err, context.Canceled)) {
		p.Log.Emit(event.TroubleOf(0, "serving", err))
		return exitTrouble
	}
	return exitDrained
}

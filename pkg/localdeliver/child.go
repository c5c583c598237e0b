package localdeliver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"filbert/pkg/clock"
	"filbert/pkg/ipc"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
)

// killWait is how long a killed child is waited for.
const killWait = 2 * time.Second

// ChildFlag is the argument that makes local-deliver a child: the program's
// main hands over to RunChild when it stands first.
const ChildFlag = "--child"

// childSocket is the descriptor of the socket to the parent.
const childSocket = 3

// child is a running child as the parent sees it. Fields below conn are the
// pool's and guarded by its mutex.
type child struct {
	cmd  *exec.Cmd
	conn *ipc.Conn
	done chan struct{} // closed when the process has ended

	key      childKey
	jobs     int
	commands int
	born     time.Time
	idle     *time.Timer
	stuck    bool // killed, and counted as such until it ends
	gone     bool // it has ended
}

// launcher starts children.
type launcher struct {
	program string   // "" = this program
	env     []string // tests add to the environment
}

// start runs this program again as the user of pl. The child gets no
// descriptor but /dev/null and its end of a socket pair, no signal of the
// terminal, and an environment of one variable.
func (l *launcher) start(pl plan) (*child, error) {
	ours, theirs, err := ipc.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	program := l.program
	if program == "" {
		// Not the path it was started by: the user may not be able to reach
		// it, and somebody may have put another program there since.
		program = "/proc/self/exe"
	}
	cmd := &exec.Cmd{
		Path:       program,
		Args:       []string{"local-deliver", ChildFlag, strconv.FormatInt(int64(pl.key.umask), 8)},
		Env:        append([]string{"PATH=" + commandPath}, l.env...),
		Dir:        "/",
		ExtraFiles: []*os.File{theirs},
		SysProcAttr: &syscall.SysProcAttr{
			Setsid: true,
		},
	}
	if pl.identity != nil {
		cmd.SysProcAttr.Credential = credential(pl)
	}
	uc, err := ipc.FileConn(ours)
	if err != nil {
		return nil, err
	}
	conn, err := ipc.NewConn(uc, ipc.Options{Caller: "child", MaxFrame: proto.MaxFrame})
	if err != nil {
		uc.Close()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		uc.Close()
		return nil, err
	}
	return &child{cmd: cmd, conn: conn, done: make(chan struct{})}, nil
}

func credential(pl plan) *syscall.Credential {
	c := &syscall.Credential{Uid: uint32(pl.identity.UID), Gid: uint32(pl.identity.GID)}
	for _, g := range pl.identity.Groups {
		c.Groups = append(c.Groups, uint32(g))
	}
	return c
}

// wait serves the connection until the child has ended.
func (c *child) wait() {
	served := make(chan struct{})
	go func() {
		// A child that breaks the protocol ends its own connection; its jobs
		// then fail with ipc.ErrGone, which is all there is to say about it.
		_ = c.conn.Serve(context.Background())
		close(served)
	}()
	_ = c.cmd.Wait()
	c.conn.Close()
	<-served
	close(c.done)
}

func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	case <-c.conn.Done():
		return true
	default:
		return false
	}
}

// retire tells the child to end, by the end of its socket.
func (c *child) retire() { c.conn.Close() }

func (c *child) kill() {
	c.conn.Close()
	_ = c.cmd.Process.Kill()
}

// RunChild is the main of a child. It ends when the parent closes the socket.
// args are those behind ChildFlag.
func RunChild(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s: a umask is wanted; local-deliver starts its children itself", ChildFlag)
	}
	umask, err := parseUmask(args[0])
	if err != nil {
		return err
	}
	syscall.Umask(umask)
	resetSignals()
	// Commands get none of what we have, nor of what our parent was started with.
	if err := privsep.CloseOnExec(); err != nil {
		return err
	}
	uc, err := ipc.FileConn(os.NewFile(childSocket, "parent"))
	if err != nil {
		return fmt.Errorf("connect to the parent: %w", err)
	}
	w := newWorker()
	w.useClock(clock.New(0))
	conn, err := ipc.NewConn(uc, ipc.Options{
		Handler:  ipc.Spawn(w.handle),
		Credits:  2 * jobsPerChild,
		MaxFrame: proto.MaxFrame,
		Caller:   "local-deliver",
	})
	if err != nil {
		return fmt.Errorf("connect to the parent: %w", err)
	}
	// The context of each call ends with the connection, and with it the
	// command that the call runs: no delivery outlives its parent unseen.
	err = conn.Serve(context.Background())
	w.running.Wait()
	return err
}

// resetSignals gives commands the usual meaning of the signals that the daemons
// ignore: a signal with a handler is put back to its default when another program
// is run, an ignored one stays ignored.
func resetSignals() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2)
}

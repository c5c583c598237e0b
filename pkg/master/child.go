package master

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

const (
	// readyTimeout bounds a daemon's way from its start to Ready. cleanup and
	// dispatch read the whole journal on it.
	readyTimeout = 5 * time.Minute

	// killGrace is added to the bound that a daemon was given to drain.
	killGrace = 2 * time.Second

	maxSaidLines = 100
	maxSaidLine  = 1000
)

// child is one process of a service.
type child struct {
	service proto.Service
	cmd     *exec.Cmd
	conn    *ipc.Conn
	started time.Time

	exited chan struct{} // closed when the process has ended
	status string        // how, valid after exited

	mu       sync.Mutex
	ready    bool
	draining bool
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// spawn starts a process of a service; bringUp does the rest.
func (m *Master) spawn(name proto.Service) (*child, error) {
	ours, theirs, err := ipc.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	uc, err := ipc.FileConn(ours)
	if err != nil {
		return nil, err
	}
	said, saying, err := os.Pipe()
	if err != nil {
		uc.Close()
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer saying.Close()

	c := &child{service: name, cmd: m.opts.command(name), exited: make(chan struct{})}
	c.cmd.Stdout = m.logFile()
	c.cmd.Stderr = saying
	c.cmd.ExtraFiles = []*os.File{theirs} // descriptor 3
	c.cmd.Dir = "/"
	c.conn, err = ipc.NewConn(uc, ipc.Options{
		Handler:  m.brokerFor(name),
		MaxFrame: proto.MaxControlFrame,
		Caller:   string(name),
	})
	if err == nil {
		c.started = m.clock.Now()
		err = m.starter.start(c.cmd)
	}
	if err != nil {
		said.Close()
		uc.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go m.watch(c, said)
	return c, nil
}

// watch waits for the end of a child and tells of it.
func (m *Master) watch(c *child, said *os.File) {
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := c.conn.Serve(context.Background()); err != nil {
			m.log.Emit(event.TroubleOf(0, "control channel of "+string(c.service), err))
		}
	}()
	told := make(chan struct{})
	go func() {
		defer close(told)
		m.listenTo(c, said)
	}()
	_ = c.cmd.Wait()
	c.conn.Close()
	<-served
	// What it started may hold its standard error open: don't wait for that.
	_ = said.SetReadDeadline(time.Now().Add(time.Second))
	<-told
	said.Close()
	c.status = exitStatus(c.cmd.ProcessState)
	m.log.Emit(event.Child{Did: "ended", Name: string(c.service), PID: c.pid(), Status: c.status})
	close(c.exited)
}

// listenTo logs what a daemon writes to standard error, the trace of a panic
// mostly. The rest of much is read and dropped, so that the writer goes on.
func (m *Master) listenTo(c *child, said io.Reader) {
	r := bufio.NewReaderSize(said, maxSaidLine)
	for n := 0; ; n++ {
		line, _, err := r.ReadLine()
		if err != nil {
			return
		}
		if text := strings.TrimSpace(string(line)); text != "" && n < maxSaidLines {
			doing := fmt.Sprintf("%s[%d] says", c.service, c.pid())
			m.log.Emit(event.TroubleOf(0, doing, errors.New(text)))
		}
	}
}

func exitStatus(s *os.ProcessState) string {
	ws, ok := s.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return "signal " + ws.Signal().String()
	}
	return fmt.Sprintf("exit %d", s.ExitCode())
}

// bringUp sends the start frame and waits until the child serves.
func (m *Master) bringUp(c *child, start *proto.Start, files []*os.File) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	var ready proto.Ready
	if err := c.conn.Call(ctx, start, &ready, files...); err != nil {
		c.kill()
		<-c.exited
		return fmt.Errorf("bring up %s: %w (%s)", c.service, err, c.status)
	}
	c.mu.Lock()
	c.ready = true
	c.mu.Unlock()
	m.repeatOrders(c)
	m.repeatLoad(context.Background(), c)
	m.repeatClock(c)
	m.log.Emit(event.Child{Did: "started", Name: string(c.service), PID: c.pid(), Status: ready.Confined})
	return nil
}

func (c *child) kill() { _ = c.cmd.Process.Kill() }

// drain asks the child to finish within bound. It does not wait.
func (c *child) drain(bound time.Duration, replaced bool) {
	c.mu.Lock()
	c.draining = true
	c.mu.Unlock()
	// A child that does not answer is killed when the bound is over.
	c.conn.Go(context.Background(), &proto.Drain{Bound: bound, Replaced: replaced}, func(*ipc.Reply, error) {})
}

// await waits for the end of a draining child; past the bound it is killed.
func (c *child) await(bound time.Duration, hurry <-chan struct{}) {
	t := time.NewTimer(bound + killGrace)
	defer t.Stop()
	select {
	case <-c.exited:
		return
	case <-hurry:
	case <-t.C:
	}
	c.kill()
	<-c.exited
}

func (c *child) isReady() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready
}

func (c *child) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

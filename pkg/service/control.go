package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// control is the daemon's end of its channel to master.
type control struct {
	conn  *ipc.Conn
	log   *logFile
	start chan *ipc.Call

	mu      sync.Mutex
	process *Process // nil until configured
	early   []*ipc.Call
}

// openControl takes over descriptor 3.
func openControl() (*control, error) {
	uc, err := ipc.FileConn(os.NewFile(controlFD, "control"))
	if err != nil {
		return nil, err
	}
	c := &control{log: newLogFile(os.Stdout), start: make(chan *ipc.Call, 1)}
	c.conn, err = ipc.NewConn(uc, ipc.Options{
		Handler:  c.handle,
		MaxFrame: proto.MaxControlFrame,
		Caller:   string(proto.Master),
	})
	if err != nil {
		return nil, err
	}
	go c.serve()
	return c, nil
}

// serve ends the process when master does.
func (c *control) serve() {
	err := c.conn.Serve(context.Background())
	c.mu.Lock()
	p := c.process
	c.mu.Unlock()
	if err != nil {
		fmt.Fprintf(os.Stderr, "control channel: %v\n", err)
	}
	if p != nil {
		p.Log.Flush()
	}
	os.Exit(exitOrphaned)
}

func (c *control) waitForStart() (*ipc.Call, error) {
	t := time.NewTimer(startTimeout)
	defer t.Stop()
	select {
	case call := <-c.start:
		return call, nil
	case <-t.C:
		return nil, errors.New("master sent no start frame")
	}
}

// attach lets master's calls reach the process; those that came early too.
func (c *control) attach(p *Process) {
	c.mu.Lock()
	c.process = p
	early := c.early
	c.early = nil
	c.mu.Unlock()
	for _, call := range early {
		go c.act(p, call)
	}
}

func (c *control) handle(_ context.Context, call *ipc.Call) {
	if call.Kind == proto.KindStart {
		select {
		case c.start <- call:
		default:
			_ = call.Violation(errors.New("second start frame"))
		}
		return
	}
	c.mu.Lock()
	p := c.process
	if p == nil {
		c.early = append(c.early, call)
	}
	c.mu.Unlock()
	if p != nil {
		go c.act(p, call)
	}
}

// act carries out one call of master.
func (c *control) act(p *Process, call *ipc.Call) {
	var err error
	switch call.Kind {
	case proto.KindConnected:
		err = connected(p, call)
	case proto.KindReconfigure:
		if err = reconfigure(p, call); err == nil {
			call.Reply(&proto.Reconfigured{Outgrown: p.outgrown()})
		}
	case proto.KindReopenLog:
		if err = c.log.reopen(call); err == nil && len(call.Files) == 2 {
			p.newLog(call.Files[1])
		}
	case proto.KindOrders:
		err = takeOrders(p, call)
	case proto.KindMoveClock:
		err = moveClock(p, call)
	case proto.KindLoad:
		err = takeLoad(p, call)
	case proto.KindBoardQuery:
		call.Reply(p.Board.Snapshot())
	case proto.KindStatsQuery:
		call.Reply(p.stats())
	case proto.KindDrain:
		var m proto.Drain
		if err = call.Decode(&m); err == nil {
			why := Stop
			if m.Replaced {
				why = Replaced
			}
			p.Drain(m.Bound, why)
		}
	default:
		err = call.Violation(fmt.Errorf("call of unknown kind %d", call.Kind))
	}
	if err != nil {
		call.Refuse(err)
		return
	}
	call.Reply(&proto.Done{}) // another answer has been sent already, and counts
}

func connected(p *Process, call *ipc.Call) error {
	var m proto.Connected
	if err := call.Decode(&m); err != nil {
		return err
	}
	if len(call.Files) != 1 {
		return call.Violation(fmt.Errorf("connection with %d descriptors", len(call.Files)))
	}
	conn, err := ipc.FileConn(call.Files[0])
	if err != nil {
		return err
	}
	p.Admit(string(m.Caller), conn)
	return nil
}

func reconfigure(p *Process, call *ipc.Call) error {
	var m proto.Reconfigure
	if err := call.Decode(&m); err != nil {
		return err
	}
	var s settings.Settings
	if err := json.Unmarshal(m.Settings, &s); err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	p.Reload(&s)
	return nil
}

// dial asks master for a connection to another service.
func (c *control) dial(ctx context.Context, callee proto.Service) (*net.UnixConn, error) {
	r, err := c.conn.Exchange(ctx, &proto.Connect{Callee: callee})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", callee, err)
	}
	if err := r.Decode(&proto.Connection{}); err != nil || len(r.Files) != 1 {
		r.CloseFiles()
		return nil, fmt.Errorf("connect to %s: master sent %d descriptors (%v)", callee, len(r.Files), err)
	}
	return ipc.FileConn(r.Files[0])
}

// logFile is the log as an event.Log writes it; the file behind it can be
// exchanged when logs are rotated.
type logFile struct{ file atomic.Pointer[os.File] }

func newLogFile(f *os.File) *logFile {
	l := new(logFile)
	l.file.Store(f)
	return l
}

// Write appends to the present file.
func (l *logFile) Write(b []byte) (int, error) { return l.file.Load().Write(b) }

// reopen takes a new file. The old one is left to the garbage collector, which
// closes it when no write uses it any more.
func (l *logFile) reopen(call *ipc.Call) error {
	if err := call.Decode(&proto.ReopenLog{}); err != nil {
		return err
	}
	if n := len(call.Files); n != 1 && n != 2 {
		return call.Violation(fmt.Errorf("log with %d descriptors", n))
	}
	l.file.Store(call.Files[0])
	return nil
}

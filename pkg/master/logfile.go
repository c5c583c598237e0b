package master

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// openLog opens the instance's log for appending: every line of every process
// is one write at its end.
func (m *Master) openLog(s *settings.Settings) (*os.File, error) {
	if err := os.MkdirAll(s.Instance.Log, 0o750); err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	path := s.Instance.LogFile()
	// Not O_NOFOLLOW alone but with an owner check by the directory's mode:
	// the directory is root's or the caller's.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	if err := m.ids.administrators().give(path, 0o640, 0o600); err != nil {
		f.Close()
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return f, nil
}

// openToRead opens the log for mtadb, which follows it and, once it is
// another user, may not open it itself.
func openToRead(s *settings.Settings) (*os.File, error) {
	f, err := os.OpenFile(s.Instance.LogFile(), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open the log to read it: %w", err)
	}
	return f, nil
}

func (m *Master) logFile() *os.File {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.out
}

// masterLog is the present log file as master's own event.Log writes it.
type masterLog struct{ m *Master }

// Write implements io.Writer.
func (l masterLog) Write(b []byte) (int, error) { return l.m.logFile().Write(b) }

// reopenTimeout bounds the wait for a daemon that is asked to change its log.
const reopenTimeout = 10 * time.Second

// reopenLog begins a new log after the old one was renamed. Daemons that don't
// follow go on writing to the old one: nothing is lost.
func (m *Master) reopenLog() {
	m.mu.Lock()
	s := m.settings
	m.mu.Unlock()
	f, err := m.openLog(s)
	if err != nil {
		m.log.Emit(event.TroubleOf(0, "opening the log anew", err))
		return
	}
	m.mu.Lock()
	m.out = f // the old one is closed by the garbage collector, after its last use
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), reopenTimeout)
	context.AfterFunc(ctx, cancel)
	reading, err := openToRead(s)
	if err != nil {
		m.log.Emit(event.TroubleOf(0, "opening the log anew", err))
	} else {
		context.AfterFunc(ctx, func() { reading.Close() })
	}
	for _, sup := range m.order {
		files := []*os.File{f}
		if sup.def.name == proto.MTADB && reading != nil {
			files = append(files, reading)
		}
		sup.each(func(c *child) {
			c.conn.Go(ctx, &proto.ReopenLog{}, func(_ *ipc.Reply, err error) {
				if err != nil {
					m.log.Emit(event.TroubleOf(0, "handing the new log to "+string(c.service), err))
				}
			}, files...)
		})
	}
	m.log.Emit(event.State{Now: "log reopened"})
}

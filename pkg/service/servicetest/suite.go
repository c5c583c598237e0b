// Package servicetest runs daemons of the suite inside one test process: a
// broker like master's, without processes, users or confinement. What a daemon
// sees of pkg/service is the real code.
package servicetest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/settings"
)

// Suite is some daemons that can call each other.
type Suite struct {
	t        testing.TB
	settings *settings.Settings
	log      *event.Log

	mu      sync.Mutex
	running map[proto.Service]*runner
}

type runner struct {
	process *service.Process
	ended   chan error
}

// New makes an empty suite; everything in it ends with the test. A nil log
// discards.
func New(t testing.TB, s *settings.Settings, log *event.Log) *Suite {
	t.Helper()
	if log == nil {
		log = event.Discard()
	}
	suite := &Suite{t: t, settings: s, log: log, running: map[proto.Service]*runner{}}
	t.Cleanup(suite.stopAll)
	return suite
}

// Start opens and serves a daemon. It fails the test when opening fails, and
// later when serving ends with an error.
func (s *Suite) Start(name proto.Service, d service.Daemon, listeners ...service.NamedListener) *service.Process {
	s.t.Helper()
	p := service.New(service.Wiring{
		Start: proto.Start{
			Service:  name,
			AdminUID: uint32(os.Getuid()),
			AdminGID: service.NoGroup,
		},
		Settings:  s.clone(),
		Log:       s.log,
		Listeners: listeners,
		Dial: func(_ context.Context, callee proto.Service) (*net.UnixConn, error) {
			return s.Dial(name, callee)
		},
	})
	if err := d.Open(p); err != nil {
		s.t.Fatalf("open %s: %v", name, err)
	}
	r := &runner{process: p, ended: make(chan error, 1)}
	s.mu.Lock()
	if s.running[name] != nil {
		s.mu.Unlock()
		s.t.Fatalf("%s runs already", name)
	}
	s.running[name] = r
	s.mu.Unlock()
	go func() { r.ended <- d.Serve(p.Context(), p) }()
	return p
}

// clone gives each daemon settings of its own, by the way that master takes.
func (s *Suite) clone() *settings.Settings {
	b, err := json.Marshal(s.settings)
	out := new(settings.Settings)
	if err == nil {
		err = json.Unmarshal(b, out)
	}
	if err != nil {
		s.t.Fatalf("settings: %v", err)
	}
	return out
}

// Dial connects as caller to callee, if there is such an arrow and callee runs.
func (s *Suite) Dial(caller, callee proto.Service) (*net.UnixConn, error) {
	if !proto.MayCall(caller, callee) {
		return nil, fmt.Errorf("there is no arrow from %s to %s", caller, callee)
	}
	return s.dial(string(caller), callee)
}

func (s *Suite) dial(caller string, callee proto.Service) (*net.UnixConn, error) {
	s.mu.Lock()
	r := s.running[callee]
	s.mu.Unlock()
	if r == nil {
		return nil, fmt.Errorf("%s does not run", callee)
	}
	a, b, err := ipc.ConnPair()
	if err != nil {
		return nil, err
	}
	r.process.Admit(caller, a)
	return b, nil
}

// Client calls a daemon as caller, which may be any name: a test also tries
// what has no arrow.
func (s *Suite) Client(caller string, callee proto.Service, opts ipc.ClientOptions) *ipc.Client {
	if opts.MaxFrame == 0 {
		opts.MaxFrame = proto.MaxFrame
	}
	c := ipc.NewClient(func(context.Context) (*net.UnixConn, error) { return s.dial(caller, callee) }, opts)
	s.t.Cleanup(c.Close)
	return c
}

// Stop drains one daemon, waits until it has ended, and returns the error of
// its Serve. The name can be started again.
func (s *Suite) Stop(name proto.Service) error {
	s.mu.Lock()
	r := s.running[name]
	delete(s.running, name)
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	r.process.Drain(stopBound, service.Stop)
	err := <-r.ended
	r.process.Close()
	return err
}

// stopBound is generous: a test that needs it has failed already.
const stopBound = 20 * time.Second

func (s *Suite) stopAll() {
	s.mu.Lock()
	var names []proto.Service
	for name := range s.running {
		names = append(names, name)
	}
	s.mu.Unlock()
	for _, name := range names {
		if err := s.Stop(name); err != nil {
			s.t.Errorf("%s: %v", name, err)
		}
	}
}

package master

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/service/admin"
	"filbert/pkg/untrusted"
)

// boardTimeout bounds a daemon's answer about what it is doing.
const boardTimeout = 5 * time.Second

func (m *Master) openControl() (*net.UnixListener, error) {
	m.mu.Lock()
	path := m.settings.Instance.Control(proto.ControlMaster)
	m.mu.Unlock()
	return bindPath(path, m.ids.administrators())
}

// serveControl answers the administrator (proto/control.go).
func (m *Master) serveControl(ctx context.Context, l *net.UnixListener) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", m.getStatus)
	mux.HandleFunc("POST /v1/explain", m.postExplain)
	mux.HandleFunc("POST /v1/lookup", m.postLookup)
	mux.HandleFunc("POST /v1/reload", m.postReload)
	mux.HandleFunc("POST /v1/stop", m.postStop)
	mux.HandleFunc("GET /v1/clock", m.getClock)
	mux.HandleFunc("POST /v1/clock", m.postClock)
	if err := admin.Serve(ctx, l, m.mayAdminister, mux); err != nil {
		m.log.Emit(event.TroubleOf(0, "serving the control socket", err))
	}
}

func (m *Master) getStatus(w http.ResponseWriter, r *http.Request) {
	admin.Answer(w, http.StatusOK, m.status(r.Context(), detail{
		boards: r.URL.Query().Get("boards") == "1",
		stats:  r.URL.Query().Get("stats") == "1",
	}))
}

func (m *Master) postReload(w http.ResponseWriter, _ *http.Request) {
	result, err := m.reload()
	if err != nil {
		m.log.Emit(event.TroubleOf(0, "reloading", err))
		result.Problems = append(result.Problems, err.Error())
		admin.Answer(w, http.StatusUnprocessableEntity, result)
		return
	}
	admin.Answer(w, http.StatusOK, result)
}

func (m *Master) postStop(w http.ResponseWriter, _ *http.Request) {
	admin.Answer(w, http.StatusAccepted, struct{}{})
	m.Stop()
}

// detail is what is asked of each process for a status.
type detail struct{ boards, stats bool }

// status gathers proto.Status.
func (m *Master) status(ctx context.Context, with detail) *proto.Status {
	m.mu.Lock()
	st := &proto.Status{
		Version:      m.opts.Version,
		Hostname:     m.settings.Hostname,
		Instance:     m.settings.Instance.Dir,
		PID:          os.Getpid(),
		Started:      m.started,
		State:        m.state,
		ConfigLoaded: m.loaded,
		Load:         m.loadStatusLocked(),
	}
	for _, list := range [][]*binding{m.tcp, m.paths} {
		for _, b := range list {
			st.Listeners = append(st.Listeners, proto.ListenerStatus{
				Name: b.info.Name, Address: b.info.Address, Service: string(b.service),
			})
		}
	}
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, boardTimeout)
	defer cancel()
	// Side by side: one that does not answer must not take the time of the others.
	st.Services = make([]proto.ServiceStatus, len(m.order))
	var wg sync.WaitGroup
	for i, sup := range m.order {
		wg.Go(func() { st.Services[i] = m.serviceStatus(ctx, sup, with) })
	}
	wg.Wait()
	return st
}

func (m *Master) serviceStatus(ctx context.Context, s *supervisor, with detail) proto.ServiceStatus {
	st := s.status()
	user := m.userOf(s.def)
	var wg sync.WaitGroup
	var mu sync.Mutex
	s.each(func(c *child) {
		p := proto.ProcessStatus{PID: c.pid(), User: user, Started: c.started, State: "running"}
		switch {
		case c.isDraining():
			p.State = "draining"
		case !c.isReady(): // not confined yet, and serving nobody
			p.State = starting
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			if with.boards && c.isReady() {
				p.Board, p.Paces = board(ctx, c.conn)
			}
			if with.stats && c.isReady() {
				p.Stats = stats(ctx, c.conn)
			}
			mu.Lock()
			defer mu.Unlock()
			st.Processes = append(st.Processes, p)
		}()
	})
	wg.Wait()
	slices.SortFunc(st.Processes, func(a, b proto.ProcessStatus) int { return cmp.Compare(b.PID, a.PID) })
	return st
}

// board asks a daemon what it is doing. One that does not answer shows nothing.
func board(ctx context.Context, conn *ipc.Conn) ([]proto.BoardRow, []proto.PaceRow) {
	var b proto.Board
	if conn.Call(ctx, &proto.BoardQuery{}, &b) != nil {
		return nil, nil
	}
	for i := range b.Rows {
		// Addresses and our own words; a daemon that was taken over may say
		// otherwise.
		r := &b.Rows[i]
		r.Phase = untrusted.From(r.Phase).ForTerminal()
		r.ID = untrusted.From(r.ID).ForTerminal()
		r.Peer = untrusted.From(r.Peer).ForTerminal()
	}
	for i := range b.Paces {
		r := &b.Paces[i]
		for _, s := range []*string{&r.Transport, &r.Destination, &r.Source, &r.Rate, &r.Held, &r.Reply, &r.WarmUp} {
			*s = untrusted.From(*s).ForTerminal()
		}
	}
	return b.Rows, b.Paces
}

// stats asks a daemon what it has counted; nil if it does not answer.
func stats(ctx context.Context, conn *ipc.Conn) *proto.Stats {
	st := new(proto.Stats)
	if conn.Call(ctx, &proto.StatsQuery{}, st) != nil {
		return nil
	}
	for i := range st.Figures {
		st.Figures[i].Name = untrusted.From(st.Figures[i].Name).ForTerminal()
	}
	return st
}

func (m *Master) userOf(def definition) string {
	if !m.ids.separate {
		return ""
	}
	if def.user == nil {
		return "root"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return def.user(&m.settings.Users)
}

// status is the supervisor's part of the answer.
func (s *supervisor) status() proto.ServiceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := proto.ServiceStatus{Name: string(s.def.name), Restarts: s.restarts, LastExit: s.lastExit}
	switch {
	case s.stopping && s.current == nil:
		st.State = "stopped"
	case s.stopping:
		st.State = "draining"
	case s.current != nil && s.current.isReady():
		st.State = running
	case s.current != nil:
		st.State = starting
	case !s.wanted:
		st.State = "idle"
	default:
		st.State = "backoff"
		if !s.nextStart.IsZero() {
			next := s.nextStart
			st.NextStart = &next
		}
	}
	return st
}

package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

// The waits on a user's process, which owes us nothing.
const (
	guestHeaderTimeout = 5 * time.Second
	guestReadTimeout   = 10 * time.Second
	guestWriteTimeout  = time.Minute
	maxGuestHeader     = 4 << 10
	// guestPause is how long a request that came too soon waits for its refusal:
	// it takes one of its user's connections, and so slows down who does not stop.
	guestPause = 250 * time.Millisecond
	// refusalPause is the least time between two connections that are turned
	// away: a flood of them must not keep a processor busy.
	refusalPause = 200 * time.Microsecond
)

// ServeUsers is Serve for a socket that every user of the machine can connect to:
// one request a connection, few connections and few requests for each user id
// (the bounds of proto/people.go), for short. Whom exempt names has no such bounds.
// What a user may see is the handlers' to decide, by Peer.
func ServeUsers(ctx context.Context, l net.Listener, exempt func(ipc.PeerCred) bool, h http.Handler) error {
	d := newDoor()
	s := &http.Server{
		Handler:           users(h),
		ReadHeaderTimeout: guestHeaderTimeout,
		ReadTimeout:       guestReadTimeout,
		WriteTimeout:      guestWriteTimeout,
		MaxHeaderBytes:    maxGuestHeader,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			g := c.(*guest)
			return context.WithValue(context.WithValue(ctx, peerKey{}, g.cred), guestKey{}, g)
		},
		ErrorLog: nil,
	}
	s.SetKeepAlivesEnabled(false)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s.Shutdown(grace) != nil {
			s.Close()
		}
	})
	defer stop()
	if err := s.Serve(&entrance{Listener: l, door: d, exempt: exempt}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Charge takes the price of work that a handler did for who sent r, so that who
// asks for much can ask less often.
func Charge(r *http.Request, work time.Duration) {
	if g, ok := r.Context().Value(guestKey{}).(*guest); ok && g.door != nil {
		g.door.charge(g.cred.UID, work, time.Now())
	}
}

type guestKey struct{}

// guest is a connection of somebody whom the kernel has named.
type guest struct {
	*net.UnixConn
	cred ipc.PeerCred
	door *door // nil: exempt
	once sync.Once
}

// Close gives the place back.
func (g *guest) Close() error {
	g.once.Do(func() {
		if g.door != nil {
			g.door.leave(g.cred.UID)
		}
	})
	return g.UnixConn.Close()
}

// entrance accepts whom the door lets in and turns the others away.
type entrance struct {
	net.Listener
	door   *door
	exempt func(ipc.PeerCred) bool
}

// Accept implements net.Listener.
func (e *entrance) Accept() (net.Conn, error) {
	for {
		c, err := e.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uc, ok := c.(*net.UnixConn)
		if !ok {
			c.Close()
			return nil, fmt.Errorf("a users' socket that is no Unix socket: %T", c)
		}
		// A peer that can't be asked about is nobody, and the zero PeerCred would be
		// root.
		cred, err := ipc.Credentials(uc)
		switch {
		case err != nil:
			c.Close()
		case e.exempt(cred):
			return &guest{UnixConn: uc, cred: cred}, nil
		case e.door.enter(cred.UID):
			return &guest{UnixConn: uc, cred: cred, door: e.door}, nil
		default:
			turnAway(uc)
		}
		time.Sleep(refusalPause)
	}
}

// turnAway answers a connection that is one too many. It is too short a text to
// wait for the peer.
func turnAway(c *net.UnixConn) {
	const body = `{"error":"too many connections of yours are open","hint":"try again in a moment"}` + "\n"
	_ = c.SetWriteDeadline(time.Now().Add(time.Millisecond))
	_, _ = fmt.Fprintf(c, "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"+
		"Connection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	c.Close()
}

// users has the requests counted and their bodies bounded.
func users(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g, ok := r.Context().Value(guestKey{}).(*guest)
		if !ok {
			Fail(w, http.StatusForbidden, "the kernel does not say who you are", "")
			return
		}
		if g.door != nil {
			if wait := g.door.ask(g.cred.UID, time.Now()); wait > 0 {
				time.Sleep(min(wait, guestPause))
				w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
				Fail(w, http.StatusTooManyRequests, "too many requests of yours", "try again in a moment")
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, proto.MineMax)
		h.ServeHTTP(w, r)
	})
}

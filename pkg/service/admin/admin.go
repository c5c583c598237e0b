// Package admin serves an administrator's socket: JSON over HTTP/1.1 on a Unix
// socket, open to those whom the kernel vouches for.
//
// It promises handlers that every request comes from a peer that admit let in
// (others get 403), a body of at most proto.ControlMax bytes, and a deadline on
// each read. It is a package of its own so that only the programs that have
// such a socket, master, qmgr and mtadb, link an HTTP server.
//
// ServeUsers is the same for the sockets under run/mine, which every user of the
// machine may ask: one user can't take so much of the daemon that others, or
// the mail, would feel it.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
)

type peerKey struct{}

// Peer is who sent a request.
func Peer(r *http.Request) ipc.PeerCred {
	cred, _ := r.Context().Value(peerKey{}).(ipc.PeerCred)
	return cred
}

// Serve answers on l until ctx is done, and then waits a moment for requests
// under way.
func Serve(ctx context.Context, l net.Listener, admit func(ipc.PeerCred) bool, h http.Handler) error {
	s := &http.Server{
		Handler:           guard(admit, h),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       credentials,
		ErrorLog:          nil,
	}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s.Shutdown(grace) != nil {
			s.Close()
		}
	})
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// credentials notes who connected. A peer that can't be asked about is nobody:
// the zero PeerCred would be root, so none is stored and guard refuses.
func credentials(ctx context.Context, c net.Conn) context.Context {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	cred, err := ipc.Credentials(uc)
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, cred)
}

func guard(admit func(ipc.PeerCred) bool, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cred, ok := r.Context().Value(peerKey{}).(ipc.PeerCred)
		if !ok || !admit(cred) {
			Fail(w, http.StatusForbidden, "this socket is for root, the instance's owner and its administrators",
				"run the command as root, or join the group of users.admin_group")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, proto.ControlMax)
		h.ServeHTTP(w, r)
	})
}

// Decode reads a body of one JSON value; unknown fields and left-over bytes
// are errors.
func Decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("bytes left over after the request")
	}
	return nil
}

// Answer sends v with a status.
func Answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the peer is gone: nobody to tell
}

// Fail sends a ControlError.
func Fail(w http.ResponseWriter, status int, what, hint string) {
	Answer(w, status, proto.ControlError{Error: what, Hint: hint})
}

package master

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// binding is one listening socket with the descriptor that daemons get copies
// of.
type binding struct {
	key      string // what the configuration said
	info     proto.ListenerInfo
	service  proto.Service
	listener net.Listener
	file     *os.File
}

func (b *binding) close() {
	b.file.Close()
	b.listener.Close()
}

// bindTCP makes what the configuration asks for out of what is bound already:
// the sockets of addresses that stay are kept, so that not even a connection in
// their queues is lost. On an error nothing has changed.
func bindTCP(have []*binding, want []settings.Listen) (all, gone []*binding, err error) {
	left := make(map[string]*binding, len(have))
	for _, b := range have {
		left[b.key] = b
	}
	var fresh []*binding
	for _, l := range want {
		key := listenKey(l)
		b, kept := left[key]
		if !kept {
			if b, err = bindOne(key, l); err != nil {
				for _, f := range fresh {
					f.close()
				}
				return nil, nil, err
			}
			fresh = append(fresh, b)
		} else if b.info.Name != l.Name {
			named := *b // the old one may still be in use by a reload that fails
			named.info.Name = l.Name
			b = &named
		}
		delete(left, key)
		all = append(all, b)
	}
	for _, b := range have {
		if left[b.key] == b {
			gone = append(gone, b)
		}
	}
	return all, gone, nil
}

const (
	// orphanTime is how long a start after a crash waits for addresses. The
	// kernel ends the daemons of a master that was killed, and with them their
	// copies of the sockets, soon after it, but not before it lets the lock go.
	orphanTime = 5 * time.Second
	bindPause  = 50 * time.Millisecond
)

// bindPatiently binds what the configuration asks for, and waits so long for an
// address that is in use.
func bindPatiently(want []settings.Listen, wait time.Duration) ([]*binding, error) {
	for end := time.Now().Add(wait); ; time.Sleep(bindPause) {
		all, _, err := bindTCP(nil, want)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(end) {
			return all, err
		}
	}
}

// listenKey tells listeners apart: by address, and by name where the kernel
// chooses the port.
func listenKey(l settings.Listen) string {
	if strings.HasSuffix(l.Address, ":0") {
		return l.Name + "=" + l.Address
	}
	return l.Address
}

func bindOne(key string, l settings.Listen) (*binding, error) {
	var lc net.ListenConfig
	// Plain TCP: what Landlock and packet filters know.
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), "tcp", l.Address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s (listener %q): %w", l.Address, l.Name, err)
	}
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("listen on %s: %w", l.Address, err)
	}
	return &binding{
		key:      key,
		info:     proto.ListenerInfo{Kind: proto.ListenSMTP, Name: l.Name, Address: ln.Addr().String()},
		service:  proto.SMTPD,
		listener: ln,
		file:     f,
	}, nil
}

// maxSocketPath is what fits into sun_path with its final zero.
const maxSocketPath = 107

// bindPath makes a Unix socket that only owner and group can connect to, or
// everybody if it is open. What
// lies at the path is left over: we hold the instance's lock.
func bindPath(path string, own ownership) (*net.UnixListener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("listen on %s: the path has %d bytes, the kernel takes %d: use a shorter instance directory",
			path, len(path), maxSocketPath)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	// Master's umask is 077: nobody else connects before the next two calls.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	shared := os.FileMode(0o660)
	if own.open {
		shared = 0o666 // to connect takes the right to write
	}
	if err := own.give(path, shared, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

// bindService is bindPath for a socket that a daemon serves.
func bindService(path string, kind proto.ListenerKind, name proto.Service, own ownership) (*binding, error) {
	l, err := bindPath(path, own)
	if err != nil {
		return nil, err
	}
	f, err := l.File()
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return &binding{
		key:      path,
		info:     proto.ListenerInfo{Kind: kind, Name: string(name), Address: path},
		service:  name,
		listener: l,
		file:     f,
	}, nil
}

// ownership is whose a file of the run directory is.
type ownership struct {
	separate bool
	uid, gid int
	open     bool // a socket of it is for every user
}

// give sets owner and mode: shared with the group in a separated instance, the
// caller's alone in another.
func (o ownership) give(path string, shared, private os.FileMode) error {
	if !o.separate {
		return os.Chmod(path, private)
	}
	if err := os.Lchown(path, o.uid, o.gid); err != nil {
		return err
	}
	return os.Chmod(path, shared)
}

package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"filbert/pkg/lookup"
	"filbert/pkg/settings"
)

// maxReply bounds what a server may send after the last octet that it was sent:
// the largest answer, and what a protocol wraps around it. Ours.
const maxReply = 2 * lookup.MaxAnswer

// Trust makes the TLS configuration for the servers of a lookup, nil when none
// is asked for. Certificates are read here, once: later the process may be
// confined. There is no way not to verify.
func Trust(set settings.Lookup, servers []lookup.Server) (*tls.Config, error) {
	wanted := false
	for _, s := range servers {
		wanted = wanted || s.TLS != lookup.Plain
	}
	if !wanted {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if set.CAFile == "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("read the system's certificates: %w", err)
		}
		config.RootCAs = pool
		return config, nil
	}
	pem, err := os.ReadFile(set.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read ca_file %s: no certificate in it", set.CAFile)
	}
	return config, nil
}

// TLS is trust for one server, nil without TLS: the name in its certificate is that of the
// settings, whatever DNS says.
func TLS(s lookup.Server, trust *tls.Config) *tls.Config {
	if trust == nil || s.TLS == lookup.Plain {
		return nil
	}
	c := trust.Clone()
	c.ServerName = s.Host
	return c
}

// Dial connects, and shakes hands where TLS comes first. What comes in without
// an octet going out is bounded, whatever a client library would take.
func Dial(ctx context.Context, s lookup.Server, trust *tls.Config) (net.Conn, error) {
	// Go's own resolver: it reads files and asks by UDP, which the confinement of
	// router leaves.
	d := net.Dialer{Resolver: &net.Resolver{PreferGo: true}}
	raw, err := d.DialContext(ctx, s.Network, s.Address)
	if err != nil {
		return nil, err
	}
	conn := &limited{Conn: raw}
	if s.TLS != lookup.Wrapped {
		return conn, nil
	}
	if trust == nil {
		raw.Close()
		return nil, errors.New("no TLS without certificates to trust")
	}
	wrapped := tls.Client(conn, TLS(s, trust))
	if err := wrapped.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return wrapped, nil
}

// limited is a connection that ends when a reply grows beyond maxReply.
type limited struct {
	net.Conn
	got atomic.Int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if l.got.Add(int64(n)) > maxReply {
		return 0, fmt.Errorf("%w: more than %d octets in a reply", lookup.ErrUnusable, maxReply)
	}
	return n, err
}

func (l *limited) Write(p []byte) (int, error) {
	l.got.Store(0)
	return l.Conn.Write(p)
}

// SyscallConn lets client libraries see whether the other side has hung up.
func (l *limited) SyscallConn() (syscall.RawConn, error) {
	c, ok := l.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return c.SyscallConn()
}

package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filbert/pkg/lookup"
	"filbert/pkg/settings"
)

// serve sends what to everybody who connects.
func serve(t *testing.T, l net.Listener, what []byte) lookup.Server {
	t.Helper()
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					if _, err := c.Write(what); err != nil {
						return
					}
				}
			}()
		}
	}()
	addr := l.Addr().(*net.TCPAddr)
	return lookup.Server{Network: "tcp", Address: addr.String(), Host: "127.0.0.1", Port: uint16(addr.Port)}
}

func TestAReplyWithoutEndEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, l, make([]byte, 1<<20))
	c, err := Dial(context.Background(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n, err := io.Copy(io.Discard, c)
	if !errors.Is(err, lookup.ErrUnusable) || n > maxReply {
		t.Errorf("got %d octets, %v", n, err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 10)); err != nil {
		t.Errorf("the next reply: %v", err)
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	// The certificate of httptest is for example.com and 127.0.0.1.
	h := httptest.NewTLSServer(nil)
	defer h.Close()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, tls.NewListener(plain, &tls.Config{Certificates: h.TLS.Certificates}), []byte("hello"))
	s.TLS = lookup.Wrapped
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	dial := func(caFile, host string) error {
		trust, err := Trust(settings.Lookup{CAFile: caFile}, []lookup.Server{s})
		if err != nil {
			return err
		}
		named := s
		named.Host = host
		c, err := Dial(context.Background(), named, trust)
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := dial(ca, "127.0.0.1"); err != nil {
		t.Error(err)
	}
	var name x509.HostnameError
	if err := dial(ca, "other.example"); !errors.As(err, &name) {
		t.Errorf("another name: got %v", err)
	}
	var unknown x509.UnknownAuthorityError
	if err := dial("", "127.0.0.1"); !errors.As(err, &unknown) {
		t.Errorf("without its certificate: got %v", err)
	}
	if _, err := Dial(context.Background(), s, nil); err == nil {
		t.Error("connected without anything to trust")
	}
}

func TestAFileWithoutCertificatesIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca")
	if err := os.WriteFile(path, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Trust(settings.Lookup{CAFile: path}, []lookup.Server{{TLS: lookup.InBand}})
	if err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("got %v", err)
	}
	if c, err := Trust(settings.Lookup{CAFile: path}, []lookup.Server{{}}); c != nil || err != nil {
		t.Errorf("without TLS: got %v, %v", c, err)
	}
}

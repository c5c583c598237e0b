package lookup

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"filbert/pkg/settings"
)

// Bounds of asking a server, where the settings name none. Ours.
const (
	defaultTimeout     = 5 * time.Second
	defaultConnections = 4
)

// defaultPorts are those of the registered services; socketmap has none.
var defaultPorts = map[string]string{"pgsql": "5432", "mysql": "3306", "ldap": "389", "redis": "6379"}

// Security is how a connection to a server is protected.
type Security int

const (
	// Plain is not at all.
	Plain Security = iota
	// Wrapped is TLS from the first octet.
	Wrapped
	// InBand is TLS that the protocol itself begins.
	InBand
)

// Server is one of the servers of a lookup.
type Server struct {
	Network string // "tcp" or "unix"
	Address string // host:port, or the path of the socket
	Host    string // without the port; "" for a Unix socket
	Port    uint16
	TLS     Security
	Name    string // as it stands in the settings; for people
}

// Servers reads the list of servers of a lookup. It asks nobody.
func Servers(set settings.Lookup) ([]Server, error) {
	if len(set.Servers) == 0 {
		return nil, errors.New("no servers")
	}
	var out []Server
	for _, name := range set.Servers {
		s, err := server(set, name)
		if err != nil {
			return nil, fmt.Errorf("server %q: %w", name, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func server(set settings.Lookup, name string) (Server, error) {
	security, err := securityOf(set)
	if err != nil {
		return Server{}, err
	}
	port := defaultPorts[set.Type]
	text := name
	if scheme, rest, ok := strings.Cut(name, "://"); ok && set.Type == "ldap" {
		if scheme == "ldapi" {
			return ldapi(name, rest)
		}
		if text, security, err = ldapURL(scheme, rest, security); err != nil {
			return Server{}, err
		}
	}
	if strings.HasPrefix(text, "/") {
		// A Unix socket needs no protection, and has no name to verify.
		return Server{Network: "unix", Address: socketOf(set.Type, text), Name: name}, nil
	}
	if set.Type == "ldap" && security == Wrapped {
		port = "636"
	}
	host, port, err := hostPort(text, port)
	if err != nil {
		return Server{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Server{}, fmt.Errorf("%q is no port", port)
	}
	return Server{Network: "tcp", Address: net.JoinHostPort(host, port), Host: host, Port: uint16(n), TLS: security, Name: name}, nil
}

func securityOf(set settings.Lookup) (Security, error) {
	inBand := set.Type == "mysql" || set.Type == "pgsql"
	switch set.TLS {
	case "", "off":
		return Plain, nil
	case "on":
		if inBand {
			return InBand, nil // these know no other way
		}
		return Wrapped, nil
	case "starttls":
		if inBand || set.Type == "ldap" {
			return InBand, nil
		}
		return Plain, fmt.Errorf(`tls: %s has no "starttls", write "on"`, set.Type)
	}
	return Plain, fmt.Errorf(`tls: %q is not "off", "on" or "starttls"`, set.TLS)
}

// ldapURL takes what comes before host and port off a URL.
func ldapURL(scheme, rest string, security Security) (string, Security, error) {
	rest = strings.TrimSuffix(rest, "/")
	switch scheme {
	case "ldaps":
		return rest, Wrapped, nil
	case "ldap":
		if security == Wrapped {
			return "", 0, errors.New(`with tls = "on" write ldaps://`)
		}
		return rest, security, nil
	}
	return "", 0, errors.New("write ldap://host, ldaps://host or ldapi:///path")
}

// ldapi takes both ldapi:///path and the escaped ldapi://%2Fpath.
func ldapi(name, rest string) (Server, error) {
	p, err := url.PathUnescape(rest)
	if err != nil || !strings.HasPrefix(p, "/") || p == "/" {
		return Server{}, errors.New("write ldapi:///path/of/the/socket")
	}
	return Server{Network: "unix", Address: path.Clean(p), Name: name}, nil
}

// socketOf is the path of a socket; PostgreSQL is known by the directory.
func socketOf(kind, p string) string {
	p = path.Clean(p)
	if kind == "pgsql" && !strings.HasPrefix(path.Base(p), ".s.PGSQL.") {
		return path.Join(p, ".s.PGSQL."+defaultPorts[kind])
	}
	return p
}

// hostPort takes "host", "host:port", "[::1]", "[::1]:port" and "::1".
func hostPort(text, port string) (string, string, error) {
	host := text
	if _, err := netip.ParseAddr(text); err != nil {
		switch i := strings.LastIndexByte(text, ':'); {
		case strings.HasSuffix(text, "]"):
			host = strings.TrimPrefix(strings.TrimSuffix(text, "]"), "[")
		case i >= 0:
			host, port, err = net.SplitHostPort(text)
			if err != nil {
				return "", "", errors.New(`write "host", "host:port" or the path of a socket`)
			}
		}
	}
	if host == "" || strings.ContainsAny(host, "/ \t@?#%[]") {
		return "", "", errors.New(`write "host", "host:port" or the path of a socket`)
	}
	if port == "" {
		return "", "", errors.New("no port")
	}
	return host, port, nil
}

// TimeoutOf bounds one question to one server, connecting included.
func TimeoutOf(set settings.Lookup) time.Duration {
	if set.Timeout > 0 {
		return time.Duration(set.Timeout)
	}
	return defaultTimeout
}

// ConnectionsOf bounds the connections to one server.
func ConnectionsOf(set settings.Lookup) int {
	if set.Connections > 0 {
		return set.Connections
	}
	return defaultConnections
}

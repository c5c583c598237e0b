//go:build interop

package lookups

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"filbert/pkg/settings"
)

func TestRedis(t *testing.T) {
	t.Parallel()
	s := newServer(t, "redis")
	acl := s.file(t, "users", "user default off\nuser filbert on >secret1 ~alias:* -@all +@connection +type +get +getrange +lrange +scard +smembers +zrange\n"+
		"user filler on >secret2 ~* +@all\n")
	s.command = []string{"usr/bin/redis-server", "--port", fmt.Sprint(s.port), "--bind", "127.0.0.1", "--unixsocket", s.path("s"), "--unixsocketperm", "777",
		"--dir", s.dir, "--appendonly", "yes", "--save", "", "--aclfile", acl, "--tls-port", fmt.Sprint(s.tls), "--tls-cert-file", s.path("server.pem"),
		"--tls-key-file", s.path("server.key"), "--tls-ca-cert-file", s.path("ca.pem"), "--tls-auth-clients", "no"}
	s.start(t)
	fillRedis(t, s)

	unix := settings.Lookup{Type: "redis", Servers: []string{s.path("s")}, Username: "filbert", Password: "secret1", Query: "alias:{key}", Database: "3"}
	tcp := unix
	tcp.Servers = []string{fmt.Sprintf("localhost:%d", s.port)}
	secure := unix
	secure.Servers, secure.TLS, secure.CAFile = []string{fmt.Sprintf("localhost:%d", s.tls)}, "on", s.path("ca.pem")
	gives(t, unix)
	gives(t, tcp)
	gives(t, secure)
	worksConfined(t, map[string]settings.Lookup{"unix": unix, "tcp": tcp, "tls": secure})

	table := opened(t, unix)
	wants(t, table, "set", true, "a", "b")
	wants(t, table, "scores", true, "b", "a")
	wants(t, table, "empty", true, "")
	if a, err := table.Find(context.Background(), "hash"); err == nil {
		t.Errorf("a hash: got %+v", a)
	}
	unknown := secure
	unknown.CAFile = ""
	fails(t, unknown, "certificate")
	wrong := unix
	wrong.Password = "wrong-password"
	fails(t, wrong, "WRONGPASS")
	outlives(t, s, unix)
	outlives(t, s, secure)
}

// fillRedis sends commands as people type them.
func fillRedis(t *testing.T, s *server) {
	t.Helper()
	c, err := net.Dial("unix", s.path("s"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lines := `AUTH filler secret2
SELECT 3
SET alias:joe@a.org x@b.org
RPUSH alias:many@a.org 1@b.org 2@b.org 3@b.org
SET alias:jürgen@a.org zoë@b.org
SET "alias:o'neil@a.org" "o'neil@b.org"
SADD alias:set b a
ZADD alias:scores 1 b 2 a
SET alias:empty ""
HSET alias:hash f v
`
	if _, err := c.Write([]byte(strings.ReplaceAll(lines, "\n", "\r\n") + "QUIT\r\n")); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 4096)
	n := 0
	for {
		m, err := c.Read(reply[n:])
		if n += m; err != nil {
			break
		}
	}
	if text := string(reply[:n]); strings.Contains(text, "-") {
		t.Fatalf("fill: %s", text)
	}
}

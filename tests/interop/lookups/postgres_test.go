//go:build interop

package lookups

import (
	"fmt"
	"testing"

	"filbert/pkg/settings"
)

const postgresHBA = `local all postgres trust
local all all scram-sha-256
hostssl all all 127.0.0.1/32 scram-sha-256
host all filbert 127.0.0.1/32 scram-sha-256
`

// tables is for both SQL servers.
const tables = `CREATE TABLE aliases (k VARCHAR(200), v VARCHAR(200), w VARCHAR(200), n INTEGER);
INSERT INTO aliases VALUES ('joe@a.org', 'x@b.org', NULL, 1), ('many@a.org', '2@b.org', NULL, 2), ('many@a.org', '1@b.org', NULL, 1),
 ('many@a.org', '3@b.org', NULL, 3), ('jürgen@a.org', 'zoë@b.org', NULL, 1), ('o''neil@a.org', 'o''neil@b.org', NULL, 1),
 ('null@a.org', NULL, 'w', 1), ('two@a.org', 'v', 'w', 42);
`

const aliasQuery = "SELECT v, w FROM aliases WHERE k = {key} ORDER BY n"

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	s := newServer(t, "postgresql")
	const bin = "usr/lib/postgresql/15/bin/"
	s.run(t, bin+"initdb", "-D", s.path("data/db"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
	s.file(t, "data/db/pg_hba.conf", postgresHBA)
	s.command = []string{bin + "postgres", "-D", s.path("data/db")}
	for _, o := range []string{"port=" + fmt.Sprint(s.port), "listen_addresses=127.0.0.1", "unix_socket_directories=" + s.dir, "fsync=off", "jit=off",
		"shared_buffers=16MB", "dynamic_shared_memory_type=mmap", "ssl=on", "ssl_cert_file=" + s.path("server.pem"), "ssl_key_file=" + s.path("server.key")} {
		s.command = append(s.command, "-c", o)
	}
	s.start(t)
	psql := func(sql string) {
		t.Helper()
		s.run(t, bin+"psql", "-X", "-q", "-h", s.dir, "-p", fmt.Sprint(s.port), "-U", "postgres", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", sql)
	}
	// It listens before it lets anybody in.
	eventually(t, "log in", func() error {
		return s.program(bin+"psql", "-X", "-h", s.dir, "-p", fmt.Sprint(s.port), "-U", "postgres", "-d", "postgres", "-c", "SELECT 1").Run()
	})
	psql("CREATE ROLE filbert LOGIN PASSWORD 'secret1'; CREATE ROLE secure LOGIN PASSWORD 'secret1'")
	psql(tables + "GRANT SELECT ON aliases TO filbert, secure")

	unix := settings.Lookup{Type: "pgsql", Servers: []string{fmt.Sprintf("%s/.s.PGSQL.%d", s.dir, s.port)}, Username: "filbert", Password: "secret1",
		Database: "postgres", Query: aliasQuery}
	tcp := unix
	tcp.Servers = []string{fmt.Sprintf("localhost:%d", s.port)}
	secure := tcp
	secure.Username, secure.TLS, secure.CAFile = "secure", "on", s.path("ca.pem")
	gives(t, unix)
	gives(t, tcp)
	gives(t, secure)
	worksConfined(t, map[string]settings.Lookup{"unix": unix, "tcp": tcp, "tls": secure})
	sqlRows(t, unix, "k LIKE {local_part} || '@%' AND k LIKE '%@' || {domain}")

	number := unix
	number.Query = "SELECT n, n = 1, k FROM aliases WHERE n::text = {local_part}"
	wants(t, opened(t, number), "42@x.org", true, "42 f two@a.org")
	changing := opened(t, unix)
	wants(t, changing, "two@a.org", true, "v w")
	psql("ALTER TABLE aliases ALTER w TYPE text; ALTER TABLE aliases ALTER k TYPE text")
	wants(t, changing, "two@a.org", true, "v w")

	plain := secure
	plain.TLS = ""
	fails(t, plain, "pg_hba.conf")
	unknown := secure
	unknown.CAFile = ""
	fails(t, unknown, "certificate")
	wrong := unix
	wrong.Password = "wrong-password"
	fails(t, wrong, "password authentication failed")
	outlives(t, s, unix)
	outlives(t, s, secure)
}

// sqlRows are claims about rows and columns.
func sqlRows(t *testing.T, set settings.Lookup, like string) {
	t.Helper()
	table := opened(t, set)
	wants(t, table, "null@a.org", true)
	wants(t, table, "two@a.org", true, "v w")
	set.Query = "SELECT v FROM aliases WHERE " + like
	table = opened(t, set)
	wants(t, table, "joe@a.org", true, "x@b.org")
	wants(t, table, "joe", false)
	set.Query = "SELECT v FROM nothing WHERE k = {key}"
	fails(t, set, "nothing")
}

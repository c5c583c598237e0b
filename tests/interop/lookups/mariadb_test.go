//go:build interop

package lookups

import (
	"fmt"
	"testing"

	"filbert/pkg/settings"
)

const mariadbInit = `SET NAMES utf8mb4;
CREATE DATABASE IF NOT EXISTS mail CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS filbert@'%' IDENTIFIED BY 'secret1';
CREATE USER IF NOT EXISTS secure@'%' IDENTIFIED BY 'secret1' REQUIRE SSL;
USE mail;
DROP TABLE IF EXISTS aliases;
` + tables + `GRANT SELECT ON mail.* TO filbert@'%', secure@'%';
`

func TestMariaDB(t *testing.T) {
	t.Parallel()
	s := newServer(t, "mariadb")
	s.run(t, "usr/bin/mariadb-install-db", "--no-defaults", "--basedir="+s.root+"/usr", "--datadir="+s.path("data/db"),
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=5M")
	s.command = []string{"usr/sbin/mariadbd", "--no-defaults", "--basedir=" + s.root + "/usr", "--datadir=" + s.path("data/db"), "--socket=" + s.path("s"),
		"--port=" + fmt.Sprint(s.port), "--bind-address=127.0.0.1", "--skip-name-resolve", "--pid-file=" + s.path("pid"), "--tmpdir=" + s.dir,
		"--plugin-dir=" + s.root + "/usr/lib/mysql/plugin", "--innodb-buffer-pool-size=8M", "--innodb-log-file-size=5M", "--performance-schema=off",
		"--ssl-cert=" + s.path("server.pem"), "--ssl-key=" + s.path("server.key"), "--ssl-ca=" + s.path("ca.pem"),
		"--init-file=" + s.file(t, "init.sql", mariadbInit)}
	s.start(t)

	unix := settings.Lookup{Type: "mysql", Servers: []string{s.path("s")}, Username: "filbert", Password: "secret1", Database: "mail", Query: aliasQuery}
	tcp := unix
	tcp.Servers = []string{fmt.Sprintf("localhost:%d", s.port)}
	secure := tcp
	secure.Username, secure.TLS, secure.CAFile = "secure", "on", s.path("ca.pem")
	gives(t, unix)
	gives(t, tcp)
	gives(t, secure)
	worksConfined(t, map[string]settings.Lookup{"unix": unix, "tcp": tcp, "tls": secure})
	sqlRows(t, unix, "k LIKE concat({local_part}, '@%') AND k LIKE concat('%@', {domain})")

	plain := secure
	plain.TLS = ""
	fails(t, plain, "Access denied")
	unknown := secure
	unknown.CAFile = ""
	fails(t, unknown, "certificate")
	wrong := unix
	wrong.Password = "wrong-password"
	fails(t, wrong, "Access denied")
	outlives(t, s, unix)
	outlives(t, s, secure)
}

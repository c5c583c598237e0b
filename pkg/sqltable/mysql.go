package sqltable

import (
	"context"
	"crypto/tls"
	"database/sql"
	"net"

	"github.com/go-sql-driver/mysql"

	"filbert/pkg/lookup"
	"filbert/pkg/lookup/link"
	"filbert/pkg/settings"
)

// connectMySQL prepares the pool of a MySQL or MariaDB server.
func connectMySQL(set settings.Lookup, s lookup.Server, trust *tls.Config, text string) (asker, error) {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName = set.Username, set.Password, set.Database
	c.Net, c.Addr = s.Network, s.Address
	c.TLS = link.TLS(s, trust)
	c.Collation = "utf8mb4_general_ci" // known to both, and to old ones
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return link.Dial(ctx, s, trust) }
	// The context ends a question; these are for what the library does without one.
	c.Timeout, c.ReadTimeout, c.WriteTimeout = lookup.TimeoutOf(set), lookup.TimeoutOf(set), lookup.TimeoutOf(set)
	c.Logger = &mysql.NopLogger{}
	c.AllowCleartextPasswords, c.AllowOldPasswords, c.AllowFallbackToPlaintext = false, false, false
	// Bound by the server: the library must not build texts out of keys.
	c.InterpolateParams, c.MultiStatements = false, false
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return newDatabase(sql.OpenDB(connector), text, lookup.ConnectionsOf(set)), nil
}

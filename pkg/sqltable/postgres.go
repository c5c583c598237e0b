package sqltable

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"filbert/pkg/lookup"
	"filbert/pkg/lookup/link"
	"filbert/pkg/settings"
)

// neutral names everything that pgx would else take from the environment or
// the home directory. With a password there it reads no password file. What is
// to be is then written over it.
const neutral = "host=localhost port=5432 user=nobody password=none database=none sslmode=disable " +
	"sslcertmode=disable sslnegotiation=postgres sslkey='' sslcert='' sslrootcert='' sslpassword='' sslsni=1 " +
	"passfile=/dev/null servicefile=/dev/null target_session_attrs=any connect_timeout=0 " +
	"min_protocol_version=3.0 max_protocol_version=3.0 channel_binding=prefer require_auth=''"

// connectPostgres prepares the pool of a PostgreSQL server.
func connectPostgres(set settings.Lookup, s lookup.Server, trust *tls.Config, text string) (asker, error) {
	c, err := configure(set, s, trust)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, c) }
	return &postgres{pool: lookup.NewPool(lookup.ConnectionsOf(set), dial, hangUp), text: text}, nil
}

// configure says all that there is to say, so that nothing is left to others.
func configure(set settings.Lookup, s lookup.Server, trust *tls.Config) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(neutral)
	if err != nil {
		// PGSERVICE is the one variable that nothing can override.
		return nil, fmt.Errorf("prepare pgx: %w", err)
	}
	c.Host, c.Port = s.Host, s.Port
	if s.Network == "unix" {
		c.Host, c.Port = "localhost", 5432 // for messages; dial knows better
	}
	c.User, c.Password, c.Database = set.Username, set.Password, set.Database
	if c.Database == "" {
		c.Database = set.Username // as every PostgreSQL client does
	}
	c.TLSConfig = link.TLS(s, trust)
	c.Fallbacks = nil // one would go without TLS
	c.ValidateConnect = nil
	c.KerberosSrvName, c.KerberosSpn = "", ""
	c.ConnectTimeout = lookup.TimeoutOf(set)
	c.RuntimeParams = map[string]string{
		"application_name": "filbert",
		"client_encoding":  "UTF8",
		// The server gives up too, when we have.
		"statement_timeout": strconv.FormatInt(lookup.TimeoutOf(set).Milliseconds(), 10),
	}
	c.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return link.Dial(ctx, s, trust) }
	// No statement has a name on the server, so that poolers may stand between.
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	return c, nil
}

// postgres is a pool of connections to a PostgreSQL server.
type postgres struct {
	pool *lookup.Pool[*pgx.Conn]
	text string
}

// farewell bounds the saying of it.
const farewell = time.Second

func hangUp(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = c.Close(ctx)
}

func (p *postgres) find(ctx context.Context, args []any) (lookup.Answer, error) {
	// The server writes every type as text itself.
	args = append([]any{pgx.QueryResultFormats{pgx.TextFormatCode}}, args...)
	var a lookup.Answer
	err := p.pool.Do(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		if a, err = p.ask(ctx, c, args); err != nil && !errors.Is(err, lookup.ErrUnusable) {
			// After any error the connection is given up: what it knows of a table may
			// be out of date.
			return fmt.Errorf("%w: %w", lookup.ErrBroken, err)
		}
		return err
	})
	return a, err
}

func (p *postgres) ask(ctx context.Context, c *pgx.Conn, args []any) (lookup.Answer, error) {
	found, err := c.Query(ctx, p.text, args...)
	if err != nil {
		return lookup.Answer{}, err
	}
	defer found.Close()
	if err := width(len(found.FieldDescriptions())); err != nil && found.Err() == nil {
		return lookup.Answer{}, err
	}
	var out rows
	for found.Next() {
		if err := out.add(found.RawValues()); err != nil {
			return lookup.Answer{}, err
		}
	}
	if err := found.Err(); err != nil {
		return lookup.Answer{}, err
	}
	return out.done()
}

func (p *postgres) close() { p.pool.Close() }

package sqltable

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"filbert/pkg/lookup"
	"filbert/pkg/lookup/link"
	"filbert/pkg/settings"
)

// How long a connection is kept that nobody uses, and how long any: then a
// server that was moved behind its name is found again. Ours.
const (
	connMaxIdle = time.Minute
	connMaxLife = 30 * time.Minute
)

// Open makes a table of a database. It checks what can be checked without
// asking anybody.
func Open(set settings.Lookup) (lookup.Table, error) {
	switch set.Type {
	case "sqlite":
		return openFile(set)
	case "pgsql":
		return openServers(set, connectPostgres)
	case "mysql":
		return openServers(set, connectMySQL)
	}
	return nil, fmt.Errorf("%q is no SQL database", set.Type)
}

// servers is a table on database servers.
type servers struct {
	stmt     lookup.Statement
	failover *lookup.Failover
	names    []string // for Where
	dbs      []asker
}

// asker is a pool of connections to one server.
type asker interface {
	find(ctx context.Context, args []any) (lookup.Answer, error)
	close()
}

// connect makes a pool, and no connection.
type connect func(set settings.Lookup, s lookup.Server, trust *tls.Config, text string) (asker, error)

func openServers(set settings.Lookup, connect connect) (lookup.Table, error) {
	stmt, err := lookup.ParseStatement(set.Type, set.Query)
	if err != nil {
		return nil, err
	}
	list, err := lookup.Servers(set)
	if err != nil {
		return nil, err
	}
	if set.Username == "" {
		return nil, fmt.Errorf("no username to log in to %s", set.Type)
	}
	trust, err := link.Trust(set, list)
	if err != nil {
		return nil, err
	}
	t := &servers{stmt: stmt, failover: lookup.NewFailover(list, lookup.TimeoutOf(set))}
	for _, s := range list {
		db, err := connect(set, s, trust, stmt.Text)
		if err != nil {
			t.Close()
			return nil, fmt.Errorf("server %q: %w", s.Name, err)
		}
		t.names = append(t.names, set.Type+" "+s.Name)
		t.dbs = append(t.dbs, db)
	}
	return t, nil
}

// Find asks the servers in order.
func (t *servers) Find(ctx context.Context, key string) (lookup.Answer, error) {
	args, ok := arguments(t.stmt, key)
	if !ok {
		return lookup.Answer{}, nil
	}
	var a lookup.Answer
	err := t.failover.Ask(ctx, func(ctx context.Context, server int) (err error) {
		a, err = t.dbs[server].find(ctx, args)
		a.Where = t.names[server]
		return err
	})
	if err != nil {
		return lookup.Answer{}, err
	}
	return a, nil
}

func arguments(s lookup.Statement, key string) ([]any, bool) {
	subject, ok := lookup.SubjectOf(key)
	if !ok {
		return nil, false
	}
	return s.Arguments(subject)
}

// Close ends all connections.
func (t *servers) Close() {
	for _, db := range t.dbs {
		db.close()
	}
}

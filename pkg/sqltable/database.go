package sqltable

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"filbert/pkg/lookup"
)

// database is one server, or one file, that is asked through database/sql.
type database struct {
	db   *sql.DB
	text string

	mu   sync.Mutex
	stmt *sql.Stmt
}

// newDatabase bounds the pool. Idle connections stay, up to the bound: a queue
// run asks many questions at once.
func newDatabase(db *sql.DB, text string, connections int) *database {
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(connMaxIdle)
	db.SetConnMaxLifetime(connMaxLife)
	return &database{db: db, text: text}
}

// find asks once, and once more when the question may have been lost with an
// old connection. It only reads.
func (d *database) find(ctx context.Context, args []any) (lookup.Answer, error) {
	a, err := d.once(ctx, args)
	if err != nil && ctx.Err() == nil && !errors.Is(err, lookup.ErrUnusable) {
		a, err = d.once(ctx, args)
	}
	return a, err
}

func (d *database) once(ctx context.Context, args []any) (lookup.Answer, error) {
	stmt, err := d.prepared(ctx)
	if err != nil {
		return lookup.Answer{}, err
	}
	found, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return lookup.Answer{}, err
	}
	defer found.Close()
	return collect(found)
}

// prepared prepares the statement with the first question: Open asks nobody.
func (d *database) prepared(ctx context.Context) (*sql.Stmt, error) {
	d.mu.Lock()
	stmt := d.stmt
	d.mu.Unlock()
	if stmt != nil {
		return stmt, nil
	}
	// Not under the lock, which would let one slow connection hold up all.
	stmt, err := d.db.PrepareContext(ctx, d.text)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stmt != nil {
		stmt.Close()
		return d.stmt, nil
	}
	d.stmt = stmt
	return stmt, nil
}

func (d *database) close() { d.db.Close() }

func collect(found *sql.Rows) (lookup.Answer, error) {
	columns, err := found.Columns()
	if err != nil {
		return lookup.Answer{}, err
	}
	if err := width(len(columns)); err != nil {
		return lookup.Answer{}, err
	}
	raw, targets, cells := make([]sql.RawBytes, len(columns)), make([]any, len(columns)), make([][]byte, len(columns))
	for i := range raw {
		targets[i] = &raw[i]
	}
	var out rows
	for found.Next() {
		if err := found.Scan(targets...); err != nil {
			return lookup.Answer{}, err
		}
		for i := range raw {
			cells[i] = raw[i]
		}
		if err := out.add(cells); err != nil {
			return lookup.Answer{}, err
		}
	}
	if err := found.Err(); err != nil {
		return lookup.Answer{}, err
	}
	return out.done()
}

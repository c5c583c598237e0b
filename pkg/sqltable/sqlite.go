package sqltable

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the driver

	"filbert/pkg/lookup"
	"filbert/pkg/settings"
)

// file is a table in a SQLite database.
type file struct {
	path        string
	stmt        lookup.Statement
	timeout     time.Duration
	connections int

	mu   sync.Mutex
	open *opened
	old  sync.WaitGroup // databases that were replaced and still answer
}

// opened is the file that stood at the path when it was opened.
type opened struct {
	*database
	id    identity
	users sync.WaitGroup
}

// identity tells a file from another one of the same name.
type identity struct{ device, inode uint64 }

func openFile(set settings.Lookup) (lookup.Table, error) {
	stmt, err := lookup.ParseStatement(set.Type, set.Query)
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(set.Path) {
		return nil, fmt.Errorf("the path %q is not absolute", set.Path)
	}
	return &file{path: set.Path, stmt: stmt, timeout: lookup.TimeoutOf(set), connections: lookup.ConnectionsOf(set)}, nil
}

// Find asks the file that stands at the path now.
func (f *file) Find(ctx context.Context, key string) (lookup.Answer, error) {
	args, ok := arguments(f.stmt, key)
	if !ok {
		return lookup.Answer{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	o, err := f.current()
	if err != nil {
		return lookup.Answer{}, err
	}
	defer o.users.Done()
	a, err := o.find(ctx, args)
	if err != nil {
		return lookup.Answer{}, f.explain(err)
	}
	a.Where = "sqlite " + f.path
	return a, nil
}

// current gives the database, opened anew when there is another file; the
// caller is one of its users.
func (f *file) current() (*opened, error) {
	// Looked at before it is opened: when it is replaced in between, the next
	// question sees it.
	id, err := identify(f.path)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil || f.open.id != id {
		db, err := sql.Open("sqlite", source(f.path))
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", f.path, err)
		}
		f.retire()
		f.open = &opened{id: id, database: newDatabase(db, f.stmt.Text, f.connections)}
	}
	f.open.users.Add(1)
	return f.open, nil
}

// retire closes the database when its last user is done. Requires: mu is held.
func (f *file) retire() {
	if o := f.open; o != nil {
		f.open = nil
		f.old.Go(func() {
			o.users.Wait()
			o.close()
		})
	}
}

// source opens the file read only, in ways that need no other file. A query
// that writes is refused by the pragma too.
func source(path string) string {
	u := url.URL{Scheme: "file", Path: path}
	return u.String() + "?mode=ro&_pragma=busy_timeout(1000)&_pragma=query_only(1)&_pragma=temp_store(2)&_pragma=trusted_schema(0)"
}

func identify(path string) (identity, error) {
	info, err := os.Stat(path)
	if err != nil {
		return identity{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.Mode().IsRegular() || !ok {
		return identity{}, fmt.Errorf("open %s: %w: it is no regular file", path, lookup.ErrUnfit)
	}
	return identity{uint64(st.Dev), st.Ino}, nil
}

// explain says what to do about what SQLite only has a number for.
func (f *file) explain(err error) error {
	err = fmt.Errorf("ask %s: %w", f.path, err)
	if wal(f.path) {
		return fmt.Errorf("%w (it is in WAL mode, which a reader alone can't open; run: sqlite3 %s 'PRAGMA journal_mode=DELETE')", err, f.path)
	}
	return err
}

// wal says whether a database is in WAL mode: octets 18 and 19 of the file are
// the versions of the format for writing and reading.
func wal(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [20]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return false
	}
	return head[18] == 2 || head[19] == 2
}

// Close ends what is open.
func (f *file) Close() {
	f.mu.Lock()
	f.retire()
	f.mu.Unlock()
	f.old.Wait()
}

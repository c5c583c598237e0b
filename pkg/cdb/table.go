package cdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"filbert/pkg/lookup"
)

// ErrChanged says that somebody writes over a database in place.
var ErrChanged = errors.New("it is being written over; put a new one in its place instead")

// Table is a lookup in a database.
type Table struct {
	file *lookup.File[*open]
	now  func() time.Time
}

// open is a database that is open. It is closed when it was dropped and nobody
// reads it any more.
type open struct {
	r    *Reader
	f    *os.File
	info fs.FileInfo // when it was opened

	mu      sync.Mutex
	readers int
	dropped bool
}

// OpenTable opens a database. One that can't be opened at the moment is told to
// Complain, and is an error of each Find.
func OpenTable(o lookup.Options) *Table {
	file, err := lookup.NewFile(lookup.Source[*open]{
		Path: o.Path, MaxSize: MaxSize, Take: take, Drop: (*open).drop, Complain: o.Complain,
	})
	if err != nil && o.Complain != nil {
		o.Complain(err)
	}
	return &Table{file: file, now: o.Now}
}

func take(name string, f *os.File, size int64) (*open, error) {
	r, err := NewReader(f, size)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return &open{r: r, f: f, info: info}, nil
}

// use lets a reader in, unless the file may be closed already.
func (o *open) use() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dropped {
		return false
	}
	o.readers++
	return true
}

func (o *open) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.readers--
	o.closeUnused()
}

func (o *open) drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropped = true
	o.closeUnused()
}

func (o *open) closeUnused() {
	if o.dropped && o.readers == 0 {
		o.f.Close()
	}
}

// Find gives the values of a key: as it is, then with a NUL behind it, which
// postmap and others put there. A NUL at the end of a value is taken away then.
func (t *Table) Find(ctx context.Context, key string) (lookup.Answer, error) {
	if key == "" || len(key) > lookup.MaxKey {
		return lookup.Answer{}, nil
	}
	for {
		o, err := t.file.Get(t.now())
		if err != nil {
			return lookup.Answer{}, err
		}
		if !o.use() {
			continue // replaced between the two lines
		}
		a, err := o.find(ctx, key)
		o.leave()
		if err != nil {
			return lookup.Answer{}, fmt.Errorf("read %s: %w", t.file.Path(), err)
		}
		if a.Found {
			a.Where = t.file.Path()
		}
		return a, nil
	}
}

func (o *open) find(ctx context.Context, key string) (lookup.Answer, error) {
	most := Limits{Values: lookup.MaxValues, Octets: lookup.MaxAnswer}
	k := append([]byte(key), 0)
	values, err := o.r.Find(ctx, k[:len(key)], most)
	nul := err == nil && values == nil
	if nul {
		values, err = o.r.Find(ctx, k, most)
	}
	if err != nil {
		return lookup.Answer{}, err
	}
	// Whatever was read while the file changed means nothing.
	if info, err := o.f.Stat(); err != nil || info.Size() != o.info.Size() || !info.ModTime().Equal(o.info.ModTime()) {
		return lookup.Answer{}, errors.Join(ErrChanged, err)
	}
	a := lookup.Answer{Found: values != nil}
	for _, v := range values {
		if n := len(v); nul && n > 0 && v[n-1] == 0 {
			v = v[:n-1]
		}
		if len(v) > 0 {
			a.Values = append(a.Values, string(v))
		}
	}
	return a, nil
}

// Reload looks at the file now.
func (t *Table) Reload() error { return t.file.Reload() }

// Close closes the database.
func (t *Table) Close() { t.file.Close() }

// Check says what is wrong with a database, without opening it as a table.
func Check(path string) error {
	var problem error
	t := OpenTable(lookup.Options{Path: path, Now: time.Now, Complain: func(err error) { problem = err }})
	t.Close()
	return problem
}

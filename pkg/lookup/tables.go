package lookup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Options are what the tables in files have in common.
type Options struct {
	Path string
	Now  func() time.Time
	// Complain is told of versions that can't be taken, the first included. nil: nobody is.
	Complain func(error)
}

// Reloader is a table that can be told to look at its file now.
type Reloader interface{ Reload() error }

// finder is what was made of a file.
type finder interface{ Find(key string) Answer }

// fileTable is a table of something that is kept true to a file.
type fileTable[T any] struct {
	file *File[T]
	now  func() time.Time
	find func(value T, key string) Answer
}

func openTable[T finder](o Options, limit int64, parse func(string, []byte) (T, error)) Table {
	return openWith(o, limit, parse, func(value T, key string) Answer { return value.Find(key) })
}

func openWith[T any](o Options, limit int64, parse func(string, []byte) (T, error), find func(T, string) Answer) Table {
	file, err := NewFile(Source[T]{Path: o.Path, MaxSize: limit, Parse: parse, Complain: o.Complain})
	if err != nil && o.Complain != nil {
		o.Complain(err)
	}
	return &fileTable[T]{file: file, now: o.Now, find: find}
}

// Find asks the version in force. Without one nothing is known: that is an error,
// not an absence.
func (t *fileTable[T]) Find(_ context.Context, key string) (Answer, error) {
	value, err := t.file.Get(t.now())
	if err != nil {
		return Answer{}, err
	}
	return t.find(value, key), nil
}

// Reload reads the file now.
func (t *fileTable[T]) Reload() error { return t.file.Reload() }

// Close forgets the file.
func (t *fileTable[T]) Close() { t.file.Close() }

// OpenText opens a file of keys and values (Text). A file that can't be read at
// the moment is an error of each Find, as for all tables in files.
func OpenText(o Options) Table { return openTable(o, MaxText, ParseText) }

// OpenRegexps opens a file of expressions (Regexps).
func OpenRegexps(o Options) Table { return openTable(o, MaxRegexps, ParseRegexps) }

// OpenNetworks opens a file of networks (Networks).
func OpenNetworks(o Options) Table { return openTable(o, MaxNetworks, ParseNetworks) }

// OpenPasswd opens the password file as a table: the key is the name of an
// account, the values are these attributes of it (AccountAttributes), "user" when
// none are named. An account that has nothing for any of them is not found.
func OpenPasswd(o Options, attributes []string) (Table, error) {
	if len(attributes) == 0 {
		attributes = []string{"user"}
	}
	for _, a := range attributes {
		if !slices.Contains(AccountAttributes(), a) {
			return nil, fmt.Errorf("open the accounts: there is no attribute %q", a)
		}
	}
	return openWith(o, MaxPasswd, ParsePasswd, func(p *Passwd, key string) Answer {
		account, ok := p.Find(key)
		if !ok {
			return Answer{}
		}
		a := Answer{Where: o.Path}
		for _, name := range attributes {
			if v := account.Attribute(name); v != "" {
				a.Values = append(a.Values, v)
			}
		}
		a.Found = len(a.Values) > 0
		return a
	}), nil
}

// Inline is a table that stands in the configuration.
type Inline struct{ entries map[string]string }

// NewInline makes it. Two spellings of one key are a mistake.
func NewInline(entries map[string]string) (*Inline, error) {
	t := &Inline{entries: make(map[string]string, len(entries))}
	for _, key := range slices.Sorted(maps.Keys(entries)) { // so that the same mistake is told each time
		value := entries[key]
		k := Key(key)
		if _, twice := t.entries[k]; twice {
			return nil, fmt.Errorf("%s stands among the entries twice, in two spellings", quote(key))
		}
		t.entries[k] = value
	}
	return t, nil
}

// Find never fails.
func (t *Inline) Find(_ context.Context, key string) (Answer, error) {
	value, ok := t.entries[Key(key)]
	if !ok {
		return Answer{}, nil
	}
	a := Answer{Found: true, Where: "the configuration"}
	if value != "" {
		a.Values = []string{value}
	}
	return a, nil
}

// Close does nothing.
func (t *Inline) Close() {}

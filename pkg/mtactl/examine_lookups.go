package mtactl

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"filbert/pkg/cdb"
	"filbert/pkg/lookup"
)

// lookups reads the files of lookups. One that can't be read is a warning: it
// may be made later, by a program of its own.
func (x *examiner) lookups() {
	for _, name := range slices.Sorted(maps.Keys(x.s.Lookups)) {
		l := x.s.Lookups[name]
		if l.CAFile != "" {
			if err := checkAuthorities(l.CAFile); err != nil {
				x.unread(l.CAFile, err)
			}
		}
		switch l.Type {
		case "file":
			x.lookupFile(l.Path, lookup.MaxText, func(name string, data []byte) error { return second(lookup.ParseText(name, data)) })
		case "regexp":
			x.lookupFile(l.Path, lookup.MaxRegexps, func(name string, data []byte) error { return second(lookup.ParseRegexps(name, data)) })
		case "cidr":
			x.lookupFile(l.Path, lookup.MaxNetworks, func(name string, data []byte) error { return second(lookup.ParseNetworks(name, data)) })
		case "cdb":
			if err := cdb.Check(l.Path); err != nil {
				x.unread(l.Path, err)
			}
		case "sqlite":
			if err := checkSQLite(l.Path); err != nil {
				x.unread(l.Path, err)
			}
		}
	}
}

// maxAuthorities bounds a file of certificates.
const maxAuthorities = 16 << 20

// checkAuthorities looks for certificates in a file.
func checkAuthorities(path string) error {
	data, err := lookup.ReadFile(path, maxAuthorities)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(data) {
		err = fmt.Errorf("%s has no certificates in PEM form", filepath.Base(path))
	}
	return err
}

// second is what a parser says of what it was given.
func second[T any](_ T, err error) error { return err }

func (x *examiner) lookupFile(path string, limit int64, parse func(string, []byte) error) {
	data, err := lookup.ReadFile(path, limit)
	if err == nil {
		err = parse(path, data)
	}
	var ps *lookup.Problems
	switch {
	case errors.As(err, &ps):
		x.tableProblems(path, ps.List)
	case err != nil:
		x.unread(path, err)
	}
}

// checkSQLite looks at the header of a database (the format of SQLite files,
// section 1.3). What the query makes of it only router knows, which has SQLite.
func checkSQLite(path string) error {
	// A named pipe would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	const magic = "SQLite format 3\x00"
	var head [20]byte
	switch _, err := f.ReadAt(head[:], 0); {
	case err != nil || string(head[:len(magic)]) != magic:
		return fmt.Errorf("%s is no database of SQLite", filepath.Base(path))
	case head[18] == 2 || head[19] == 2:
		return fmt.Errorf("%s is in WAL mode, which a reader alone can't open (sqlite3 %s 'PRAGMA journal_mode=DELETE')", filepath.Base(path), path)
	}
	return nil
}

func (x *examiner) unread(path string, err error) {
	x.doubt(path, "cannot be read: "+reason(err), "mail that this lookup decides about waits until it can")
}

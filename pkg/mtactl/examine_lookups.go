package mtactl

import (
	"errors"
	"maps"
	"slices"

	"filbert/pkg/cdb"
	"filbert/pkg/lookup"
)

// lookups reads the files of lookups. One that can't be read is a warning: it
// may be made later, by a program of its own.
func (x *examiner) lookups() {
	for _, name := range slices.Sorted(maps.Keys(x.s.Lookups)) {
		l := x.s.Lookups[name]
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
		}
	}
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

func (x *examiner) unread(path string, err error) {
	x.doubt(path, "cannot be read: "+reason(err), "mail that this lookup decides about waits until it can")
}

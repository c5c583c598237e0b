package tables

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"filbert/pkg/lookup"
	"filbert/pkg/settings"
)

// ErrNoLookup says that there is no lookup of a name. It is nothing that waiting
// mends, but it must not look like "not found" either.
var ErrNoLookup = errors.New("there is no such lookup")

// Set has all lookups of a configuration, by name. It may be used by many
// goroutines.
type Set struct{ tables map[string]*guard }

// OpenAll opens all of them, or none: the error tells about each that it could
// not open.
func OpenAll(lookups map[string]settings.Lookup, world World) (*Set, error) {
	s := &Set{tables: make(map[string]*guard, len(lookups))}
	var errs []error
	for name, set := range lookups {
		t, err := openGuard(name, set, world)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.tables[name] = t
	}
	if len(errs) > 0 {
		s.Close()
		slices.SortFunc(errs, func(a, b error) int {
			if a.Error() < b.Error() {
				return -1
			}
			return 1
		})
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// Find asks a lookup. The values of the answer are shared, and must not be
// changed.
func (s *Set) Find(ctx context.Context, name, key string) (lookup.Answer, error) {
	t, ok := s.tables[name]
	if !ok {
		return lookup.Answer{}, fmt.Errorf("lookup %s: %w", name, ErrNoLookup)
	}
	return t.Find(ctx, key)
}

// Ask is Find for patterns (pattern.Ask): whether the key is there.
func (s *Set) Ask(ctx context.Context, name, key string) (bool, error) {
	a, err := s.Find(ctx, name, key)
	return a.Found, err
}

// Has tells whether there is a lookup of a name.
func (s *Set) Has(name string) bool {
	_, ok := s.tables[name]
	return ok
}

// Reload has all files looked at now, and forgets what servers answered. The
// error tells of each file that was not taken; its old content stays in force.
func (s *Set) Reload() error {
	var errs []error
	for _, t := range s.tables {
		errs = append(errs, t.Reload())
	}
	return errors.Join(errs...)
}

// Close closes all. No Find may be under way.
func (s *Set) Close() {
	for _, t := range s.tables {
		t.Close()
	}
}

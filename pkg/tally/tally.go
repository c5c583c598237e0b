package tally

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Figure is how often something happened, and how long it took in all.
type Figure struct {
	count, nanos atomic.Uint64
}

// Add counts n things that take no time worth measuring.
func (f *Figure) Add(n int) {
	if f != nil && n > 0 {
		f.count.Add(uint64(n))
	}
}

// Took counts one thing and its time.
func (f *Figure) Took(d time.Duration) {
	if f != nil {
		f.count.Add(1)
		f.nanos.Add(uint64(max(d, 0)))
	}
}

// Count is how often it happened.
func (f *Figure) Count() uint64 {
	if f == nil {
		return 0
	}
	return f.count.Load()
}

// Reading is what a figure has come to.
type Reading struct {
	Name  string
	Count uint64
	Time  time.Duration // in all
}

// Set is the figures of a process. Its zero value is ready; a nil one has none.
type Set struct {
	mu     sync.Mutex
	byName map[string]*Figure
}

// Figure gives the figure of a name, the same each time. It is for the start of a
// program and not for each thing that is counted.
func (s *Set) Figure(name string) *Figure {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.byName[name]
	if f == nil {
		if s.byName == nil {
			s.byName = map[string]*Figure{}
		}
		f = new(Figure)
		s.byName[name] = f
	}
	return f
}

// Read is all figures now, by name.
func (s *Set) Read() []Reading {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Reading, 0, len(s.byName))
	for name, f := range s.byName {
		out = append(out, Reading{name, f.count.Load(), time.Duration(f.nanos.Load())})
	}
	slices.SortFunc(out, func(a, b Reading) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

package crashfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// The seeds of Restart with a meaning of their own.
const (
	Nothing uint64 = 0 // nothing that was not flushed survived
	All     uint64 = 1 // everything did: the machine was killed, not the power
)

// Restart is what is on disk after a cut, as a tree of its own, with no limits.
// Each seed is another selection of what was not flushed; the same seed gives the
// same one. It may be called again and again, and on a tree that was not cut.
func (f *FS) Restart(seed uint64) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := rand.New(rand.NewPCG(seed, 0))
	pick := func(n int) int {
		switch seed {
		case Nothing:
			return 0
		case All:
			return n - 1
		}
		return r.IntN(n)
	}
	s := &survival{pick: pick, kept: make(map[*change]bool), made: make(map[*node]*node)}
	s.chooseNames(f.root)
	s.dropHalves(f.root)
	out := New()
	out.root = s.copy(f.root)
	return out
}

// Kill ends the processes and leaves the machine running: all descriptors and
// locks of f are gone, what was written and not flushed is still in the page
// cache, for those who open it in the tree that Kill returns, and for a later
// power cut to forget. f itself is as after a cut.
func (f *FS) Kill() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = true
	f.unlocked.Broadcast()
	out := New()
	out.root = f.root
	eachNode(f.root, func(n *node) { n.holder = nil })
	return out
}

// eachNode visits all nodes that have a name now.
func eachNode(n *node, visit func(*node)) {
	visit(n)
	for _, c := range n.now {
		eachNode(c, visit)
	}
}

// survival is one selection.
type survival struct {
	pick chooser
	kept map[*change]bool
	made map[*node]*node
}

// eachDir visits the directories that may survive, parents first, in one order.
func eachDir(root *node, visit func(*node)) {
	seen := make(map[*node]bool)
	var walk func(n *node)
	walk = func(n *node) {
		if !n.dir || seen[n] {
			return
		}
		seen[n] = true
		visit(n)
		for _, name := range slices.Sorted(maps.Keys(n.disk)) {
			walk(n.disk[name])
		}
		for _, c := range n.pending {
			if c.to != nil {
				walk(c.to)
			}
		}
	}
	walk(root)
}

// chooseNames keeps, of each name, its changes up to some point.
func (s *survival) chooseNames(root *node) {
	eachDir(root, func(n *node) {
		byName := make(map[string][]*change)
		var order []string
		for _, c := range n.pending {
			if byName[c.name] == nil {
				order = append(order, c.name)
			}
			byName[c.name] = append(byName[c.name], c)
		}
		for _, name := range order {
			list := byName[name]
			for _, c := range list[:s.pick(len(list)+1)] {
				s.kept[c] = true
			}
		}
	})
}

// dropHalves takes back removals whose other half did not survive, and what came
// after them under the same name, until nothing changes.
func (s *survival) dropHalves(root *node) {
	for changed := true; changed; {
		changed = false
		eachDir(root, func(n *node) {
			dropped := make(map[string]bool)
			for _, c := range n.pending {
				if !s.kept[c] {
					continue
				}
				half := c.needs != nil && !c.needs.durable && !s.kept[c.needs]
				if half || dropped[c.name] {
					delete(s.kept, c)
					dropped[c.name] = true
					changed = true
				}
			}
		})
	}
}

// copy makes the surviving tree. A file with two names stays one file.
func (s *survival) copy(n *node) *node {
	if m := s.made[n]; m != nil {
		return m
	}
	if !n.dir {
		b := n.survivor(s.pick)
		m := &node{data: b, onDisk: slices.Clone(b)}
		s.made[n] = m
		return m
	}
	m := newDir()
	s.made[n] = m
	names := maps.Clone(n.disk)
	for _, c := range n.pending {
		if !s.kept[c] {
			continue
		}
		if c.to == nil {
			delete(names, c.name)
		} else {
			names[c.name] = c.to
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		m.now[name] = s.copy(names[name])
	}
	m.syncNames()
	return m
}

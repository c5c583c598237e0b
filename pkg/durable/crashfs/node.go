package crashfs

import (
	"io/fs"
	"maps"
	"slices"
)

const sector = 512

// node is a file or a directory: what it is now, what is on disk, and what lies
// between.
type node struct {
	dir bool

	// A directory's names. pending is all changes since the last SyncDir.
	now, disk map[string]*node
	pending   []*change

	// A file's bytes. versions is, of each sector that was written since the
	// last flush, every state it had; lengths the same of the length.
	data, onDisk []byte
	versions     map[int64][][]byte
	lengths      []int64

	holder *file // of the lock
}

// change is one name that was set or removed (to == nil).
type change struct {
	name string
	to   *node
	// needs is, of the removal of a rename's old name, the new name: the
	// removal does not survive without it.
	needs   *change
	durable bool
}

func newDir() *node {
	return &node{dir: true, now: make(map[string]*node), disk: make(map[string]*node)}
}

func (n *node) mode() fs.FileMode {
	if n.dir {
		return fs.ModeDir
	}
	return 0
}

func (n *node) set(name string, to *node, needs *change) *change {
	if to == nil {
		delete(n.now, name)
	} else {
		n.now[name] = to
	}
	c := &change{name: name, to: to, needs: needs}
	n.pending = append(n.pending, c)
	return c
}

func (n *node) syncNames() {
	n.disk = maps.Clone(n.now)
	for _, c := range n.pending {
		c.durable = true
	}
	n.pending = nil
}

// write puts bytes at an offset, in memory.
func (n *node) write(p []byte, off int64) {
	end := off + int64(len(p))
	if end > int64(len(n.data)) {
		n.resize(end)
	}
	copy(n.data[off:], p)
	for s := off / sector; s*sector < end; s++ {
		n.noteSector(s)
	}
}

func (n *node) noteSector(s int64) {
	if n.versions == nil {
		n.versions = make(map[int64][][]byte)
	}
	v := make([]byte, sector)
	copy(v, n.data[s*sector:min(int64(len(n.data)), (s+1)*sector)])
	n.versions[s] = append(n.versions[s], v)
}

func (n *node) resize(size int64) {
	old := int64(len(n.data))
	n.lengths = append(n.lengths, size)
	if size <= old {
		n.data = slices.Clone(n.data[:size])
		return
	}
	n.data = append(n.data, make([]byte, size-old)...)
	for s := old / sector; s*sector < size; s++ {
		n.noteSector(s)
	}
}

// flush puts on disk what is dirty, and only that: pages that a failed flush
// dropped are not.
func (n *node) flush() {
	n.onDisk = n.survivor(func(states int) int { return states - 1 })
	n.versions, n.lengths = nil, nil
}

// chooser picks one of n states, 0 the oldest.
type chooser func(n int) int

// survivor is what the disk has of the bytes after a cut: each sector and the
// length in one of the states they had since the last flush.
func (n *node) survivor(pick chooser) []byte {
	size := int64(len(n.onDisk))
	if i := pick(len(n.lengths) + 1); i > 0 {
		size = n.lengths[i-1]
	}
	out := make([]byte, (size+sector-1)/sector*sector)
	copy(out, n.onDisk)
	for _, s := range slices.Sorted(maps.Keys(n.versions)) {
		i := pick(len(n.versions[s]) + 1)
		if i > 0 && s*sector < size {
			copy(out[s*sector:], n.versions[s][i-1])
		}
	}
	return out[:size]
}

package qmgr

import (
	"iter"
	"slices"

	"filbert/pkg/queueid"
)

// chunkMax is how many entries lie in one chunk of the index: few enough that to make
// room in the middle of one costs no more than to find it.
const chunkMax = 512

// index is the entries in the order of their ids, oldest first, in chunks. It takes the
// place of a map, for a third of its memory, and gives a page of a list without sorting
// the whole.
type index struct {
	chunks [][]*entry // none is empty; together in order
	n      int
}

// chunk is the number of the chunk in which id is or would be.
func (x *index) chunk(id queueid.ID) int {
	// All new mail, and an index on disk that is in order, is behind the newest.
	if n := len(x.chunks); n > 0 && x.newest() < id {
		return n
	}
	i, _ := slices.BinarySearchFunc(x.chunks, id, func(c []*entry, id queueid.ID) int {
		if c[len(c)-1].id < id {
			return -1
		}
		return 1
	})
	return i
}

func within(c []*entry, id queueid.ID) (int, bool) {
	return slices.BinarySearchFunc(c, id, func(e *entry, id queueid.ID) int {
		switch {
		case e.id < id:
			return -1
		case e.id > id:
			return 1
		}
		return 0
	})
}

// get is the entry of id, nil if there is none.
func (x *index) get(id queueid.ID) *entry {
	i := x.chunk(id)
	if i == len(x.chunks) {
		return nil
	}
	if k, found := within(x.chunks[i], id); found {
		return x.chunks[i][k]
	}
	return nil
}

// add puts in an entry whose id is not there.
func (x *index) add(e *entry) {
	x.n++
	i := x.chunk(e.id)
	if i == len(x.chunks) { // the newest, as all new mail is
		if i == 0 || len(x.chunks[i-1]) == chunkMax {
			x.chunks = append(x.chunks, make([]*entry, 0, chunkMax))
			i++
		}
		x.chunks[i-1] = append(x.chunks[i-1], e)
		return
	}
	if c := x.chunks[i]; len(c) == chunkMax {
		// A copy of its own, as the rest of c must not be overwritten.
		upper := append(make([]*entry, 0, chunkMax), c[chunkMax/2:]...)
		clear(c[chunkMax/2:])
		x.chunks[i] = c[:chunkMax/2]
		x.chunks = slices.Insert(x.chunks, i+1, upper)
		if e.id > x.chunks[i][chunkMax/2-1].id {
			i++
		}
	}
	k, _ := within(x.chunks[i], e.id)
	x.chunks[i] = slices.Insert(x.chunks[i], k, e)
}

// remove takes out the entry of id if it is there.
func (x *index) remove(id queueid.ID) {
	i := x.chunk(id)
	if i == len(x.chunks) {
		return
	}
	k, found := within(x.chunks[i], id)
	if !found {
		return
	}
	x.n--
	c := slices.Delete(x.chunks[i], k, k+1)
	x.chunks[i] = c
	if len(c) == 0 {
		x.chunks = slices.Delete(x.chunks, i, i+1)
		return
	}
	// Neighbours that have become small share one chunk, so that a queue that has
	// drained does not leave its chunks behind.
	if i+1 < len(x.chunks) && len(c)+len(x.chunks[i+1]) <= chunkMax/2 {
		x.chunks[i] = append(c, x.chunks[i+1]...)
		x.chunks = slices.Delete(x.chunks, i+1, i+2)
	}
}

// after is the entries with a greater id than after, oldest first. Nothing may be added
// or removed meanwhile.
func (x *index) after(after queueid.ID) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for i := x.chunk(after + 1); i < len(x.chunks); i++ {
			c := x.chunks[i]
			if c[0].id <= after {
				k, _ := within(c, after+1)
				c = c[k:]
			}
			for _, e := range c {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// newest is the greatest id, zero without entries.
func (x *index) newest() queueid.ID {
	if len(x.chunks) == 0 {
		return 0
	}
	c := x.chunks[len(x.chunks)-1]
	return c[len(c)-1].id
}

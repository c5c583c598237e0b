package qmgr

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"filbert/pkg/queueid"
)

func idsOf(x *index, after queueid.ID) []queueid.ID {
	ids := []queueid.ID{}
	for e := range x.after(after) {
		ids = append(ids, e.id)
	}
	return ids
}

func TestIndexHoldsWhatAMapWouldInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x index
		want := map[queueid.ID]*entry{}
		// Runs of ids, so that chunks fill, split, empty and join.
		for range rapid.IntRange(1, 12).Draw(t, "runs") {
			from := queueid.ID(rapid.IntRange(1, 4000).Draw(t, "from"))
			step := queueid.ID(rapid.IntRange(1, 3).Draw(t, "step"))
			put := rapid.Bool().Draw(t, "put")
			for id := from; id < from+900*step; id += step {
				if !put {
					x.remove(id)
					delete(want, id)
				} else if want[id] == nil {
					want[id] = &entry{id: id}
					x.add(want[id])
				}
			}
		}
		sorted := slices.Sorted(maps.Keys(want))
		if got := idsOf(&x, 0); !slices.Equal(got, sorted) || x.n != len(want) {
			t.Fatalf("%d entries counted, %d told, want %d", x.n, len(got), len(want))
		}
		for id := queueid.ID(1); id < 7000; id += 7 {
			if x.get(id) != want[id] {
				t.Fatalf("entry of %d", uint64(id))
			}
		}
		after := queueid.ID(rapid.IntRange(0, 7000).Draw(t, "after"))
		k, found := slices.BinarySearch(sorted, after)
		if found {
			k++
		}
		if got := idsOf(&x, after); !slices.Equal(got, sorted[k:]) {
			t.Fatalf("%d after %d, want %d", len(got), uint64(after), len(sorted)-k)
		}
		if len(sorted) > 0 && x.newest() != sorted[len(sorted)-1] {
			t.Fatalf("newest is %d", uint64(x.newest()))
		}
		if most := 4*len(want)/chunkMax + 2; len(x.chunks) > 3*most {
			t.Fatalf("%d chunks for %d entries", len(x.chunks), len(want))
		}
	})
}

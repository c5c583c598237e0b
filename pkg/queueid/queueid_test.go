package queueid

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func TestTextHasElevenCharactersAndReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := ID(rapid.Uint64Range(1, uint64(maxID)).Draw(t, "id"))
		for _, s := range []string{id.String(), strings.ToLower(id.String())} {
			if got, err := Parse(s); len(s) != Length || err != nil || got != id {
				t.Fatalf("%d is %q and reads back as %d, %v", id, s, got, err)
			}
		}
	})
}

func TestTextSortsInTheOrderOfTheIds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := ID(rapid.Uint64Max(uint64(maxID)).Draw(t, "a"))
		b := ID(rapid.Uint64Max(uint64(maxID)).Draw(t, "b"))
		if (a < b) != (a.String() < b.String()) {
			t.Fatalf("%s and %s", a, b)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		"", "0", "0000000000", "000000000001", "00000000000",
		"0000000000I", "0000000000L", "0000000000O", "0000000000U", "0000000000i",
		"../../../ab", "/00000000001", "0000000001/", "0000000001.", "0000000001\n",
		"0000000001\x00", " 0000000001", "-0000000001", "0000000000ü", "000000000ü",
	} {
		if id, err := Parse(s); !errors.Is(err, ErrBadID) {
			t.Errorf("%q is %d, %v", s, id, err)
		}
	}
}

func TestTimeIsTheMillisecondOfTheId(t *testing.T) {
	at := noon.Add(123 * time.Millisecond)
	id := NewGenerator(0).Next(at.Add(456 * time.Microsecond))
	if !id.Time().Equal(at) {
		t.Errorf("made at %s, says %s", at, id.Time())
	}
	if ID(0).IsZero() != true || id.IsZero() {
		t.Error("IsZero")
	}
}

func TestIdsIncreaseWhenTheClockGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := NewGenerator(ID(rapid.Uint64Max(1<<54).Draw(t, "last")))
		last := g.last
		for range 50 {
			ms := rapid.Int64Range(-1<<42, 1<<40).Draw(t, "ms")
			id := g.Next(time.UnixMilli(epoch + ms))
			if id <= last {
				t.Fatalf("%d after %d", id, last)
			}
			last = id
		}
	})
}

func TestIdsIncreasePastAFullCounter(t *testing.T) {
	g := NewGenerator(0)
	last := g.Next(noon)
	for range 1<<counterBits + 10 {
		id := g.Next(noon)
		if id <= last {
			t.Fatalf("%s after %s", id, last)
		}
		last = id
	}
}

func TestANewGeneratorContinuesAfterTheLastId(t *testing.T) {
	first := NewGenerator(0).Next(noon)
	second := NewGenerator(first).Next(noon.Add(-time.Hour))
	if second <= first {
		t.Errorf("%s after %s", second, first)
	}
}

func TestTimesOutOfRangeStayIn55Bits(t *testing.T) {
	for _, now := range []time.Time{{}, time.Unix(1<<40, 0), time.Unix(0, 0)} {
		if id := NewGenerator(0).Next(now); id == 0 || id > maxID {
			t.Errorf("%s gave %d", now, id)
		}
	}
}

func TestIdsOfSeveralGoroutinesDiffer(t *testing.T) {
	g := NewGenerator(0)
	var wg sync.WaitGroup
	ids := make([][]ID, 8)
	for i := range ids {
		wg.Go(func() {
			for range 1000 {
				ids[i] = append(ids[i], g.Next(noon))
			}
		})
	}
	wg.Wait()
	seen := map[ID]bool{}
	for _, list := range ids {
		for _, id := range list {
			if seen[id] {
				t.Fatalf("%s twice", id)
			}
			seen[id] = true
		}
	}
}

func TestShardsSpreadMessagesOfOneSecond(t *testing.T) {
	g := NewGenerator(0)
	shards := map[string]int{}
	for i := range 1000 {
		id := g.Next(noon.Add(time.Duration(i) * time.Millisecond))
		if len(id.Shard()) != 2 || !strings.Contains(id.String(), id.Shard()) {
			t.Fatalf("shard %q of %s", id.Shard(), id)
		}
		shards[id.Shard()]++
	}
	if len(shards) < 400 {
		t.Errorf("1000 messages in %d folders", len(shards))
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0K5RZ1D4S00", "0k5rz1d4s00", "../../../etc", "00000000000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := Parse(s)
		if err == nil && id.String() != strings.ToUpper(s) {
			t.Fatalf("%q is %s", s, id)
		}
	})
}

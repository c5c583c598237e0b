package pattern

import (
	"context"
	"errors"
	"net/netip"
	"testing"
)

// table is a lookup that has some keys.
func table(keys ...string) Ask {
	return func(_ context.Context, lookup, key string) (bool, error) {
		if lookup == "down" {
			return false, errors.New("down")
		}
		for _, k := range keys {
			if k == lookup+":"+key {
				return true, nil
			}
		}
		return false, nil
	}
}

func TestPatternsInFrontOfALookupAreOfTheListsKind(t *testing.T) {
	a, err := CompileAsking([]string{"192.0.2.0/24", "!lookup:bad", "lookup:good"}, Networks)
	if err != nil {
		t.Fatal(err)
	}
	ask := table("good:198.51.100.1", "good:198.51.100.2", "bad:198.51.100.2")
	for addr, want := range map[string]bool{"192.0.2.7": true, "198.51.100.1": true, "198.51.100.2": false, "198.51.100.3": false} {
		if in, _, err := a.MatchAddr(context.Background(), netip.MustParseAddr(addr), ask); in != want || err != nil {
			t.Errorf("%s: %v, %v", addr, in, err)
		}
	}
	a, err = CompileAsking([]string{"*@a.example", "lookup:good"}, Addresses)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{"x@a.example": true, "X@B.example": true, "y@b.example": false} {
		if in, _, err := a.Match(context.Background(), addr, table("good:x@b.example")); in != want || err != nil {
			t.Errorf("%s: %v, %v", addr, in, err)
		}
	}
}

func TestLookupThatCannotTellIsAnErrorWhereItIsNeeded(t *testing.T) {
	a, err := CompileAsking([]string{"a.example", "lookup:down", "b.example"}, Domains)
	if err != nil {
		t.Fatal(err)
	}
	if in, _, err := a.Match(context.Background(), "a.example", table()); !in || err != nil {
		t.Errorf("a pattern in front: %v, %v", in, err)
	}
	if _, by, err := a.Match(context.Background(), "b.example", table()); err == nil || by != "down" {
		t.Errorf("a pattern behind: no error, by %q", by)
	}
}

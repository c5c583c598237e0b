package pattern

import (
	"context"
	"errors"
	"net/netip"
	"strings"
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

func TestWhatNoLookupCanChangeIsCertain(t *testing.T) {
	for _, c := range []struct {
		patterns    string
		in, certain bool
	}{
		{"", false, true},
		{"x.example", true, true},
		{"y.example", false, true},
		{"lookup:a", false, false},
		{"x.example lookup:a", true, true},
		{"lookup:a x.example", true, true},
		{"lookup:a y.example", false, false},
		{"!x.example lookup:a", false, true},
		{"!lookup:a x.example", false, false},
		{"lookup:a !x.example *.example", false, false},
		{"lookup:a !lookup:b x.example", false, false},
	} {
		a, err := CompileAsking(strings.Fields(c.patterns), Domains)
		if err != nil {
			t.Fatal(c.patterns, err)
		}
		in, certain := a.Certain("x.example")
		if certain != c.certain || certain && in != c.in {
			t.Errorf("%q: %v, certain %v", c.patterns, in, certain)
		}
		if !certain {
			continue
		}
		for _, has := range []bool{true, false} { // what is certain is what Match says
			if got, _, _ := a.Match(t.Context(), "x.example", func(context.Context, string, string) (bool, error) { return has, nil }); got != in {
				t.Errorf("%q, found %v: %v", c.patterns, has, got)
			}
		}
	}
}

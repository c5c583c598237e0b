package oldaddr

import (
	"errors"
	"strings"
	"testing"

	"filbert/pkg/mailaddr"
	"filbert/pkg/untrusted"
)

func here(domain string) (bool, error) {
	return domain == "" || domain == "here.example" || domain == "here2.example", nil
}

func parsed(t testing.TB, names ...string) Syntax {
	t.Helper()
	s, err := Parse(names)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatIsMeant(t *testing.T) {
	both := []string{"percent", "bang"}
	for _, c := range []struct {
		syntax   []string
		in, want string // "" = doubtful
	}{
		{both, "user@here.example", "user@here.example"},
		{both, "user%host@here.example", "user@host"},
		{both, "user%host.example@here.example", "user@host.example"},
		{both, "u.s+er%a%b@here.example", "u.s+er%a@b"},
		{both, "host!user@here.example", "user@host"},
		{both, "a!b!c@here.example", "b!c@a"},
		{both, "user%HOST@Here.Example", "user@host"},
		// a bare address is of this machine
		{both, "host!user", "user@host"},
		{both, "user%host", "user@host"},
		// through other hosts of ours
		{both, "user%far.example%here2.example@here.example", "user@far.example"},
		{both, "here2.example!far.example!user@here.example", "user@far.example"},
		{both, "user%here2.example@here.example", "user@here2.example"},
		// and into the other way, where the separators are not mixed
		{both, "user%bücher.example@here.example", "user@bücher.example"},
		// those of others are theirs to read
		{both, "user%host@other.example", "user%host@other.example"},
		{both, "host!user@other.example", "host!user@other.example"},
		{both, "a!b%c@other.example", "a!b%c@other.example"},
		// only what is asked for
		{nil, "user%host@here.example", "user%host@here.example"},
		{nil, "host!user@here.example", "host!user@here.example"},
		{both[:1], "host!user@here.example", "host!user@here.example"},
		{both[1:], "user%host@here.example", "user%host@here.example"},
		// in doubt
		{both, "a!b%c@here.example", ""},
		{both, "b%c!a@here.example", ""},
		{both[:1], "a!b%c@here.example", ""},
		{both[1:], "a!b%c@here.example", ""},
		{both, `"us er%host"@here.example`, ""},
		{both, `"user%host@far.example"@here.example`, ""},
		{both, `"host!us\"er"@here.example`, ""},
		{both, `"user%[192.0.2.1]"@here.example`, ""},
		{both, "user%@here.example", ""},
		{both, "%host@here.example", ""},
		{both, "!user@here.example", ""},
		{both, "host!@here.example", ""},
		{both, "%@here.example", ""},
		{both, "user%%host@here.example", "user%@host"},
		{both, "user%%here2.example@here.example", ""},
		{both, "user%192.0.2.1@here.example", ""},
		{both, "user%-host@here.example", ""},
		{both, "ho_st!!user@here.example", ""},
	} {
		s := parsed(t, c.syntax...)
		in := mailaddr.MustParse(c.in)
		got, err := s.Meant(in, here)
		switch {
		case c.want == "" && !errors.Is(err, ErrDoubtful):
			t.Errorf("%s: %s, %v; it is in doubt", c.in, got, err)
		case c.want == "" && got != in:
			t.Errorf("%s became %s though it is in doubt", c.in, got)
		case c.want != "" && (err != nil || got.String() != c.want):
			t.Errorf("%s: %s, %v; want %s", c.in, got, err, c.want)
		}
	}
}

func TestNothingIsAskedAboutAnOrdinaryAddress(t *testing.T) {
	s := parsed(t, "percent")
	if _, err := s.Meant(mailaddr.MustParse("a!b@here.example"), nil); err != nil {
		t.Error(err)
	}
}

func TestAnErrorAboutWhatIsOursIsReturned(t *testing.T) {
	later := errors.New("later")
	_, err := parsed(t, "percent").Meant(mailaddr.MustParse("a%b@c"), func(string) (bool, error) { return false, later })
	if !errors.Is(err, later) || errors.Is(err, ErrDoubtful) {
		t.Errorf("got %v", err)
	}
}

func TestTheWayIsBounded(t *testing.T) {
	everything := func(string) (bool, error) { return true, nil }
	s := parsed(t, Names()...)
	for _, hops := range []int{maxHops - 1, maxHops + 1} {
		in := mailaddr.MustParse("u" + strings.Repeat("%h", hops) + "@here.example")
		if _, err := s.Meant(in, everything); (err != nil) != (hops > maxHops) {
			t.Errorf("%d hosts: %v", hops, err)
		}
	}
}

func TestUnknownSyntax(t *testing.T) {
	if _, err := Parse([]string{"percent", "x400"}); err == nil {
		t.Error("x400 is understood")
	}
	if s, err := Parse(nil); err != nil || !s.None() {
		t.Errorf("%+v, %v", s, err)
	}
}

// FuzzMeant: the result is a whole address that reads as itself, of fewer
// separators; an address of another domain is never touched.
func FuzzMeant(f *testing.F) {
	f.Add("user%host@here.example")
	f.Add("a!b!c@here.example")
	f.Add(`"a%b"@here.example`)
	f.Add("a%here2.example%here.example@here2.example")
	s := parsed(f, Names()...)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(text))
		if err != nil {
			return
		}
		got, err := s.Meant(a, here)
		ours, _ := here(a.Domain())
		switch {
		case !ours && (got != a || err != nil):
			t.Fatalf("%s of another domain became %s, %v", a, got, err)
		case err != nil && (got != a || !errors.Is(err, ErrDoubtful)):
			t.Fatalf("%s: %s, %v", a, got, err)
		case got != a && separators(got) >= separators(a):
			t.Fatalf("%s became %s", a, got)
		}
		if still, _ := here(got.Domain()); err == nil && still && separators(got) > 0 {
			t.Fatalf("%s became %s, which is not the end", a, got)
		}
		if back, err := mailaddr.ParseLocalOrMailbox(untrusted.From(got.String())); err != nil || back != got {
			t.Fatalf("%s became %s, which reads as %s (%v)", a, got, back, err)
		}
		if again, err2 := s.Meant(got, here); err == nil && (err2 != nil || again != got) {
			t.Fatalf("%s became %s, then %s (%v)", a, got, again, err2)
		}
	})
}

func separators(a mailaddr.Address) int {
	return strings.Count(a.Local(), "%") + strings.Count(a.Local(), "!")
}

package mailaddr

import (
	"errors"
	"strings"
	"testing"

	"filbert/pkg/untrusted"

	"pgregory.net/rapid"
)

func TestParseList(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string // address|name|the text between Start and End
	}{
		{"", nil},
		{" \r\n", nil},
		{" a@b\r\n", []string{"a@b||a@b"}},
		{"a@b, c@d", []string{"a@b||a@b", "c@d||c@d"}},
		{"root", []string{"root||root"}},
		{"root, a@b", []string{"root||root", "a@b||a@b"}},
		{"<a@b>", []string{"a@b||a@b"}},
		{"John Smith <a@b>", []string{"a@b|John Smith|a@b"}},
		{"John Q. Smith <a@b>", []string{"a@b|John Q. Smith|a@b"}},
		{`"Smith, John" <a@b>, c@d`, []string{"a@b|Smith, John|a@b", "c@d||c@d"}},
		{`"a \"b\" c" <a@b>`, []string{`a@b|a "b" c|a@b`}},
		{"=?utf-8?q?J=C3=BCrgen?= <a@b>", []string{"a@b|=?utf-8?q?J=C3=BCrgen?=|a@b"}},
		{"Jürgen <jürgen@b>", []string{"jürgen@b|Jürgen|jürgen@b"}},
		{"a@b (John)", []string{"a@b||a@b"}},
		{"(x) a (y) @ (z) b (w), c@d", []string{"a@b||a (y) @ (z) b", "c@d||c@d"}},
		{"a . b @ c . d", []string{"a.b@c.d||a . b @ c . d"}},
		{`"a b"@c`, []string{`"a b"@c||"a b"@c`}},
		{`"a".b@c`, []string{`a.b@c||"a".b@c`}},
		{"a@b,\r\n\tc@d\r\n", []string{"a@b||a@b", "c@d||c@d"}},
		{"John\r\n Smith\r\n <a@b>\r\n", []string{"a@b|John Smith|a@b"}},
		{"undisclosed-recipients:;", nil},
		{"Group: a@b, c@d;", []string{"a@b||a@b", "c@d||c@d"}},
		{"Group: John <a@b>; , x@y", []string{"a@b|John|a@b", "x@y||x@y"}},
		{`"a: b": x;`, []string{"x||x"}},
		{"<@x,@y:a@b>", []string{"a@b||a@b"}},
		{"<@x:a@b>, c@d", []string{"a@b||a@b", "c@d||c@d"}},
		{",,a@b,,c@d,", []string{"a@b||a@b", "c@d||c@d"}},
		{"a@[192.0.2.1]", []string{"a@[192.0.2.1]||a@[192.0.2.1]"}},
		{"((nested (deep)) \\) ) a@b", []string{"a@b||a@b"}},
		{"A@EXAMPLE.org", []string{"A@example.org||A@EXAMPLE.org"}},
		{`"fol` + "\r\n" + ` ded" <a@b>`, []string{"a@b|fol ded|a@b"}},
	} {
		got, err := ParseList(untrusted.From(c.in))
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		var have []string
		for _, e := range got {
			have = append(have, e.Address.String()+"|"+e.Name.ForWire()+"|"+c.in[e.Start:e.End])
		}
		if strings.Join(have, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%q gave %q, want %q", c.in, have, c.want)
		}
	}
}

func TestParseListRefuses(t *testing.T) {
	for _, in := range []string{
		"John Smith", "a@b c@d", "a@b <c@d>", "<a@b", "a@b>", "<>", "John <>", "<a@b>x", "<a@b> <c@d>", "<<a@b>>", "a@", "@b", "a@@b", "a@b@c",
		"(", "(a", "a)", "a@b)", `"`, `"a`, `"a\`, "[", "a@[", "a@[x]", "a@[1.2.3.4]x", "x [1.2.3.4] <a@b>",
		"g: a@b", "g: h: a@b;;", ":a@b;", "a@b;", "g:;x", "a@b: c;", "g: <a@b;>", "<g:a@b>", "<@x a@b>", "<@:a@b>", "<,:a@b>", "<:a@b>", "<a,b@c>",
		"a@b\n", "a@b\r", "a@b\r\nc@d", "a@b\n c@d", "a\x00@b", "a@b\x00", "(\x00) a@b", "(\r\n) a@b x", "a@b\x1b", "\"\x00\" <a@b>", "a..b@c", ".a@b", "a.@b", "a@b.", "a@.b",
		"a\u202e@b", "a@b\xff", "\xff@b",
		strings.Repeat("(", 33) + strings.Repeat(")", 33) + "a@b",
		strings.Repeat("(", 1<<19),
		strings.Repeat("a", MaxListOctets+1),
		strings.Repeat("a@b,", MaxListAddresses+1),
	} {
		if got, err := ParseList(untrusted.From(in)); !errors.Is(err, ErrSyntax) {
			t.Errorf("%.60q gave %d entries, %v", in, len(got), err)
		}
	}
}

func TestParseListTakesTheMostThatIsAllowed(t *testing.T) {
	got, err := ParseList(untrusted.From(strings.Repeat("a@b,", MaxListAddresses)))
	if err != nil || len(got) != MaxListAddresses {
		t.Errorf("%d entries, %v", len(got), err)
	}
	deep := strings.Repeat("(", maxCommentDepth) + strings.Repeat(")", maxCommentDepth)
	if _, err := ParseList(untrusted.From(deep + "a@b")); err != nil {
		t.Errorf("comments %d deep: %v", maxCommentDepth, err)
	}
}

// checkList holds for every input.
func checkList(t interface{ Fatalf(string, ...any) }, in string) {
	got, err := ParseList(untrusted.From(in))
	if err != nil {
		return
	}
	last := 0
	for _, e := range got {
		if e.Start < last || e.End <= e.Start || e.End > len(in) {
			t.Fatalf("%q: entry at %d to %d after %d", in, e.Start, e.End, last)
		}
		last = e.End
		// The text at the place is the address: it reads back alone, and an
		// address put in its stead is read there.
		alone, err := ParseList(untrusted.From(in[e.Start:e.End]))
		if err != nil || len(alone) != 1 || alone[0].Address != e.Address {
			t.Fatalf("%q: %q does not read back, %v", in, in[e.Start:e.End], err)
		}
		replaced := in[:e.Start] + "new@example.org" + in[e.End:]
		if again, err := ParseList(untrusted.From(replaced)); err != nil || len(again) != len(got) {
			t.Fatalf("%q became %q: %d entries, %v", in, replaced, len(again), err)
		}
	}
}

func TestAddressesOfAListCanBeReplacedInPlace(t *testing.T) {
	pieces := rapid.SliceOfN(rapid.SampledFrom([]string{
		"a", "b", "@", ".", ",", ":", ";", "<", ">", "(", ")", `"`, `\`, " ", "\r\n ", "[1.2.3.4]", "ü", "a@b", "<a@b>", "g:", "<@x:a@b>", "\r\n",
	}), 0, 12)
	rapid.Check(t, func(t *rapid.T) { checkList(t, strings.Join(pieces.Draw(t, "pieces"), "")) })
}

func FuzzParseList(f *testing.F) {
	for _, s := range []string{"a@b, John <c@d>", "g: a@b;", "<@x:a@b>", `"x" (y) <a@b>`, "a . b @ c", "(((", "x\r\n y <a@b>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkList(t, s) })
}

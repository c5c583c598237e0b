package message

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func check(pieces ...string) CheckContent {
	var c CheckContent
	for _, p := range pieces {
		_, _ = c.Write([]byte(p))
	}
	return c
}

func TestCheckContent(t *testing.T) {
	for _, c := range []struct {
		in                     string
		cr, lf, nul, eight, ln bool
		longest                int64
	}{
		{"", false, false, false, false, true, 0},
		{"ab\r\nabc\r\na\r\n", false, false, false, false, true, 3},
		{"abc", false, false, false, false, false, 3},
		{"a\r\nabcd", false, false, false, false, false, 4},
		{"a\nb\r\n", false, true, false, false, true, 3},
		{"a\rb\r\n", true, false, false, false, true, 3},
		{"a\r\r\n", true, false, false, false, true, 2},
		{"a\r", true, false, false, false, false, 1},
		{"\n\r", true, true, false, false, false, 1},
		{"a\x00\r\n", false, false, true, false, true, 2},
		{"\x80\r\n", false, false, false, true, true, 1},
		{"\r\x80\x00\n", true, true, true, true, false, 4},
	} {
		got := check(c.in)
		if got.BareCR() != c.cr || got.BareLF() != c.lf || got.NUL() != c.nul || got.EightBit() != c.eight || got.EndsInLine() != c.ln ||
			got.LongestLine() != c.longest || got.Size() != int64(len(c.in)) {
			t.Errorf("%q: %+v", c.in, got)
		}
		for i := range c.in {
			if split := check(c.in[:i], c.in[i:]); split != got {
				t.Errorf("%q split at %d: %+v, whole %+v", c.in, i, split, got)
			}
		}
	}
}

func normalize(mode DotMode, pieces ...string) (string, bool) {
	n := NewNormalizeLocal(mode)
	var out []byte
	for _, p := range pieces {
		out = n.Append(out, []byte(p))
	}
	return string(n.Finish(out)), n.Ended()
}

func TestNormalizeLocal(t *testing.T) {
	for in, want := range map[string]string{
		"":               "",
		"a":              "a\r\n",
		"a\n":            "a\r\n",
		"a\r\n":          "a\r\n",
		"a\r":            "a\r\n",
		"a\r\r\n":        "a\r\n",
		"a\r\r\r\n\nb":   "a\r\n\r\nb\r\n",
		"a\n\nb":         "a\r\n\r\nb\r\n",
		"a\n\rb":         "a\r\n\r\nb\r\n",
		"10%\r20%\rdone": "10%\r\n20%\r\ndone\r\n",
		"a\n.\nb\n":      "a\r\n.\r\nb\r\n",
		"\n":             "\r\n",
		"\x00\xff\n":     "\x00\xff\r\n",
	} {
		got, _ := normalize(KeepDot, in)
		if got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
		for i := range in {
			if got, _ := normalize(KeepDot, in[:i], in[i:]); got != want {
				t.Errorf("%q split at %d became %q", in, i, got)
			}
		}
	}
}

func TestADotEndsTheMessageWhereAskedFor(t *testing.T) {
	for _, c := range []struct {
		in, want string
		ended    bool
	}{
		{"a\n.\nb\n", "a\r\n", true},
		{"a\r\n.\r\nb\n", "a\r\n", true},
		{".\n", "", true},
		{"a\n..\nb\n", "a\r\n..\r\nb\r\n", false},
		{"a\n.b\n", "a\r\n.b\r\n", false},
		{"a\nb.\n", "a\r\nb.\r\n", false},
		{"a\n.", "a\r\n", false},
		{"a\n. \n", "a\r\n. \r\n", false},
	} {
		got, ended := normalize(DotEnds, c.in)
		if got != c.want || ended != c.ended {
			t.Errorf("%q became %q, ended %t", c.in, got, ended)
		}
		for i := range c.in {
			if got, _ := normalize(DotEnds, c.in[:i], c.in[i:]); got != c.want {
				t.Errorf("%q split at %d became %q", c.in, i, got)
			}
		}
	}
}

func checkNormalized(t interface{ Fatalf(string, ...any) }, in string) {
	out, _ := normalize(KeepDot, in)
	c := check(out)
	if c.BareCR() || c.BareLF() || !c.EndsInLine() {
		t.Fatalf("%q became %q", in, out)
	}
	if again, _ := normalize(KeepDot, out); again != out {
		t.Fatalf("%q became %q, then %q", in, out, again)
	}
	strip := strings.NewReplacer("\r", "", "\n", "")
	if strip.Replace(out) != strip.Replace(in) {
		t.Fatalf("%q became %q", in, out)
	}
}

func TestNormalizedTextIsCRLFTextAndStaysSo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkNormalized(t, string(rapid.SliceOfN(rapid.SampledFrom([]byte("\r\na.\x00\xff")), 0, 20).Draw(t, "in")))
	})
}

func FuzzNormalizeLocal(f *testing.F) {
	f.Add("a\r\r\nb\n\rc")
	f.Fuzz(func(t *testing.T, s string) { checkNormalized(t, s) })
}

func BenchmarkCheckContent(b *testing.B) {
	in := []byte(strings.Repeat("The quick brown fox jumps over the lazy dog, and does so again.\r\n", 1000))
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		var c CheckContent
		_, _ = c.Write(in)
	}
}

// Eight octets at a time are looked at together where all are ordinary.
func TestRunsAreSeenAsTheirOctetsAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		octets := rapid.SampledFrom([]byte("aaaaaaaaaaaaaaaaaaaaaaaaaaa \t\r\n\x00\x0d\x0e\x7f\x80\xff"))
		var run, single CheckContent
		for _, piece := range rapid.SliceOfN(rapid.SliceOfN(octets, 0, 40), 0, 4).Draw(t, "pieces") {
			_, _ = run.Write(piece)
			for _, b := range piece {
				_, _ = single.Write([]byte{b})
			}
		}
		if run != single {
			t.Fatalf("%+v, but octet by octet %+v", run, single)
		}
	})
}

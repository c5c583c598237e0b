package smtp

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// scan feeds the pieces to a scanner and gives what came out, what was left of
// the input, and whether the end was found.
func scan(mode DataMode, pieces ...string) (out, rest string, done bool, s *DataScanner) {
	s = NewDataScanner(mode)
	var dst []byte
	for i, p := range pieces {
		var n int
		dst, n, done, _ = s.Feed(dst, []byte(p))
		if done {
			return string(dst), p[n:] + strings.Join(pieces[i+1:], ""), true, s
		}
	}
	return string(dst), "", false, s
}

func TestDataScanner(t *testing.T) {
	for _, c := range []struct {
		name, in, out, rest string
	}{
		{"empty", ".\r\n", "", ""},
		{"one line", "a\r\n.\r\n", "a\r\n", ""},
		{"pipelined", "a\r\n.\r\nQUIT\r\n", "a\r\n", "QUIT\r\n"},
		{"stuffed dot", "..a\r\n.\r\n", ".a\r\n", ""},
		{"stuffed dot alone", "..\r\n.\r\n", ".\r\n", ""},
		{"dot that was not stuffed", ".a\r\n.\r\n", "a\r\n", ""},
		{"dot in the line", "a.b\r\na.\r\n.\r\n", "a.b\r\na.\r\n", ""},
		{"empty lines", "\r\n\r\n.\r\n", "\r\n\r\n", ""},
		{"two messages", ".\r\n.\r\n", "", ".\r\n"},
		{"8 bits", "\xff\xc3\xbc\r\n.\r\n", "\xff\xc3\xbc\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, mode := range []DataMode{KeepLineEnds, NormalizeLineEnds} {
				out, rest, done, s := scan(mode, c.in)
				if !done || out != c.out || rest != c.rest || s.BareCR() || s.BareLF() || s.NUL() {
					t.Errorf("mode %d: got %q, rest %q, done %t", mode, out, rest, done)
				}
			}
		})
	}
}

// endLookAlikes are what some server has taken for an end of data.
func endLookAlikes() []string {
	ends := []string{"\n", "\r", "\r\r", "\n\n", "\r\r\n", "\n\r", "\r\x00\n", "\x00\r\n", "\r\n\x00", "\x00", "\r\n ", " \r\n", "\x85", "\xe2\x80\xa8", "\v", "\f", "\r\n"}
	var all []string
	for _, before := range ends {
		for _, dot := range []string{".", "..", ". ", ".\x00", " ."} {
			for _, after := range ends {
				// The marks that do end: CRLF . CRLF, also with more before it.
				if dot == "." && strings.HasSuffix(before, "\r\n") && strings.HasPrefix(after, "\r\n") {
					continue
				}
				all = append(all, before+dot+after)
			}
		}
	}
	return all
}

// Two messages would be smuggling: the text after the look-alike must stay
// content, for each way in which it may be cut in pieces.
func TestOnlyCRLFDotCRLFEndsData(t *testing.T) {
	for _, mark := range endLookAlikes() {
		in := "first" + mark + "MAIL FROM:<evil@example.org>\r\n.\r\nQUIT\r\n"
		for _, mode := range []DataMode{KeepLineEnds, NormalizeLineEnds} {
			whole, rest, done, _ := scan(mode, in)
			if !done || rest != "QUIT\r\n" || !strings.HasSuffix(whole, "MAIL FROM:<evil@example.org>\r\n") {
				t.Fatalf("mode %d, %q: content %q, rest %q", mode, mark, whole, rest)
			}
			for i := 1; i < len(in); i++ {
				out, rest2, done, _ := scan(mode, in[:i], in[i:])
				if !done || out != whole || rest2 != rest {
					t.Fatalf("mode %d, %q split at %d: content %q, rest %q", mode, mark, i, out, rest2)
				}
			}
			out, rest2, done, _ := scan(mode, strings.Split(in, "")...)
			if !done || out != whole || rest2 != rest {
				t.Fatalf("mode %d, %q byte by byte: content %q, rest %q", mode, mark, out, rest2)
			}
		}
	}
}

func TestBareLineEndsAndNULAreNoted(t *testing.T) {
	for _, c := range []struct {
		in          string
		cr, lf, nul bool
		kept, normd string
	}{
		{"a\nb", false, true, false, "a\nb", "a\r\nb"},
		{"a\rb", true, false, false, "a\rb", "a\r\nb"},
		{"a\r\r\nb", true, false, false, "a\r\r\nb", "a\r\n\r\nb"},
		{"a\n\rb", true, true, false, "a\n\rb", "a\r\n\r\nb"},
		{"\n.\nb", false, true, false, "\n.\nb", "\r\n.\r\nb"},
		{".\nb", false, true, false, "\nb", "\r\nb"},
		{".\rb", true, false, false, "\rb", "\r\nb"},
		{".\r\r\nb", true, false, false, "\r\r\nb", "\r\n\r\nb"},
		{"\n..b", false, true, false, "\n..b", "\r\n..b"},
		{"a\x00b", false, false, true, "a\x00b", "a\x00b"},
		{"\x00", false, false, true, "\x00", "\x00"},
		{".\x00", false, false, true, "\x00", "\x00"},
		{"\r\x00", true, false, true, "\r\x00", "\r\n\x00"},
		{"a\r\nb", false, false, false, "a\r\nb", "a\r\nb"},
	} {
		for mode, want := range map[DataMode]string{KeepLineEnds: c.kept, NormalizeLineEnds: c.normd} {
			out, rest, done, s := scan(mode, c.in+"\r\n.\r\n")
			if !done || rest != "" || out != want+"\r\n" || s.BareCR() != c.cr || s.BareLF() != c.lf || s.NUL() != c.nul {
				t.Errorf("mode %d, %q: %q, CR %t, LF %t, NUL %t", mode, c.in, out, s.BareCR(), s.BareLF(), s.NUL())
			}
		}
	}
}

func TestNormalizedContentHasNoBareLineEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawLines(t, "in")
		out, _, _, _ := scan(NormalizeLineEnds, in, "\r\n.\r\n")
		if bare(out) {
			t.Fatalf("%q became %q", in, out)
		}
	})
}

func TestFeedingPastTheEndIsAnError(t *testing.T) {
	s := NewDataScanner(KeepLineEnds)
	if _, n, done, err := s.Feed(nil, []byte(".\r\nx")); n != 3 || !done || err != nil {
		t.Fatal(n, done, err)
	}
	if _, n, done, err := s.Feed(nil, []byte("x")); n != 0 || !done || !errors.Is(err, ErrDataEnded) {
		t.Error(n, done, err)
	}
}

func TestFeedAppendsToDst(t *testing.T) {
	out, _, _, _ := NewDataScanner(KeepLineEnds).Feed([]byte("x"), []byte("a\r\n.\r\n"))
	if string(out) != "xa\r\n" {
		t.Errorf("%q", out)
	}
}

// bare reports whether s has a CR or LF that is no CRLF.
func bare(s string) bool {
	return strings.ContainsAny(strings.ReplaceAll(s, "\r\n", ""), "\r\n")
}

func drawLines(t *rapid.T, name string) string {
	return string(rapid.SliceOfN(rapid.SampledFrom([]byte(".\r\nab\x00. \xff")), 0, 24).Draw(t, name))
}

func stuff(pieces ...string) string {
	var s StuffDots
	var out []byte
	for _, p := range pieces {
		out = s.Append(out, []byte(p))
	}
	return string(s.Finish(out))
}

func TestStuffDots(t *testing.T) {
	for in, want := range map[string]string{
		"":                 ".\r\n",
		"a\r\n":            "a\r\n.\r\n",
		"a":                "a\r\n.\r\n",
		"a\r":              "a\r\n.\r\n",
		"a\n":              "a\r\n.\r\n",
		".":                "..\r\n.\r\n",
		".\r\n":            "..\r\n.\r\n",
		"..\r\n":           "...\r\n.\r\n",
		"a.\r\n.b\r\n":     "a.\r\n..b\r\n.\r\n",
		"a\r\n.\r\nQUIT":   "a\r\n..\r\nQUIT\r\n.\r\n",
		"a\n.\nQUIT\n":     "a\r\n..\r\nQUIT\r\n.\r\n",
		"a\r.\rQUIT\r":     "a\r\n..\r\nQUIT\r\n.\r\n",
		"a\n.\r\nQUIT\n":   "a\r\n..\r\nQUIT\r\n.\r\n",
		"a\r\n.\nQUIT\n":   "a\r\n..\r\nQUIT\r\n.\r\n",
		"a\r\r\n.\r\r\nb":  "a\r\n\r\n..\r\n\r\nb\r\n.\r\n",
		"a\n\r.\n\rb":      "a\r\n\r\n..\r\n\r\nb\r\n.\r\n",
		"a\r\n\x00.\r\n":   "a\r\n\x00.\r\n.\r\n",
		"a\x00\r\x00\n.\n": "a\x00\r\n\x00\r\n..\r\n.\r\n",
	} {
		if got := stuff(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
		for i := range in {
			if got := stuff(in[:i], in[i:]); got != want {
				t.Errorf("%q split at %d became %q, want %q", in, i, got, want)
			}
		}
	}
}

// checkStuffed is what a server must find in what we send, however lenient it
// is about line ends: one message, and the content with each line end as CRLF.
func checkStuffed(t interface{ Fatalf(string, ...any) }, in string) {
	wire := stuff(in)
	if bare(wire) || !strings.HasSuffix("\r\n"+wire, "\r\n.\r\n") {
		t.Fatalf("%q goes out as %q", in, wire)
	}
	body := strings.TrimSuffix(wire, ".\r\n")
	for line := range strings.SplitSeq(body, "\r\n") {
		if line == "." {
			t.Fatalf("%q goes out as %q", in, wire)
		}
	}
	if wire2 := stuff(strings.Split(in, "")...); wire2 != wire {
		t.Fatalf("%q byte by byte goes out as %q, whole as %q", in, wire2, wire)
	}
	out, rest, done, s := scan(KeepLineEnds, wire)
	if !done || rest != "" || s.BareCR() || s.BareLF() {
		t.Fatalf("%q goes out as %q and comes in as %q, rest %q", in, wire, out, rest)
	}
	want := strings.ReplaceAll(in, "\r\n", "\n")
	want = strings.ReplaceAll(want, "\r", "\n")
	if want != "" && !strings.HasSuffix(want, "\n") {
		want += "\n"
	}
	if want = strings.ReplaceAll(want, "\n", "\r\n"); out != want {
		t.Fatalf("%q comes in as %q, want %q", in, out, want)
	}
}

func TestWhatIsStuffedComesOutTheSame(t *testing.T) {
	for _, mark := range endLookAlikes() {
		checkStuffed(t, "a"+mark+"b")
		checkStuffed(t, mark)
	}
	rapid.Check(t, func(t *rapid.T) { checkStuffed(t, drawLines(t, "in")) })
}

func FuzzDataScanner(f *testing.F) {
	for _, s := range endLookAlikes()[:40] {
		f.Add([]byte("a"+s+"b\r\n.\r\nc"), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint8) {
		i := min(int(cut), len(in))
		for _, mode := range []DataMode{KeepLineEnds, NormalizeLineEnds} {
			one, rest1, done1, _ := scan(mode, string(in))
			two, rest2, done2, _ := scan(mode, string(in[:i]), string(in[i:]))
			if one != two || rest1 != rest2 || done1 != done2 {
				t.Fatalf("%q split at %d differs", in, i)
			}
			end := bytes.Index(append([]byte("\r\n"), in...), []byte("\r\n.\r\n"))
			if done1 != (end >= 0) || done1 && len(in)-len(rest1) != end+3 {
				t.Fatalf("%q: done %t, rest %q, mark at %d", in, done1, rest1, end)
			}
		}
		checkStuffed(t, string(in))
	})
}

func BenchmarkDataScanner(b *testing.B) {
	in := []byte(strings.Repeat("The quick brown fox jumps over the lazy dog, and does so again.\r\n", 1000))
	b.SetBytes(int64(len(in)))
	var dst []byte
	for b.Loop() {
		dst, _, _, _ = NewDataScanner(KeepLineEnds).Feed(dst[:0], in)
	}
}

func BenchmarkStuffDots(b *testing.B) {
	in := []byte(strings.Repeat("The quick brown fox jumps over the lazy dog, and does so again.\r\n", 1000))
	b.SetBytes(int64(len(in)))
	var dst []byte
	for b.Loop() {
		var s StuffDots
		dst = s.Append(dst[:0], in)
	}
}

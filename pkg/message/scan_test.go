package message

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustScan(t *testing.T, s string) Header {
	t.Helper()
	h, err := Scan([]byte(s), DefaultLimits())
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return h
}

func TestScanFindsFieldsAndBody(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string // kind|name|raw
		body     string
	}{
		{"empty", "", nil, ""},
		{"no header", "\r\nbody", nil, "body"},
		{"one field", "A: b\r\n\r\nbody", []string{"0|A|A: b\r\n"}, "body"},
		{"no body", "A: b\r\n", []string{"0|A|A: b\r\n"}, ""},
		{"no line end", "A: b", []string{"0|A|A: b"}, ""},
		{"folded", "A: b\r\n c\r\n\td\r\nB:\r\n\r\n", []string{"0|A|A: b\r\n c\r\n\td\r\n", "0|B|B:\r\n"}, ""},
		{"space line continues", "A: b\r\n \r\nC: d\r\n\r\n", []string{"0|A|A: b\r\n \r\n", "0|C|C: d\r\n"}, ""},
		{"space before colon", "A \t: b\r\n\r\n", []string{"0|A|A \t: b\r\n"}, ""},
		{"junk", "A: b\r\njunk\r\n x\r\nC: d\r\n\r\n", []string{"0|A|A: b\r\n", "1||junk\r\n", "1|| x\r\n", "0|C|C: d\r\n"}, ""},
		{"name with space", "A B: c\r\n\r\n", []string{"1||A B: c\r\n"}, ""},
		{"no name", ": c\r\n\r\n", []string{"1||: c\r\n"}, ""},
		{"8 bits in the name", "Ä: c\r\n\r\n", []string{"1||Ä: c\r\n"}, ""},
		{"continuation first", " A: b\r\nC: d\r\n\r\n", []string{"1|| A: b\r\n", "0|C|C: d\r\n"}, ""},
		{"mbox", "From a@b Mon\r\nA: b\r\n\r\n", []string{"2||From a@b Mon\r\n", "0|A|A: b\r\n"}, ""},
		{"mbox only first", "A: b\r\nFrom a@b\r\n\r\n", []string{"0|A|A: b\r\n", "1||From a@b\r\n"}, ""},
		{"quoted mbox", ">From a@b Mon\r\n\r\nx", []string{"2||>From a@b Mon\r\n"}, "x"},
		{"mbox is not continued", "From a\r\n b\r\n\r\n", []string{"2||From a\r\n", "1|| b\r\n"}, ""},
		{"bare LF ends nothing", "A: b\nC: d\n\nx\r\n\r\nbody", []string{"0|A|A: b\nC: d\n\nx\r\n"}, "body"},
		{"bare CR ends nothing", "A: b\rC: d\r\r\n\r\nbody", []string{"0|A|A: b\rC: d\r\r\n"}, "body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := mustScan(t, c.in)
			var got []string
			for _, f := range h.Fields {
				got = append(got, string(rune('0'+f.Kind))+"|"+h.Name(f).ForWire()+"|"+string(h.Raw(f)))
			}
			if strings.Join(got, "\n") != strings.Join(c.want, "\n") || c.in[h.Body:] != c.body {
				t.Errorf("got %q, body %q", got, c.in[h.Body:])
			}
		})
	}
}

func TestScanIsBounded(t *testing.T) {
	lim := Limits{Fields: 3, Octets: 100}
	for _, in := range []string{
		strings.Repeat("A: b\r\n", 4),
		"A: " + strings.Repeat("x", 100) + "\r\n\r\n",
		"A: b\r\n" + strings.Repeat(" x\r\n", 100),
		strings.Repeat("x", 101),
	} {
		if _, err := Scan([]byte(in), lim); !errors.Is(err, ErrHeaderTooBig) {
			t.Errorf("%.20q: %v", in, err)
		}
	}
	if _, err := Scan([]byte(strings.Repeat("A: b\r\n", 3)+"\r\n"+strings.Repeat("x", 1000)), lim); err != nil {
		t.Errorf("a long body counts: %v", err)
	}
}

func TestLookupsIgnoreCase(t *testing.T) {
	h := mustScan(t, "Received: a\r\nSUBJECT:  hello\r\n world \r\nreceived: b\r\nReceived-SPF: c\r\nreceived \r\nRECEIVED : d\r\n\r\n")
	if n := h.CountReceived(); n != 3 {
		t.Errorf("%d Received fields", n)
	}
	f, found := h.First("subject")
	if !found || !h.Value(f).Equal("hello world") || !h.RawValue(f).Equal("  hello\r\n world \r\n") {
		t.Errorf("Subject is %q", h.Value(f).ForWire())
	}
	if h.HasField("Date") || !h.HasField("received-spf") || h.Count("x") != 0 {
		t.Error("HasField")
	}
}

func TestRemoveFieldsLeavesOthersAlone(t *testing.T) {
	in := "From a@b Mon\r\nBcc: x\r\n y\r\nTo : Z\r\njunk\r\nbCC: z\r\nBccx: w\r\n\tq\r\n\r\nBcc: body\r\n"
	h := mustScan(t, in)
	if got, want := string(h.RemoveFields("Bcc", "return-path")), "From a@b Mon\r\nTo : Z\r\njunk\r\nBccx: w\r\n\tq\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if string(h.text) != in {
		t.Error("the text itself changed")
	}
}

func TestEndAtJunkLetsTheBodyBeginThere(t *testing.T) {
	for in, want := range map[string][2]string{
		"hello\r\nworld\r\n":                   {"", "hello\r\nworld\r\n"},
		"A: b\r\nhello\r\nC: d\r\n\r\nx":       {"A: b\r\n", "hello\r\nC: d\r\n\r\nx"},
		"A: b\r\n\r\nx":                        {"A: b\r\n", "x"},
		"From a\r\nA: b\r\nhello\r\n\r\nx\r\n": {"From a\r\nA: b\r\n", "hello\r\n\r\nx\r\n"},
	} {
		h := mustScan(t, in).EndAtJunk()
		if got := [2]string{string(h.RemoveFields()), in[h.Body:]}; got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// checkScan holds for every input: the pieces cover the header without a gap,
// and the body begins after an empty line or at the end.
func checkScan(t interface{ Fatalf(string, ...any) }, in string) {
	h, err := Scan([]byte(in), DefaultLimits())
	if err != nil {
		return
	}
	at := 0
	for _, f := range h.Fields {
		if f.Start != at || f.End <= f.Start || f.NameEnd < f.Start || f.ValueStart < f.NameEnd || f.ValueStart > f.End {
			t.Fatalf("%q: field %+v after %d", in, f, at)
		}
		at = f.End
	}
	if at != h.End || h.Body < h.End || h.Body == h.End && h.Body != len(in) || h.Body > h.End && in[h.End:h.Body] != "\r\n" {
		t.Fatalf("%q: fields end at %d, header at %d, body at %d", in, at, h.End, h.Body)
	}
	if string(h.RemoveFields()) != in[:h.End] {
		t.Fatalf("%q: removing nothing gave %q", in, h.RemoveFields())
	}
}

func TestFieldsCoverTheHeader(t *testing.T) {
	pieces := rapid.SliceOfN(rapid.SampledFrom([]string{"A", "b", ":", " ", "\t", "\r", "\n", "\r\n", "From ", ">", "ü", "\x00", "A: b\r\n"}), 0, 20)
	rapid.Check(t, func(t *rapid.T) { checkScan(t, strings.Join(pieces.Draw(t, "pieces"), "")) })
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{"A: b\r\n c\r\n\r\nbody", "From a\r\nA:b\r\n", "junk\r\n\r\n", "\r\n", " x\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkScan(t, s) })
}

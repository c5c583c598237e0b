package untrusted

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

const secret = "s3cret\x1b[31m"

func TestFmtPrintsNoByteOfTheText(t *testing.T) {
	v := From(secret)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T|%v"} {
		args := []any{v}
		if verb == "%T|%v" {
			args = []any{v, v}
		}
		got := fmt.Sprintf(verb, args...)
		if strings.Contains(got, "s3cret") || strings.Contains(got, "733363") || !strings.Contains(got, "untrusted(11 bytes)") {
			t.Errorf("%s printed %q", verb, got)
		}
	}
}

func TestFmtPrintsNoByteOfATextInAnExportedField(t *testing.T) {
	type command struct{ Arg Text }
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if got := fmt.Sprintf(verb, command{From(secret)}); strings.Contains(got, "s3cret") {
			t.Errorf("%s printed %q", verb, got)
		}
	}
}

func TestErrorsDoNotRepeatTheText(t *testing.T) {
	_, errPath := From("s3cret/").ForPath()
	_, errArg := From("-s3cret").ForArg()
	for _, err := range []error{errPath, errArg} {
		if !errors.Is(err, ErrUnsafe) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error %q", err)
		}
	}
}

func TestTextIsNoStringer(t *testing.T) {
	if _, ok := any(From("x")).(fmt.Stringer); ok {
		t.Error("Text has a String method")
	}
	if b, err := json.Marshal(From(secret)); err != nil || string(b) != "{}" {
		t.Errorf("json made %s, %v", b, err)
	}
}

func TestWireKeepsEveryByte(t *testing.T) {
	var all strings.Builder
	for i := range 256 {
		all.WriteByte(byte(i))
	}
	v := From(all.String())
	if back := FromWire(v.ForWire()); back != v || !back.Equal(all.String()) || back.Len() != 256 || back.IsEmpty() {
		t.Error("bytes changed on the way")
	}
}

func TestFromBytesCopies(t *testing.T) {
	b := []byte("abc")
	v := FromBytes(b)
	b[0] = 'x'
	if !v.Equal("abc") {
		t.Error("Text changed with the slice it was made of")
	}
}

func TestConversions(t *testing.T) {
	for _, c := range []struct {
		name, in                       string
		log, reply, header, report, tt string
	}{
		{"plain", "mx1.example.net", "mx1.example.net", "mx1.example.net", "mx1.example.net", "mx1.example.net", "mx1.example.net"},
		{"empty", "", `""`, "", "", "", ""},
		{"space", "a b", `"a b"`, "a b", "a b", "a b", "a b"},
		{"equals", "a=b", `"a=b"`, "a=b", "a=b", "a=b", "a=b"},
		{"quote", `a"b`, `"a\"b"`, `a"b`, `a"b`, `a"b`, `a"b`},
		{"backslash", `a\n`, `a\\n`, `a\n`, `a\n`, `a\n`, `a\n`},
		{"backslash and ESC", "a\\\x1b", `a\\\x1b`, `a\?`, `a\?`, `a\`, `a\\\x1b`},
		{"ESC", "a\x1b[2Jb", `a\x1b[2Jb`, "a?[2Jb", "a?[2Jb", "a[2Jb", `a\x1b[2Jb`},
		{"LF", "a\nb", `a\nb`, "a?b", "a b", "a\nb", `a\nb`},
		{"CR LF", "a\r\nb", `a\r\nb`, "a??b", "a  b", "a\nb", `a\r\nb`},
		{"tab", "a\tb", `a\tb`, "a?b", "a b", "a b", `a\tb`},
		{"NUL", "a\x00b", `a\x00b`, "a?b", "a?b", "ab", `a\x00b`},
		{"override", "a\u202eb", `a\u202eb`, "a?b", "a\u202eb", "ab", `a\u202eb`},
		{"line separator", "a\u2028b", `a\u2028b`, "a?b", "a b", "ab", `a\u2028b`},
		{"C1", "a\u009bb", `a\u009bb`, "a?b", "a?b", "ab", `a\u009bb`},
		{"zero width", "a\u200bb", `a\u200bb`, "a?b", "a\u200bb", "ab", `a\u200bb`},
		{"no-break space", "a\u00a0b", `a\u00a0b`, "a?b", "a\u00a0b", "ab", `a\u00a0b`},
		{"invisible letter", "a\u3164b", `a\u3164b`, "a?b", "a\u3164b", "ab", `a\u3164b`},
		{"tag", "a\U000e0041b", `a\U000e0041b`, "a?b", "a\U000e0041b", "ab", `a\U000e0041b`},
		{"UTF-8", "grün", "grün", "gr?n", "grün", "grün", "grün"},
		{"invalid UTF-8", "a\xffb", `a\xffb`, "a?b", "a\ufffdb", "a\ufffdb", `a\xffb`},
		{"overlong NUL", "a\xc0\x80b", `a\xc0\x80b`, "a??b", "a\ufffd\ufffdb", "a\ufffd\ufffdb", `a\xc0\x80b`},
		{"template", "${run{x}} %s $(x)", `"${run{x}} %s $(x)"`, "${run{x}} %s $(x)", "${run{x}} %s $(x)", "${run{x}} %s $(x)", "${run{x}} %s $(x)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := From(c.in)
			for _, r := range []struct{ what, got, want string }{
				{"ForLog", v.ForLog(), c.log},
				{"ForReply", v.ForReply(), c.reply},
				{"ForHeader", v.ForHeader(), c.header},
				{"ForReport", v.ForReport(), c.report},
				{"ForTerminal", v.ForTerminal(), c.tt},
			} {
				if r.got != r.want {
					t.Errorf("%s: got %q, want %q", r.what, r.got, r.want)
				}
			}
		})
	}
}

func TestLongTextsAreCut(t *testing.T) {
	for _, fill := range []string{"x", "ü", "\x1b", "\xff", "\U0001f4e7"} {
		v := From(strings.Repeat(fill, 1<<16))
		for what, n := range map[string]struct{ got, most int }{
			"ForLog":      {len(v.ForLog()), MaxLogRunes*10 + 5},
			"ForTerminal": {len(v.ForTerminal()), MaxTerminalRunes*10 + 3},
			"ForReply":    {len(v.ForReply()), MaxReply},
			"ForHeader":   {len(v.ForHeader()), MaxHeader},
			"ForReport":   {len(v.ForReport()), MaxReport},
		} {
			if n.got > n.most {
				t.Errorf("%s of %q gave %d bytes", what, fill, n.got)
			}
		}
	}
	if got := From(strings.Repeat("x", 257)).ForLog(); got != strings.Repeat("x", 256)+"..." {
		t.Errorf("257 characters became %q", got)
	}
	if got := From(strings.Repeat(" ", 257)).ForLog(); got != `"`+strings.Repeat(" ", 256)+`"...` {
		t.Errorf("257 spaces became %q", got)
	}
}

func TestForPathRefuses(t *testing.T) {
	for _, in := range []string{"", ".", "..", "a/b", "/", "../x", "a\x00b", "a\nb", "a\x1bb", "a\xffb", "a\u0085b", strings.Repeat("x", 256)} {
		if got, err := From(in).ForPath(); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%q passed as %q", in, got)
		}
	}
	for _, in := range []string{"a", "...", ".a", "a b", "-rf", "grün", "*", strings.Repeat("x", 255)} {
		if got, err := From(in).ForPath(); err != nil || got != in {
			t.Errorf("%q became %q, %v", in, got, err)
		}
	}
}

func TestForArgRefuses(t *testing.T) {
	for _, in := range []string{"-", "-oX", "--", "a\x00b", strings.Repeat("x", MaxArg+1)} {
		if got, err := From(in).ForArg(); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%q passed as %q", in, got)
		}
	}
	for _, in := range []string{"", "a-b", "a b;c", "`x`", "a\nb"} {
		if got, err := From(in).ForArg(); err != nil || got != in {
			t.Errorf("%q became %q, %v", in, got, err)
		}
	}
}

// checkOutputs holds for every input.
func checkOutputs(t interface{ Fatalf(string, ...any) }, in string) {
	v := From(in)
	log, term := v.ForLog(), v.ForTerminal()
	for _, out := range []string{log, term, v.ForReport()} {
		for _, r := range out {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Fatalf("%q let %U through in %q", in, r, out)
			}
		}
	}
	if strings.ContainsAny(log+term, "\r\n") {
		t.Fatalf("%q became two lines", in)
	}
	word := strings.TrimSuffix(log, "...")
	if strings.ContainsAny(word, " =") && (word[0] != '"' || word[len(word)-1] != '"') {
		t.Fatalf("%q became the words %q", in, log)
	}
	for _, r := range v.ForReply() {
		if r < ' ' || r > '~' {
			t.Fatalf("%q became the reply %q", in, v.ForReply())
		}
	}
	if h := v.ForHeader(); strings.ContainsAny(h, "\r\n\x00") || !utf8.ValidString(h) || len(h) > MaxHeader {
		t.Fatalf("%q became the header %q", in, h)
	}
	if p, err := v.ForPath(); err == nil && (p != in || strings.ContainsAny(p, "/\x00") || p == "" || p == "." || p == "..") {
		t.Fatalf("%q became the path %q", in, p)
	}
}

func TestNoInputEscapes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkOutputs(t, string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")))
		checkOutputs(t, rapid.String().Draw(t, "runes"))
	})
}

// Two texts in one log must not look the same, or one peer can pass for
// another.
func TestShortTextsStayDistinctInTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alphabet := rapid.SliceOfN(rapid.SampledFrom([]byte("a\\\"nx1b =\n\x1b\xff")), 0, 8)
		a, b := From(string(alphabet.Draw(t, "a"))), From(string(alphabet.Draw(t, "b")))
		if a != b && a.ForLog() == b.ForLog() {
			t.Fatalf("%q and %q are both %s", a.ForWire(), b.ForWire(), a.ForLog())
		}
	})
}

func FuzzConversions(f *testing.F) {
	for _, s := range []string{"", "a b", "\x1b[31m", "\u202e", "\r\n", "\xff\xfe", "..", "-x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkOutputs(t, s) })
}

package aliases_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"filbert/pkg/aliases"
	"filbert/pkg/argv"
	"filbert/pkg/lookup"
	"filbert/pkg/mailaddr"
)

// show gives the entry of a name in one line.
func show(t *aliases.Table, name string) string {
	e, ok := t.Find(aliases.Key(mailaddr.MustParse(name)))
	if !ok {
		return "none"
	}
	var s []string
	for _, it := range e.Items {
		s = append(s, it.String())
	}
	return strings.Join(s, "; ")
}

func TestEverySyntaxIsRead(t *testing.T) {
	const text = `# first
Postmaster: root
list:	a, b@example.org ,c@[192.0.2.1],
	# a comment in between

	d
  ,e
tight:a,b
"odd name": "other odd"@example.org, "third odd"
name@Example.ORG: x
v6@[IPv6:2001:db8::1]: y
pipe1: |/bin/cat -n, a
pipe2: "|/bin/cat 'a, b' \"c d\""
pipe3: |"/bin/cat a,b"
pipe4: |/bin/cat "x, y" 'z, \', b
file: /var/mail/x, "/var/mail/with space", /var/maildir/
incl: :include:/etc/list, :include: "/etc/other list", ":include:/etc/third"
fail: :fail: we do not
   like, you: at all
failquiet: :fail:
defer: :DEFER: later
hole: :blackhole:
self: \self, other
dots: first.last@example.org
utf8: jörg@bücher.example
crlf: a,` + "\r\n b\r\n"
	table, err := aliases.Parse("aliases", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"postmaster":            "root",
		"LIST":                  "a; b@example.org; c@[192.0.2.1]; d; e",
		"tight":                 "a; b",
		`"odd name"`:            `"other odd"@example.org; "third odd"`,
		"name@example.org":      "x",
		"name":                  "none",
		"v6@[IPv6:2001:db8::1]": "y",
		"pipe1":                 "|/bin/cat -n; a",
		"pipe2":                 `|/bin/cat 'a, b' "c d"`,
		"pipe3":                 "|/bin/cat a,b",
		"pipe4":                 `|/bin/cat "x, y" 'z, \'; b`,
		"file":                  "/var/mail/x; /var/mail/with space; /var/maildir/",
		"incl":                  ":include:/etc/list; :include:/etc/other list; :include:/etc/third",
		"fail":                  ":fail: we do not like, you: at all",
		"failquiet":             ":fail: ",
		"defer":                 ":defer: later",
		"hole":                  ":blackhole:",
		"self":                  `\self; other`,
		"dots":                  "first.last@example.org",
		"utf8":                  "jörg@bücher.example",
		"crlf":                  "a; b",
	} {
		if got := show(table, name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if diff := cmp.Diff([]string{"/etc/list", "/etc/other list", "/etc/third"}, table.Includes()); diff != "" {
		t.Error(diff)
	}
}

func TestEveryMistakeIsToldWithItsLine(t *testing.T) {
	for _, c := range []struct {
		text, want string
	}{
		{"a\n", "1: no colon"},
		{"\n\n: b\n", "f:3: \"\": no name"},
		{"a:\n", "1: a: nothing behind the colon"},
		{"a: b,\nc: d\n", "1: a: nothing behind the last comma"},
		{"a: b\n  c\n", "2: a: no comma behind b"},
		{"a: b c\n", "1: a: no comma behind b"},
		{"a: b # boss\n", "1: a: no comma behind b"},
		{"a: ,b\n", "1: a: nothing before the comma"},
		{"a: b,,c\n", "1: a: nothing before the comma"},
		{" a: b\n", "1: the line begins with a blank"},
		{"# c\n a: b\n", "2: the line begins with a blank"},
		{"a: b\nA: c\n", "2: A is defined twice (first in line 1)"},
		{"a b: c\n", `1: "a b"`},
		{"a..b: c\n", "1: a..b"},
		{"a: b..c\n", "1: a: b..c: bad address"},
		{"a: b@\n", "1: a: b@: bad address"},
		{"a: <b@c.example>\n", "1: a: <b@c.example>: bad address"},
		{`a: "|/bin/x` + "\n", "1: a: a quote is not closed"},
		{"a: |cat\n", "1: a: |cat: command does not begin with the full path"},
		{"a: |\n", "1: a: |: empty command"},
		{"a: |/bin/x $(id)\n", "1: a: |/bin/x $(id): $ in a command"},
		{"a: |/bin/x > /tmp/y\n", "> in a command"},
		{"a: |/bin/x 'y\n", "quote that is not closed"},
		{"a: /\n", "no file"},
		{"a: :include:\n", "no file"},
		{"a: :includ:/x\n", ":includ: is none of"},
		{"a: :x\n", "has no second one"},
		{"a: b, :fail: x\n", ":fail: x has to stand alone"},
		{"a: :blackhole:, b\n", ":blackhole: has to stand alone"},
		{`a: \b@c.example` + "\n", "only a name in the same domain"},
		{"a: b\x00\n", "1: a: b\\x00: bad address"},
		{"a: /x\x01y\n", "control character"},
		{"a: b\xff\n", "not UTF-8"},
		{"a: /" + strings.Repeat("x", 5000) + "\n", "longer than 4000"},
		{"a: :fail: " + strings.Repeat("x", 5000) + "\n", "longer than 500"},
		{"a: x\nb:\n  y,\n  z..z\n", "4: b: z..z"},
	} {
		_, err := aliases.Parse("f", []byte(c.text))
		var ps *lookup.Problems
		if !errors.As(err, &ps) || len(ps.List) != 1 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestAllMistakesOfAFileAreTold(t *testing.T) {
	_, err := aliases.Parse("f", []byte("a\nb: c\nd: e..f\n"))
	if want := "f:1: no colon behind the name; f:3: d: e..f: bad address: misplaced dot in the local part"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	_, err = aliases.Parse("f", []byte(strings.Repeat("x\n", 100)))
	if err == nil || !strings.Contains(err.Error(), "and 80 more") {
		t.Errorf("got %v", err)
	}
}

func TestIncludedFilesAreLinesOrCommas(t *testing.T) {
	items, err := aliases.ParseList("l", []byte("# list\n\na, b@example.org\nc,\nd\n  # x\n:include:more\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, it := range items {
		got = append(got, fmt.Sprintf("%d %s", it.Line, it))
	}
	want := []string{"3 a", "3 b@example.org", "4 c", "5 d", "7 :include:more"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if items, err := aliases.ParseList("l", nil); err != nil || len(items) != 0 {
		t.Errorf("empty file: got %v, %v", items, err)
	}
}

func TestIncludedFilesHaveNoCommandsFilesOrVerdicts(t *testing.T) {
	for _, bad := range []string{"|/bin/sh", "/etc/passwd", ":fail: x", ":blackhole:", `"|/bin/sh"`} {
		if _, err := aliases.ParseList("l", []byte("a\n"+bad+"\n")); err == nil || !strings.Contains(err.Error(), "l:2: ") {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}

func TestCommandsAreSplitWithoutAShell(t *testing.T) {
	for line, want := range map[string][]string{
		"/bin/cat":                       {"/bin/cat"},
		" /bin/cat\t-n  x ":              {"/bin/cat", "-n", "x"},
		`/bin/x 'a b' "c d" e\ f`:        {"/bin/x", "a b", "c d", "e f"},
		`/bin/x 'a\b' "a\"b\\c\d" '"'`:   {"/bin/x", `a\b`, `a"b\c\d`, `"`},
		`/bin/x a'b'"c"`:                 {"/bin/x", "abc"},
		`/bin/x ''`:                      {"/bin/x", ""},
		`/bin/x '$HOME' '|' '>' \$x`:     {"/bin/x", "$HOME", "|", ">", "$x"},
		`/bin/x --list=foo {local_part}`: {"/bin/x", "--list=foo", "{local_part}"},
	} {
		got, err := argv.Split(line)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", line, err, diff)
		}
	}
	for _, bad := range []string{"", " ", "cat", "./cat", "/bin/x |", "/bin/x $HOME", "/bin/x `id`", "/bin/x ; id", "/bin/x &",
		"/bin/x *", "/bin/x 'a", `/bin/x "a`, `/bin/x \`, "/bin/x a\nb", "/bin/x 'a\nb'", "/bin/x \x00", "/bin/x ~/y", "/bin/x\\\x00",
		"/bin/x" + strings.Repeat(" y", 300)} {
		if got, err := argv.Split(bad); err == nil {
			t.Errorf("%q: got %q", bad, got)
		}
	}
}

func TestCheckLooksAtWhatAFileNames(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("good", "a\n", 0o644)
	write("bad", "a..b\n", 0o644)
	write("open", "a\n", 0o666)
	write("loop", ":include:loop\n", 0o644)
	path := write("aliases", "a: :include:good, :include:bad, :include:open, :include:none, :include:loop\n"+
		"b: |/bin/sh\nc: |"+dir+"/good\nd: |/nonexistent/x\n", 0o644)
	var got []string
	for _, p := range aliases.Check(path) {
		got = append(got, strings.ReplaceAll(p.String(), dir+"/", ""))
	}
	for _, want := range []string{
		"bad:1: a..b: bad address: misplaced dot in the local part",
		"open: everybody may write to it (chmod o-w)",
		"aliases:1: :include:none: no such file or directory",
		"aliases:3: good: no program",
		"aliases:4: /nonexistent/x: no such file or directory",
	} {
		found := false
		for _, g := range got {
			found = found || g == want
		}
		if !found {
			t.Errorf("missing: %s", want)
		}
	}
	if len(got) != 5 {
		t.Errorf("got %q", got)
	}
	if got := aliases.Check(filepath.Join(dir, "none")); len(got) != 1 {
		t.Errorf("no file: got %v", got)
	}
}

func TestParsingIsLinear(t *testing.T) {
	// Each shape takes seconds where some part of the parser is quadratic.
	const n = 1 << 20
	for name, text := range map[string]string{
		"colons":      "[" + strings.Repeat(":", n),
		"quotes":      "a: " + strings.Repeat(`"`, n),
		"commas":      "a: " + strings.Repeat(",", n),
		"comments":    "a: b\n" + strings.Repeat("#\n", n/2),
		"blank lines": "a: b\n" + strings.Repeat(" \n", n/2),
		"backslashes": "a: |/x " + strings.Repeat(`\`, n),
		"pipes":       "a: " + strings.Repeat("|/x,", n/4),
		"entries":     strings.Repeat("a:b\n", n/4),
		"fail":        "a: :fail: " + strings.Repeat("x\n ", n/3),
	} {
		_, err := aliases.Parse(name, []byte(text))
		_ = err // what it says is other tests' matter
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a: b, c\n d\nowner-a: e\n")
	f.Add(`"x y": "|/bin/cat \"a\"", /f, :include:/x` + "\n")
	f.Add("f: :fail: no\nd: :defer:\nb: :blackhole:\n\\x: y\nz: \\z\n")
	f.Add("v6@[IPv6:::1]: x@[::1]\n#\n \n\t,\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := aliases.Parse("f", []byte(text))
		if _, errList := aliases.ParseList("l", []byte(text)); errList == nil && len(text) > 1<<20 {
			t.Skip()
		}
		if err != nil {
			return
		}
		for _, line := range strings.Split(text, "\n") {
			key, _, _ := strings.Cut(line, ":")
			e, ok := table.Find(strings.ToLower(strings.TrimSpace(key)))
			if ok && len(e.Items) == 0 {
				t.Errorf("entry %q without items", key)
			}
			for _, it := range e.Items {
				if it.Kind == aliases.Pipe {
					if args, err := argv.Split(it.Text); err != nil || len(args) == 0 || args[0][0] != '/' {
						t.Errorf("command %q: %q, %v", it.Text, args, err)
					}
				}
				if strings.ContainsAny(it.Text, "\x00\n\r") {
					t.Errorf("control character in %q", it.Text)
				}
			}
		}
	})
}

func BenchmarkFind(b *testing.B) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "name%d: user%d@example.org, other%d\n", i, i, i)
	}
	table, err := aliases.Parse("f", []byte(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := table.Find("name77777"); !ok {
			b.Fatal("none")
		}
	}
}

package lookup_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"filbert/pkg/lookup"
)

func TestKeysHaveOneForm(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "<>",
		"<>":                          "<>",
		"Alice@Example.ORG":           "alice@example.org",
		"@Bücher.Example":             "@xn--bcher-kva.example",
		"x@BÜCHER.example":            "x@xn--bcher-kva.example",
		"bücher.example":              "xn--bcher-kva.example",
		"Jörg":                        "jörg",
		`"Alice"@example.org`:         "alice@example.org",
		`"odd \name"@example.org`:     `"odd name"@example.org`,
		"u@[IPv6:2001:DB8:0::1]":      "u@[ipv6:2001:db8::1]",
		"2001:DB8:0:0::1":             "2001:db8::1",
		"::ffff:192.0.2.1":            "192.0.2.1",
		"what ever, it is no address": "what ever, it is no address",
	} {
		if got := lookup.Key(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := lookup.AddressKey("Jörg.Müller"); got != "jörg.müller" {
		t.Errorf("a server is asked for %q", got)
	}
}

const text1 = `# a comment
Alice@Example.org   two words

example.net	x
"odd name" odd
"odd Name"@a.example quoted
"#5" number
"q\"\\"  escaped
BÜCHER.example books
bare
  indented  value, with # and "quotes"
`

func TestTextFileHasTheRestOfTheLine(t *testing.T) {
	x, err := lookup.ParseText("f", []byte(text1))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"alice@example.org": "[two words] f:2", "ALICE@EXAMPLE.ORG": "[two words] f:2", "example.net": "[x] f:4",
		"odd name": "[odd] f:5", `"odd name"@A.example`: "[quoted] f:6", "#5": "[number] f:7", `q"\`: "[escaped] f:8",
		"xn--bcher-kva.example": "[books] f:9", "bücher.example": "[books] f:9", "bare": "[] f:10",
		"indented": `[value, with # and "quotes"] f:11`,
	} {
		a := x.Find(key)
		if got := fmt.Sprintf("%v %s", a.Values, a.Where); !a.Found || got != want {
			t.Errorf("%q: got %s, want %s", key, got, want)
		}
	}
	for _, key := range []string{"", "example", "#", "a", "odd", `"odd name"`, "alice", strings.Repeat("x", 2000)} {
		if a := x.Find(key); a.Found {
			t.Errorf("%q was found: %v", key, a)
		}
	}
	if x.Len() != 9 {
		t.Errorf("%d keys", x.Len())
	}
}

func TestTextFileMistakesHaveTheirLines(t *testing.T) {
	_, err := lookup.ParseText("f", []byte("a 1\n\"b 2\n\"c\"d 3\nA 4\n\"a\" 5\n"+strings.Repeat("k", 1001)+" 6\nx \xff\ny \x01\n"))
	var ps *lookup.Problems
	if !errors.As(err, &ps) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range ps.List {
		got = append(got, p.String())
	}
	want := []string{"f:2: the key has no second quote", "f:3: a blank, or @ and a domain, must follow the second quote",
		"f:4: A stands here twice (first in line 1)", `f:5: "\"a\"" stands here twice (first in line 1)`, "f:6: the key is longer than 1000 octets",
		"f:7: the line is not UTF-8", "f:8: the line has a control character in it"}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range got {
		if got[i] != want[i] && i != 3 {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

func TestTextFileFindsEachOfManyLines(t *testing.T) {
	var b strings.Builder
	const n = 5000
	for i := range n {
		fmt.Fprintf(&b, "User%d@example.org value %d\n", i, i)
	}
	x, err := lookup.ParseText("f", []byte(b.String()))
	if err != nil || x.Len() != n {
		t.Fatal(x.Len(), err)
	}
	for i := range n {
		a := x.Find(fmt.Sprintf("user%d@example.org", i))
		if !a.Found || a.Values[0] != fmt.Sprintf("value %d", i) || a.Where != fmt.Sprintf("f:%d", i+1) {
			t.Fatalf("%d: %v", i, a)
		}
	}
}

func TestFirstExpressionWins(t *testing.T) {
	x, err := lookup.ParseRegexps("r", []byte(`# expressions
/^(.*)-owner@(example\.org)$/  {1}@{2}
/^post(master)?@/ admin {1}{x}{0}
/^a\/b/
/owner/ last
`))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"list-OWNER@example.org": "true [list@example.org] r:2", "post@x": "true [admin {x}{0}] r:3",
		"postmaster@x": "true [admin master{x}{0}] r:3", "a/b": "true [] r:4", "owner": "true [last] r:5", "none": "false [] ",
		"{2}-owner@example.org": "true [{2}@example.org] r:2",
	} {
		a := x.Find(key)
		if got := fmt.Sprintf("%v %v %s", a.Found, a.Values, a.Where); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
}

// Else a stranger could name recipients of his own, commands and files by an address
// that an expression makes an entry of.
func TestWhatIsCapturedBringsNothingAlong(t *testing.T) {
	x, err := lookup.ParseRegexps("r", []byte("/^cmd-(.*)@/ {1}\n/list-(.*)-request/ {1}-owner@example.org\n/^plain-(.*)@/ plain\n"))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"cmd-o'brien@example.org":                      "[o'brien]",
		"list-a.b+c=d-request@example.org":             "[a.b+c=d-owner@example.org]",
		"plain-|/bin/sh@example.org":                   "[plain]",
		"cmd-|/bin/sh@example.org":                     "[]",
		"cmd-/etc/x@example.org":                       "[]",
		"cmd-#@example.org":                            "[]",
		`"list-x, |/bin/sh, y-request"@example.org`:    "[]",
		`"list-x,me@evil.example,y-request"@a.example`: "[]",
		`"list-:include:x-request"@a.example`:          "[]",
		`"list-x\"y-request"@a.example`:                "[]",
	} {
		if a := x.Find(key); fmt.Sprint(a.Values) != want || a.Found != (want != "[]") {
			t.Errorf("%s: %+v, want %s", key, a, want)
		}
	}
	_, err = lookup.ParseRegexps("r", []byte(`/^run-(.*)@/ "|/bin/run {1}"`))
	if err == nil || !strings.Contains(err.Error(), "command") {
		t.Errorf("a command with a capture: %v", err)
	}
}

func TestAHomeThatClimbsIsNone(t *testing.T) {
	for _, text := range []string{"vmail:/var/mail/../../etc", "vmail:/.."} {
		if u, err := lookup.ParseUser(text); err == nil {
			t.Errorf("%s: %+v", text, u)
		}
	}
	if _, err := lookup.ParseUser("vmail:/var/mail/a..b"); err != nil {
		t.Error(err)
	}
}

func TestExpressionMistakes(t *testing.T) {
	for _, bad := range []string{"x y", "/x y", "//", "/(/ x", "/a/b x", "/(a)/ {2}", "/" + strings.Repeat("x", 2001) + "/ y", "/" + strings.Repeat("(x{1000}){1000}", 1) + "/ y"} {
		if _, err := lookup.ParseRegexps("r", []byte("/fine/ x\n"+bad+"\n")); err == nil || !strings.HasPrefix(err.Error(), "r:2: ") {
			t.Errorf("%.40q: got %v", bad, err)
		}
	}
}

func TestLongestPrefixWins(t *testing.T) {
	x, err := lookup.ParseNetworks("n", []byte("192.0.2.7 one\n192.0.2.0/24 net work\n0.0.0.0/0\n2001:db8::/32 six\n"))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"192.0.2.7": "true [one] n:1", "::ffff:192.0.2.7": "true [one] n:1", "192.0.2.8": "true [net work] n:2", "10.0.0.1": "true [] n:3",
		"2001:db8::5": "true [six] n:4", "2001:db9::": "false [] ", "example.org": "false [] ", "": "false [] ",
	} {
		a := x.Find(key)
		if got := fmt.Sprintf("%v %v %s", a.Found, a.Values, a.Where); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
	for _, bad := range []string{"192.0.2.1/24 x", "example.org x", "192.0.2.0/33 x", "::ffff:192.0.2.0/120 x", "fe80::1%eth0 x", "192.0.2.7/32 twice"} {
		if _, err := lookup.ParseNetworks("n", []byte("192.0.2.7 one\n"+bad+"\n")); err == nil || !strings.HasPrefix(err.Error(), "n:2: ") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestAccountsGiveWhatIsAskedOfThem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	write(t, path, "alice:x:1000:100:A. N. User, room 4:/home/alice:/bin/sh\nbob:x:1001:100:& (odd):/home/bob:/bin/false\nnone:x:1002:100::/home/none:\n")
	for _, c := range []struct {
		key, want  string
		attributes []string
	}{
		{"ALICE", "true [alice:/home/alice]", nil},
		{"alice", "true [A. N. User A.N.User 1000 100 /bin/sh]", []string{"full_name", "dotted_name", "uid", "gid", "shell"}},
		{"bob", "true [Bob (odd)]", []string{"full_name", "dotted_name"}},
		{"none", "false []", []string{"full_name"}},
		{"nobody", "false []", nil},
	} {
		x, err := lookup.OpenPasswd(lookup.Options{Path: path, Now: time.Now}, c.attributes)
		if err != nil {
			t.Fatal(err)
		}
		a, err := x.Find(t.Context(), c.key)
		if got := fmt.Sprint(a.Found, " ", a.Values); got != c.want || err != nil {
			t.Errorf("%s %v: got %s, %v, want %s", c.key, c.attributes, got, err, c.want)
		}
	}
	if _, err := lookup.OpenPasswd(lookup.Options{}, []string{"password"}); err == nil {
		t.Error("an unknown attribute was taken")
	}
}

func TestInlineEntriesAreFoundInAnySpelling(t *testing.T) {
	x, err := lookup.NewInline(map[string]string{"Alice@BÜCHER.example": "a", "bob": ""})
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := x.Find(t.Context(), "alice@xn--bcher-kva.example"); !a.Found || a.Values[0] != "a" {
		t.Errorf("got %v", a)
	}
	if a, _ := x.Find(t.Context(), "Bob"); !a.Found || len(a.Values) != 0 {
		t.Errorf("got %v", a)
	}
	if _, err := lookup.NewInline(map[string]string{"a": "1", "A": "2"}); err == nil {
		t.Error("two spellings of one key were taken")
	}
}

func TestHalfWrittenTableKeepsTheOldContentAndSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "a 1\nb 2\n")
	var told []string
	now := time.Now()
	x := lookup.OpenText(lookup.Options{Path: path, Now: func() time.Time { return now }, Complain: func(err error) { told = append(told, err.Error()) }})
	defer x.Close()
	write(t, path, "a 3\n\"b")
	for range 3 {
		now = now.Add(time.Minute)
		if a, err := x.Find(t.Context(), "b"); err != nil || !a.Found || a.Values[0] != "2" {
			t.Fatalf("got %v, %v", a, err)
		}
	}
	if want := "keep the old content: " + path + ":2: the key has no second quote"; len(told) != 1 || told[0] != want {
		t.Errorf("told %q, want %q once", told, want)
	}
	write(t, path, "a 3\n")
	now = now.Add(time.Minute)
	if a, err := x.Find(t.Context(), "b"); err != nil || a.Found {
		t.Errorf("the whole file was not taken: %v, %v", a, err)
	}
}

func TestAbsentTableIsAnErrorAndNotAnAbsence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	now := time.Now()
	for name, open := range map[string]func(lookup.Options) lookup.Table{
		"text": lookup.OpenText, "regexps": lookup.OpenRegexps, "networks": lookup.OpenNetworks,
		"passwd": func(o lookup.Options) lookup.Table { x, _ := lookup.OpenPasswd(o, nil); return x },
	} {
		told := 0
		x := open(lookup.Options{Path: path, Now: func() time.Time { return now }, Complain: func(error) { told++ }})
		if a, err := x.Find(t.Context(), "a"); !errors.Is(err, fs.ErrNotExist) || a.Found {
			t.Errorf("%s: got %v, %v", name, a, err)
		}
		write(t, path, "")
		now = now.Add(time.Hour)
		if a, err := x.Find(t.Context(), "a"); err != nil || a.Found {
			t.Errorf("%s: after it appeared: got %v, %v", name, a, err)
		}
		x.Close()
		if _, err := x.Find(t.Context(), "a"); err == nil {
			t.Errorf("%s: a closed table knows that something is not there", name)
		}
		if told != 1 {
			t.Errorf("%s: told %d times", name, told)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add(text1, "alice@example.org")
	f.Add("a\n", "A")
	f.Fuzz(func(t *testing.T, s, key string) {
		if k := lookup.Key(key); lookup.Key(k) != k {
			t.Errorf("%q: %q, then %q", key, k, lookup.Key(k))
		}
		x, err := lookup.ParseText("f", []byte(s))
		if err != nil {
			return
		}
		a := x.Find(key)
		if err := lookup.Usable(a.Values); err != nil {
			t.Error(err)
		}
		if b := x.Find(lookup.Key(key)); !reflect.DeepEqual(a, b) {
			t.Errorf("two spellings, two answers: %v, %v", a, b)
		}
		for _, line := range strings.Split(s, "\n") {
			f := strings.Fields(line)
			if len(f) > 0 && !strings.ContainsAny(f[0], "\"#") && len(f[0]) < 100 && !strings.ContainsAny(line, "\u0085\u00a0") && isASCII(line) {
				if !x.Find(f[0]).Found {
					t.Errorf("%q is not found", f[0])
				}
			}
		}
	})
}

func isASCII(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0 }

func FuzzRegexps(f *testing.F) {
	f.Add("/^(a+)@/ {1}{2}\n/b\\/c/ d\n", "aa@x")
	f.Fuzz(func(t *testing.T, s, key string) {
		x, err := lookup.ParseRegexps("r", []byte(s))
		if err == nil && x.Len() <= strings.Count(s, "\n")+1 {
			x.Find(key)
		}
	})
}

func FuzzNetworks(f *testing.F) {
	f.Add("192.0.2.0/24 x\n2001:db8::/32\n", "192.0.2.9")
	f.Fuzz(func(t *testing.T, s, key string) {
		x, err := lookup.ParseNetworks("n", []byte(s))
		if err != nil {
			return
		}
		a := x.Find(key)
		if _, err := netip.ParseAddr(key); err != nil && a.Found {
			t.Errorf("%q is no address and was found", key)
		}
		if err := lookup.Usable(a.Values); err != nil {
			t.Error(err)
		}
	})
}

func FuzzPasswd(f *testing.F) {
	f.Add("alice:x:1:1:A & B,x:/home/a:/bin/sh\n", "alice")
	f.Fuzz(func(t *testing.T, s, key string) {
		p, _ := lookup.ParsePasswd("p", []byte(s))
		if a, ok := p.Find(key); ok {
			for _, name := range lookup.AccountAttributes() {
				a.Attribute(name)
			}
		}
	})
}

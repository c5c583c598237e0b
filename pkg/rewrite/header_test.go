package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

func rewritten(t testing.TB, set Set, text string) string {
	t.Helper()
	h, err := message.Scan([]byte(text), message.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	out, err := set.Header(h, []byte(text), 512<<10, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// campus is the lookups of TestMatrix: every user keeps his name, and every
// machine below bar.com is bar.com.
func campus(lookup, key string) ([]string, bool, error) {
	switch lookup {
	case "users":
		a, err := mailaddr.New(key, "")
		return []string{a.String()}, err == nil, nil
	case "domains":
		return []string{"bar.com"}, key == "pc.bar.com", nil
	case "machines":
		a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(key))
		if err != nil || a.Domain() != "pc.bar.com" {
			return nil, false, err
		}
		a, err = a.WithDomain("bar.com")
		return []string{a.String(), "second@foo.com"}, true, err
	}
	return nil, false, fmt.Errorf("no lookup %s", lookup)
}

// TestMatrix puts each way to write an address into each source and through
// each kind of rule. In the texts @OLD@ is the address, @NEW@ what must become of it.
func TestMatrix(t *testing.T) {
	kinds := map[string]settings.Rewrite{
		"exact":      {Match: "%s@pc.bar.com", To: "*@bar.com"},
		"glob":       {Match: "*@*.bar.com", To: "{1}@bar.com"},
		"expression": {Match: `/^(.*)@([^.@]+)\.bar\.com$/`, To: "{1}@bar.com"},
		// the same by tables that have every machine and every user
		"lookup of an address":   {Match: "lookup:machines", To: "{lookup:machines:address}"},
		"lookup of a local part": {Match: "*@*.bar.com", To: "{lookup:users:1}@bar.com"},
		"lookup of a domain":     {Match: `/^(.*)@(.*\.bar\.com)$/`, To: "*@{lookup:domains:2}"},
		"match by a lookup":      {Match: "lookup:machines", To: "*@bar.com"},
	}
	values := []string{
		" %s\r\n",
		"%s\r\n",
		"\t%s\t\r\n",
		" <%s>\r\n",
		" User <%s>\r\n",
		" \"User, A. N.\" <%s>\r\n",
		" =?utf-8?q?J=C3=BCrgen?= <%s>\r\n",
		" Jürgen Groß <%s>\r\n",
		" %s (A. N. User)\r\n",
		" (before \\) (nested)) %s (after)\r\n",
		"\r\n %s\r\n",
		" User\r\n\t<%s>\r\n",
		" User <%s>,\r\n other@foo.com,,\r\n \"x@pc.bar.com\" <x@foo.com>\r\n",
		" other@foo.com, %s, pc.bar.com@foo.com\r\n",
		" Group: %s, other@foo.com;, x@foo.com\r\n",
		" \"Group: x\":%s;\r\n",
		" <@relay.example,@pc.bar.com:%s>\r\n",
		" \"%%s\" <%s>\r\n",
	}
	locals := []string{"user", "a.n.user+x", `"john smith"`, `"a\"b\\c"`, `"x@pc.bar.com"`, "jürgen"}
	for kind, rule := range kinds {
		for _, source := range addressFields {
			for _, local := range locals {
				r := rule
				r.Name, r.Sources = kind, []string{source}
				if kind == "exact" {
					r.Match = fmt.Sprintf(r.Match, local)
					if strings.Contains(local, " ") || strings.Contains(local, `\`) {
						continue // such need no pattern that other tests don't have
					}
				}
				set := mustCompile(t, r).Asking(campus)
				for _, v := range values {
					name := strings.ToUpper(source[:1]) + source[1:] + ":"
					around := "X-First: user@pc.bar.com\r\n%sX-Last: user@pc.bar.com\r\n\r\nFrom: user@pc.bar.com\r\n"
					old := fmt.Sprintf(around, name+strings.ReplaceAll(fmt.Sprintf(v, "\x00"), "\x00", local+"@pc.bar.com"))
					want := fmt.Sprintf(around, name+strings.ReplaceAll(fmt.Sprintf(v, "\x00"), "\x00", local+"@bar.com"))
					if got := rewritten(t, set, old); got != want {
						t.Fatalf("%s of %s\n%q became\n%q, want\n%q", kind, source, old, got, want)
					}
				}
			}
		}
	}
}

func TestHeader(t *testing.T) {
	set := mustCompile(t,
		settings.Rewrite{Name: "a", Sources: []string{"From", "x-owner"}, Match: "*@*.bar.com", To: "{1}@bar.com"},
		settings.Rewrite{Name: "b", Sources: []string{"to"}, Match: "u@idn.example", To: "u@bücher.example"},
		settings.Rewrite{Name: "c", Sources: []string{"to"}, Match: "l@idn.example", To: "ü@bücher.example"},
		settings.Rewrite{Name: "d", Sources: []string{"to"}, Match: "/^[^@]+$/", To: "*@bar.com"},
	)
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"\r\nFrom: u@a.bar.com\r\n", "\r\nFrom: u@a.bar.com\r\n"},
		{"From: u@a.bar.com", "From: u@bar.com"},
		{"FROM : u@a.bar.com\r\nfrom:u@b.bar.com\r\n", "FROM : u@bar.com\r\nfrom:u@bar.com\r\n"},
		{"X-Owner: U@A.BAR.COM\r\n", "X-Owner: U@bar.com\r\n"},
		{"Sender: u@a.bar.com\r\n", "Sender: u@a.bar.com\r\n"},
		// comments in the middle of an address stand behind it then
		{"From: u (a) @ (b (c) \") a . bar.com (d)\r\n", "From: u@bar.com (a) (b (c) \") (d)\r\n"},
		{"From: <\"(no)\"@(yes)a.bar.com>\r\n", "From: <\"(no)\"@bar.com (yes)>\r\n"},
		{"From: \"a\".\"b\"@a.bar.com\r\n", "From: a.b@bar.com\r\n"},
		// what is not changed keeps the way in which it was written
		{"From: u (a) @ (b) FOO . com\r\n", "From: u (a) @ (b) FOO . com\r\n"},
		// fields that can't be read stay whole
		{"From: u@a.bar.com, broken\x01\r\n", "From: u@a.bar.com, broken\x01\r\n"},
		{"From: u@a.bar.com <u@b.bar.com>\r\n", "From: u@a.bar.com <u@b.bar.com>\r\n"},
		{"From: u@a.bar.com\n evil\r\n", "From: u@a.bar.com\n evil\r\n"},
		{"From: undisclosed:;\r\n", "From: undisclosed:;\r\n"},
		{"From: <>\r\n", "From: <>\r\n"},
		{"From u@a.bar.com Mon\r\nnot a field u@a.bar.com\r\n", "From u@a.bar.com Mon\r\nnot a field u@a.bar.com\r\n"},
		// A-labels in a header without other letters
		{"To: u@idn.example\r\n", "To: u@xn--bcher-kva.example\r\n"},
		{"To: l@idn.example\r\n", "To: ü@bücher.example\r\n"},
		{"To: root, u@foo.com\r\n", "To: root@bar.com, u@foo.com\r\n"},
	} {
		if got := rewritten(t, set, c.in); got != c.want {
			t.Errorf("%q became\n%q, want\n%q", c.in, got, c.want)
		}
	}
}

func TestAGrowingHeaderIsRefused(t *testing.T) {
	set := mustCompile(t, everywhere("*@b", "{1}@"+strings.Repeat("long.", 40)+"example"))
	text := []byte("To: " + strings.Repeat("a@b,", 1000) + "\r\n\r\n" + strings.Repeat("body\r\n", 10_000))
	h, err := message.Scan(text, message.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Header(h, text, 100<<10, nil); !errors.Is(err, ErrTooBig) {
		t.Errorf("got %v", err)
	}
	if _, err := set.Header(h, text, 300<<10, nil); err != nil {
		t.Errorf("the body was counted: %v", err)
	}
}

func TestUnreadableFieldsAreTold(t *testing.T) {
	set := mustCompile(t, stripHost)
	text := []byte("From: a@b <c@d>\r\n")
	h, _ := message.Scan(text, message.DefaultLimits())
	var told []Step
	if _, err := set.Header(h, text, 1000, func(s Step) { told = append(told, s) }); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || told[0].Verdict != Unread || told[0].Why == "" || strings.Contains(told[0].Why, "c@d") {
		t.Errorf("told %+v", told)
	}
}

// octets draws text that header parsers find hard.
func octets() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
			"a", "b@c.bar.com", "@", ".bar.com", "<", ">", ",", ";", ":", "(", ")", `"`, `\`, "\r\n ", "\r\n", "\r", "\n", " ", "\t",
			"From:", "To: ", "Cc:", "ü", "=?utf-8?q?x?=", "\x00", "\xff", "[192.0.2.1]", ".", "Group:",
		}), 0, 30).Draw(t, "text"), "")
	})
}

func TestAnUntouchedHeaderIsTheSameOctetForOctet(t *testing.T) {
	set := mustCompile(t, everywhere("*@never.example", "x@y"), everywhere("*", "*@*"))
	rapid.Check(t, func(t *rapid.T) {
		text := octets().Draw(t, "text")
		h, err := message.Scan([]byte(text), message.DefaultLimits())
		if err != nil {
			t.Skip()
		}
		if out, err := set.Header(h, []byte(text), 1<<20, nil); err != nil || string(out) != text {
			t.Fatalf("%q became %q, %v", text, out, err)
		}
	})
}

// entry is an address in a list, in one of the ways to write it, with what
// stands around it.
func entry(t *rapid.T, label string) (before, after string) {
	forms := [][2]string{
		{"", ""}, {"<", ">"}, {"Name <", ">"}, {"\"N, a@b.bar.com\" <", "> (x)"}, {"(c@d.bar.com) ", " (y)"}, {"\r\n =?utf-8?q?=C3=BC?=\r\n <", ">"},
		{"Ünï <", ">"}, {"G: ", ";"}, {"<@r.bar.com:", ">"},
	}
	f := rapid.SampledFrom(forms).Draw(t, label)
	return f[0], f[1]
}

func TestAHeaderDiffersOnlyInTheAddressThatARuleChanged(t *testing.T) {
	set := mustCompile(t, settings.Rewrite{Name: "r", Sources: []string{"to"}, Match: "*@old.bar.com", To: "new.{1}@bar.com"})
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "n")
		hit := rapid.IntRange(0, n-1).Draw(t, "hit")
		var old, want strings.Builder
		for _, b := range []*strings.Builder{&old, &want} {
			b.WriteString("Subject: \"x@old.bar.com\"\r\nCc: x@old.bar.com\r\nTo:")
		}
		for i := range n {
			before, after := entry(t, fmt.Sprint("form", i))
			sep := rapid.SampledFrom([]string{", ", ",", ",\r\n\t", " , ,"}).Draw(t, fmt.Sprint("sep", i))
			was, is := "x@Other.example", "x@Other.example"
			if i == hit {
				was, is = "X@Old.Bar.com", "new.X@bar.com"
			}
			old.WriteString(before + was + after + sep)
			want.WriteString(before + is + after + sep)
		}
		tail := "\r\nX: x@old.bar.com\r\n\r\nTo: x@old.bar.com\r\n"
		old.WriteString(tail)
		want.WriteString(tail)
		h, err := message.Scan([]byte(old.String()), message.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		out, err := set.Header(h, []byte(old.String()), 1<<20, nil)
		if err != nil || string(out) != want.String() {
			t.Fatalf("%q became\n%q, want\n%q (%v)", old.String(), out, want.String(), err)
		}
	})
}

// checkHeader holds for every rule and every text: the result has the fields of
// the text, all octets of other fields, and addresses where there were some.
func checkHeader(t interface{ Fatalf(string, ...any) }, set Set, text []byte) {
	h, err := message.Scan(text, message.DefaultLimits())
	if err != nil {
		return
	}
	out, err := set.Header(h, text, 64<<20, nil)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	after, err := message.Scan(out, message.Limits{Fields: 1 << 20, Octets: 1 << 30})
	if err != nil || len(after.Fields) != len(h.Fields) {
		t.Fatalf("%q became %q: %d fields, then %d (%v)", text, out, len(h.Fields), len(after.Fields), err)
	}
	if !bytes.Equal(text[h.End:], out[after.End:]) {
		t.Fatalf("%q became %q: the body changed", text, out)
	}
	for i, f := range h.Fields {
		g := after.Fields[i]
		if bytes.Equal(h.Raw(f), after.Raw(g)) {
			continue
		}
		if set.fieldOf(h, f) == "" || !bytes.Equal(text[f.Start:f.ValueStart], out[g.Start:g.ValueStart]) {
			t.Fatalf("%q became %q: another field changed", text, out)
		}
		was, _ := mailaddr.ParseList(h.RawValue(f))
		is, err := mailaddr.ParseList(after.RawValue(g))
		if err != nil || len(was) != len(is) {
			t.Fatalf("%q became %q: %d addresses, then %d (%v)", text, out, len(was), len(is), err)
		}
		for k := range was {
			if want := applied(t, set, set.fieldOf(h, f), was[k].Address, nil); !sameAddress(want, is[k].Address) || was[k].Name != is[k].Name {
				t.Fatalf("%q became %q: %s, want %s", text, out, is[k].Address, want)
			}
		}
	}
}

// sameAddress: in a header without other letters a domain is written with
// A-labels.
func sameAddress(a, b mailaddr.Address) bool {
	x, errX := a.ASCIIDomain()
	y, errY := b.ASCIIDomain()
	return a.Local() == b.Local() && errX == nil && errY == nil && x == y
}

func wildSet(t testing.TB) Set {
	return mustCompile(t, everywhere("*@*.bar.com", "{2}.{1}@bar.com"), everywhere("/^(.*)@(.*)$/", "({1}) \"{2}@x.example"), everywhere("/^[^@]+$/", "*@bücher.example"))
}

func TestARewrittenHeaderHasTheSameFieldsAndTheRulesAddresses(t *testing.T) {
	set := wildSet(t)
	rapid.Check(t, func(t *rapid.T) { checkHeader(t, set, []byte(octets().Draw(t, "text"))) })
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("From: u (a) @ (b) c.bar.com\r\nTo: G: \"x y\"@a.bar.com, root;\r\n\r\nbody"))
	f.Add([]byte("To: <@x,@y:a@b>, =?utf-8?q?J?= <\"(\\\"\"@bar.com>\r\n"))
	f.Add([]byte("Cc: jürgen@bücher.example,\r\n\tu@[192.0.2.1]\r\n"))
	set := wildSet(f)
	f.Fuzz(func(t *testing.T, text []byte) { checkHeader(t, set, text) })
}

func FuzzRule(f *testing.F) {
	f.Add("*@*.bar.com", "{1}@bar.com", "user@pc.bar.com")
	f.Add("/^(.*)@(.*)$/", "*@{2}", "a")
	f.Add("\"a b\"@x", "{local_part}.{domain}@*", `"a b"@x`)
	f.Fuzz(func(t *testing.T, match, to, address string) {
		a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(address))
		if err != nil {
			return
		}
		r := everywhere(match, to)
		problems := Check(&r)
		rules, err := Compile([]settings.Rewrite{r}, nil)
		if (err != nil) != (len(problems) > 0) {
			t.Fatalf("%v, and problems %v", err, problems)
		}
		if err != nil {
			return
		}
		got := applied(t, rules.For(Origin{}).Asking(table{"x": {"y"}}.ask), "to", a, nil)
		if back, err := mailaddr.ParseLocalOrMailbox(untrusted.From(got.String())); err != nil || back != got || a.Domain() != "" && got.Domain() == "" {
			t.Fatalf("%s became %s, which reads as %s (%v)", a, got, back, err)
		}
	})
}

// TestIdempotentRulesStaySo: rules whose result none of them matches, or that give it
// back, change nothing the second time.
func TestIdempotentRulesStaySo(t *testing.T) {
	sets := map[string]Set{
		"strip": mustCompile(t, everywhere("*@*.bar.com", "{1}@bar.com")),
		"names": mustCompile(t, everywhere("/^([a-z])([a-z]+)@bar\\.com$/", "{1}.{2}@bar.com")),
		"both":  mustCompile(t, everywhere("*@*.bar.com", "{1}@bar.com"), everywhere("*@bar.com", "*@foo.com")),
		"idn":   mustCompile(t, everywhere("*@*", "*@bücher.example")),
		// a table whose values it has no key for
		"table": mustCompile(t, everywhere("lookup:t", "{lookup:t:address}")).Asking(table{"b@c.bar.com": {"ada@foo.com"}, "a@b": {`"x y"@[192.0.2.1]`}}.ask),
	}
	rapid.Check(t, func(t *rapid.T) {
		text := octets().Draw(t, "text")
		for name, set := range sets {
			h, err := message.Scan([]byte(text), message.DefaultLimits())
			if err != nil {
				t.Skip()
			}
			once, err := set.Header(h, []byte(text), 1<<20, nil)
			if err != nil {
				t.Fatal(err)
			}
			h, err = message.Scan(once, message.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			if twice, err := set.Header(h, once, 1<<20, nil); err != nil || !bytes.Equal(once, twice) {
				t.Fatalf("%s: %q became %q, then %q (%v)", name, text, once, twice, err)
			}
		}
	})
}

// TestHostileHeadersTakeLinearWork counts the rules asked, not the time.
func TestHostileHeadersTakeLinearWork(t *testing.T) {
	set := mustCompile(t, everywhere("*-*-*-*@*.bar.com", "{4}@bar.com"), everywhere(`/^(a*)*(a*)*$/`, "x@bar.com"))
	for name, unit := range map[string]string{
		"addresses": "a@b,", "comments": "(()(", "quotes": `"\"`, "groups": "g:a@b;,", "stars": strings.Repeat("a-", 30) + "@x.bar.co,",
		"angles": "<a@b", "fields": "x\r\nTo: a@b",
	} {
		asked := func(n int) int {
			text := []byte("To: " + strings.Repeat(unit, n) + "\r\n")
			h, err := message.Scan(text, message.Limits{Fields: 1 << 20, Octets: 1 << 24})
			if err != nil {
				t.Fatal(err)
			}
			steps := 0
			if _, err := set.Header(h, text, 1<<26, func(Step) { steps++ }); err != nil {
				t.Fatal(err)
			}
			return steps
		}
		if one, ten := asked(200), asked(2000); ten > 10*one+20 {
			t.Errorf("%s: %d steps, then %d for ten times as much", name, one, ten)
		}
	}
}

func BenchmarkHeader(b *testing.B) {
	set := mustCompile(b, stripHost, fullName, everywhere("*@*.foo.com", "{1}@foo.com"))
	text := []byte("Received: from x\r\nFrom: User <user@pc.bar.com>\r\nTo: a@b.example, c@d.foo.com\r\nSubject: hello\r\nDate: now\r\n\r\n")
	h, err := message.Scan(text, message.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := set.Header(h, text, 1<<20, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHostileHeader is the worst that a header of the default size can do
// to twenty rules.
func BenchmarkHostileHeader(b *testing.B) {
	var rules []settings.Rewrite
	for i := range 20 {
		rules = append(rules, everywhere(fmt.Sprintf("*-*-*@*.n%d.bar.com", i), "{1}@bar.com"))
	}
	set := mustCompile(b, rules...)
	text := []byte("To: " + strings.Repeat("a-b@c.d.e,", 9_900) + "\r\n\r\n")
	h, err := message.Scan(text, message.Limits{Fields: 1000, Octets: 100 << 10})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := set.Header(h, text, 1<<20, nil); err != nil {
			b.Fatal(err)
		}
	}
}

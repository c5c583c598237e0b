package rewrite

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// table is one lookup, whatever its name; a nil value is a key without values.
type table map[string][]string

func (t table) ask(_, key string) ([]string, bool, error) {
	v, ok := t[key]
	return v, ok, nil
}

var errDown = errors.New("the directory is down")

func down(string, string) ([]string, bool, error) { return nil, false, errDown }

func TestThePapersTwoRulesByALookup(t *testing.T) {
	names := stripHost
	names.Name, names.Match, names.To = "full-names", "*@bar.com", "{lookup:full:1}@bar.com"
	set := mustCompile(t, stripHost, names).Asking(table{"abc123": {"A.N.User"}}.ask)
	for in, want := range map[string]string{
		"abc123@pc7.bar.com": "A.N.User@bar.com",
		"ABC123@Bar.Com":     "A.N.User@bar.com",
		"def456@pc7.bar.com": "def456@bar.com",
		"abc123@foo.com":     "abc123@foo.com",
	} {
		if got := applied(t, set, "from", mailaddr.MustParse(in), nil); got.String() != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
}

func TestRewritingByLookups(t *testing.T) {
	has := table{
		"user":             {"A.N.User", "Second"},
		"quoted":           {`"A. N. User"`},
		"spaces":           {"A. N. User"},
		"whole":            {"a@foo.com"},
		"empty":            {""},
		"none":             nil,
		"line":             {"a\r\nBcc: x"},
		"long":             {strings.Repeat("x", 65)},
		"user@bar.com":     {"other@foo.com", "third@foo.com"},
		"list@bar.com":     {"a@foo.com, b@foo.com"},
		"half@bar.com":     {"half"},
		"null@bar.com":     {"<>"},
		"name@bar.com":     {"Name <name@foo.com>"},
		"bar.com":          {"foo.com"},
		"two.com":          {"foo.com bar.com"},
		"dot.com":          {"foo..com"},
		"literal.com":      {"[192.0.2.1]"},
		"xn--bcher-kva.de": {"bücher.example"},
		"u@xn--bcher-kva.de": {
			"x@foo.com",
		},
		`"a b"@bar.com`: {"ab@foo.com"},
	}
	for _, c := range []struct {
		match, to, in string
		verdict       Verdict
		want          string // "" = stays
	}{
		// halves
		{"*@bar.com", "{lookup:t:1}@bar.com", "user@bar.com", Changed, "A.N.User@bar.com"},
		{"*@bar.com", "{lookup:t:1}@bar.com", "USER@bar.com", Changed, "A.N.User@bar.com"},
		{"*@bar.com", "x.{lookup:t:local_part}.{1}@*", "User@bar.com", Changed, "x.A.N.User.User@bar.com"},
		{"*@bar.com", "{lookup:t:1}@bar.com", "quoted@bar.com", Changed, `"A. N. User"@bar.com`},
		{"*@bar.com", "{lookup:t:1}@bar.com", "spaces@bar.com", Failed, ""},
		{"*@bar.com", "{lookup:t:1}@bar.com", "whole@bar.com", Failed, ""},
		{"*@bar.com", "{lookup:t:1}@bar.com", "empty@bar.com", Failed, ""},
		{"*@bar.com", "{lookup:t:1}@bar.com", "line@bar.com", Failed, ""},
		{"*@bar.com", "{lookup:t:1}@bar.com", "long@bar.com", Failed, ""},
		{"*@bar.com", "{lookup:t:1}@bar.com", "none@bar.com", NoValue, ""},
		{"*@bar.com", "{lookup:t:1}@bar.com", "nobody@bar.com", NoValue, ""},
		{"*@*", "*@{lookup:t:domain}", "nobody@Bar.com", Changed, "nobody@foo.com"},
		{"*@*", "*@pc.{lookup:t:2}", "nobody@bar.com", Changed, "nobody@pc.foo.com"},
		{"*@*", "*@{lookup:t:domain}", "u@Bücher.de", Changed, "u@bücher.example"},
		{"*@*", "*@{lookup:t:domain}", "u@two.com", Failed, ""},
		{"*@*", "*@{lookup:t:domain}", "u@dot.com", Failed, ""},
		{"*@*", "*@{lookup:t:domain}", "u@literal.com", Changed, "u@[192.0.2.1]"},
		{"*@*", "*@{lookup:t:domain}", "u@else.com", NoValue, ""},
		{"*@*", "{lookup:t:1}@{lookup:t:2}", "user@bar.com", Changed, "A.N.User@foo.com"},
		{"*@*", "{lookup:t:1}@{lookup:t:2}", "user@else.com", NoValue, ""},
		// an empty capture is no key
		{"user*@bar.com", "{lookup:t:1}@bar.com", "user@bar.com", NoValue, ""},
		// the whole
		{"*@bar.com", "{lookup:t:address}", "User@Bar.com", Changed, "other@foo.com"},
		{"*@*", "{lookup:t:address}", "u@bücher.de", Changed, "x@foo.com"},
		{"*", "{lookup:t:address}", `"a b"@bar.com`, Changed, "ab@foo.com"},
		{"*@bar.com", "{lookup:t:1}", "whole@bar.com", Changed, "a@foo.com"},
		{"*@bar.com", "{lookup:t:1}", "user@bar.com", Failed, ""},
		{"*@bar.com", "{lookup:t:address}", "list@bar.com", Failed, ""},
		{"*@bar.com", "{lookup:t:address}", "half@bar.com", Failed, ""},
		{"*@bar.com", "{lookup:t:address}", "null@bar.com", Failed, ""},
		{"*@bar.com", "{lookup:t:address}", "name@bar.com", Failed, ""},
		{"*@bar.com", "{lookup:t:address}", "nobody@bar.com", NoValue, ""},
		// a bare name is a key like others
		{"*", "{lookup:t:address}", "whole", Changed, "a@foo.com"},
		{"*", "{lookup:t:address}", "user", Failed, ""},
		{"*", "*@{lookup:t:domain}", "user", NoValue, ""},
		// matching
		{"lookup:t", "*@foo.com", "user@bar.com", Changed, "user@foo.com"},
		{"lookup:t", "*@foo.com", "USER@BAR.com", Changed, "USER@foo.com"},
		{"lookup:t", "*@foo.com", "u@bücher.de", Changed, "u@foo.com"},
		{"lookup:t", "*@foo.com", `"a b"@bar.com`, Changed, `"a b"@foo.com`},
		{"lookup:t", "*@foo.com", "nobody@bar.com", NoMatch, ""},
		{"lookup:t", "*@foo.com", "user", NoMatch, ""},
		{"lookup:t", "{lookup:t:address}", "user@bar.com", Changed, "other@foo.com"},
	} {
		in, want := mailaddr.MustParse(c.in), c.want
		if want == "" {
			want = in.String()
		}
		var last Step
		got := applied(t, mustCompile(t, everywhere(c.match, c.to)).Asking(has.ask), "to", in, func(s Step) { last = s })
		if got.String() != want || last.Verdict != c.verdict {
			t.Errorf("%s -> %s: %s became %s (%s, %s), want %s (%s)", c.match, c.to, c.in, got, last.Verdict, last.Why, want, c.verdict)
		}
		if (last.Verdict == NoValue || last.Verdict == Failed) && last.Why == "" {
			t.Errorf("%s -> %s: %s: no reason is told", c.match, c.to, c.in)
		}
	}
}

func TestARuleWithoutAValueDoesNotStop(t *testing.T) {
	names := everywhere("*@bar.com", "{lookup:t:1}@bar.com")
	names.Then = Stop
	set := mustCompile(t, names, everywhere("*@bar.com", "postmaster@bar.com")).Asking(table{"a": {"Ada"}}.ask)
	for in, want := range map[string]string{"a@bar.com": "Ada@bar.com", "b@bar.com": "postmaster@bar.com"} {
		if got := applied(t, set, "to", mailaddr.MustParse(in), nil); got.String() != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
}

func TestALookupThatGoesInCirclesIsEndless(t *testing.T) {
	r := everywhere("lookup:t", "{lookup:t:address}")
	r.Then = Again
	set := mustCompile(t, r).Asking(table{"a@x": {"b@x"}, "b@x": {"a@x"}}.ask)
	var last Step
	if got := applied(t, set, "to", mailaddr.MustParse("a@x"), func(s Step) { last = s }); got.String() != "a@x" || last.Verdict != Endless {
		t.Errorf("became %s, %+v", got, last)
	}
}

func TestWhatCanNotBeAskedNowIsAnErrorAndNoAnswer(t *testing.T) {
	first := everywhere("*@bar.com", "*@foo.com")
	for _, r := range []settings.Rewrite{
		everywhere("lookup:t", "*@x"), everywhere("*@*", "{lookup:t:1}@x"), everywhere("*@*", "{lookup:t:address}"), everywhere("*@*", "*@{lookup:t:2}"),
	} {
		r.Name = "asking"
		for name, ask := range map[string]Ask{"down": down, "nobody to ask": nil} {
			set := mustCompile(t, first, r).Asking(ask)
			a := mailaddr.MustParse("u@bar.com")
			got, err := set.Apply("to", a, nil)
			if got != a || !errors.Is(err, ErrUnanswered) || !strings.Contains(err.Error(), "asking") || ask != nil && !errors.Is(err, errDown) {
				t.Errorf("%s: %s, %v", name, got, err)
			}
			h, _ := message.Scan([]byte("To: u@bar.com\r\n"), message.DefaultLimits())
			if out, err := set.Header(h, []byte("To: u@bar.com\r\n"), 1000, nil); out != nil || !errors.Is(err, ErrUnanswered) {
				t.Errorf("%s: header %q, %v", name, out, err)
			}
		}
	}
}

func TestNobodyIsAskedAboutAddressesThatNoRuleMatches(t *testing.T) {
	elsewhere := everywhere("lookup:t", "*@x")
	elsewhere.Listeners = []string{"other"}
	set := mustCompile(t, everywhere("*@bar.com", "{lookup:t:1}@x"), elsewhere).Asking(down)
	if _, err := set.Apply("to", mailaddr.MustParse("u@foo.com"), nil); err != nil {
		t.Error(err)
	}
	if _, err := set.Apply("to", mailaddr.Address{}, nil); err != nil {
		t.Error(err)
	}
}

func TestRulesForTheWayOutAreNotForTheWayIn(t *testing.T) {
	rule := func(name, match, to string) settings.Rewrite {
		return settings.Rewrite{Name: name, Sources: []string{"from"}, Match: match, To: to}
	}
	rules, err := Compile([]settings.Rewrite{
		rule("in", "lookup:here", "*@foo.com"),
		rule("second", "*@bar.com", "{lookup:out:1}@bar.com"),
		rule("third", "*@bar.com", "*@out.com"),
		rule("fourth", "*@x", "{lookup:out:1}@x"),
	}, map[string]settings.Transport{
		"smtp": {Rewrites: []string{"third", "second"}}, "lmtp": {Rewrites: []string{"second"}}, "local": {},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what      string
		got, want []string
	}{
		{"Lookups", rules.Lookups(), []string{"here", "out"}},
		{"Incoming", rules.Incoming(), []string{"here", "out"}},
		{"For", rules.For(Origin{}).Lookups(), []string{"here", "out"}},
		{"Outgoing smtp", rules.Outgoing([]string{"third", "second"}).Lookups(), []string{"out"}},
		{"Outgoing", rules.Outgoing([]string{"third"}).Lookups(), nil},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, c.got, c.want)
		}
	}
	a := mailaddr.MustParse("a@bar.com")
	has := table{"a": {"Ada"}}
	var steps []Step
	if got := applied(t, rules.For(Origin{Listener: "mx"}).Asking(has.ask), "from", a, func(s Step) { steps = append(steps, s) }); got != a {
		t.Errorf("at the way in: %s", got)
	}
	if len(steps) != 4 || steps[1].Verdict != NotHere || steps[1].Why != "only at the way out, by transport lmtp, smtp" {
		t.Errorf("steps %+v", steps)
	}
	// in the order of the rules, not of the names
	if got := applied(t, rules.Outgoing([]string{"third", "second"}).Asking(has.ask), "from", a, nil); got.String() != "Ada@out.com" {
		t.Errorf("by smtp: %s", got)
	}
	if got := applied(t, rules.Outgoing([]string{"second"}).Asking(has.ask), "from", a, nil); got.String() != "Ada@bar.com" {
		t.Errorf("by lmtp: %s", got)
	}
	if none := rules.Outgoing(nil); !none.Empty() || applied(t, none, "from", a, nil) != a {
		t.Error("a transport without rules has some")
	}
	var nobody *Rules
	if !nobody.Outgoing([]string{"x"}).Empty() || nobody.Lookups() != nil || nobody.Incoming() != nil {
		t.Error("no rules are some")
	}
}

func TestClientsByALookup(t *testing.T) {
	r := everywhere("*@x", "*@y")
	r.Clients = []string{"!192.0.2.9", "lookup:ours"}
	rules, err := Compile([]settings.Rewrite{r}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for client, want := range map[string]string{"192.0.2.1": "a@y", "192.0.2.9": "a@x", "198.51.100.1": "a@x", "::ffff:192.0.2.1": "a@y", "": "a@x"} {
		var o Origin
		if client != "" {
			o.Client = netip.MustParseAddr(client)
		}
		set := rules.For(o).Asking(table{"192.0.2.1": nil, "192.0.2.9": nil}.ask)
		if got := applied(t, set, "to", mailaddr.MustParse("a@x"), nil); got.String() != want {
			t.Errorf("client %s: %s, want %s", client, got, want)
		}
		if _, err := set.Asking(down).Apply("to", mailaddr.MustParse("a@x"), nil); (err != nil) != (client != "" && client != "192.0.2.9") {
			t.Errorf("client %s, lookup down: %v", client, err)
		}
	}
}

func TestUsesOfLookups(t *testing.T) {
	r := everywhere("lookup:m", "{lookup:l:local_part}@{lookup:d:domain}")
	r.Clients = []string{"192.0.2.0/24", "!lookup:c", "*"}
	want := []Use{{"clients[1]", "c"}, {"match", "m"}, {"to", "l"}, {"to", "d"}}
	if got := Uses(&r); !slices.Equal(got, want) {
		t.Errorf("uses %v, want %v", got, want)
	}
}

func TestHintsForPlaceholders(t *testing.T) {
	for to, want := range map[string]string{
		"{localpart}@x":        "did you mean {local_part}?",
		"{User}@x":             "did you mean {local_part}?",
		"*@{host}":             "did you mean {domain}?",
		"{address}@x":          "did you mean {local_part}@{domain}?",
		"{lookup:t:user}@x":    "did you mean {lookup:t:local_part}?",
		"{lookup:t:email}":     "did you mean {lookup:t:address}?",
		"{lookup:t:0}@x":       "KEY is 1 to 9",
		"{lookup:t}@x":         "write {lookup:NAME:KEY}",
		"{lookup::1}@x":        "write {lookup:NAME:KEY}",
		"{lookup:t:lookup:1}":  "KEY is 1 to 9",
		"{nonsense}@x":         "there are: {local_part}",
		"{lookup:t:1}{domain}": "write the whole address",
	} {
		r := everywhere("*@*", to)
		problems := Check(&r)
		if len(problems) != 1 || problems[0].Key != "to" || !strings.Contains(problems[0].Hint, want) {
			t.Errorf("%s: %+v, want a hint with %q", to, problems, want)
		}
	}
}

func TestAHeaderOfWhichLookupsHaveNothingIsTheSameOctetForOctet(t *testing.T) {
	set := mustCompile(t, everywhere("lookup:t", "x@y"), everywhere("*", "{lookup:t:address}"), everywhere("*@*", "{lookup:t:1}@{lookup:t:2}")).Asking(table{}.ask)
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

// FuzzHeaderAndRule: whatever a rule and a lookup say, a header keeps its fields and
// has the addresses that the rule makes.
func FuzzHeaderAndRule(f *testing.F) {
	f.Add("*@*.bar.com", "{lookup:t:1}@bar.com", "A.N.User", "From: u (a) @ (b) c.bar.com\r\nTo: G: \"x y\"@a.bar.com, root;\r\n\r\nbody")
	f.Add("lookup:t", "{lookup:t:address}", "\"a\r\nb\"@c", "Cc: =?utf-8?q?J?= <a@b>,\r\n\tjürgen@bücher.example\r\n")
	f.Add("/^(.*)@(.*)$/", "*@{lookup:t:2}", "bücher.example", "To: <@x,@y:a@b>\r\n")
	f.Fuzz(func(t *testing.T, match, to, value, text string) {
		rules, err := Compile([]settings.Rewrite{everywhere(match, to)}, nil)
		if err != nil {
			return
		}
		set := rules.For(Origin{}).Asking(func(_, key string) ([]string, bool, error) {
			if key == "" || key != strings.ToLower(key) {
				t.Fatalf("asked for %q", key)
			}
			if _, err := mailaddr.ParseLocalOrMailbox(untrusted.From(value)); err != nil && len(key)%2 == 0 {
				return nil, len(key)%3 == 0, nil
			}
			return []string{value}, true, nil
		})
		checkHeader(t, set, []byte(text))
	})
}

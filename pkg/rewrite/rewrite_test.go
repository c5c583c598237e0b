package rewrite

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"filbert/pkg/mailaddr"
	"filbert/pkg/settings"
)

// everywhere is a rule for all sources.
func everywhere(match, to string) settings.Rewrite {
	return settings.Rewrite{Name: "r", Sources: []string{"all"}, Match: match, To: to}
}

func mustCompile(t testing.TB, rules ...settings.Rewrite) Set {
	t.Helper()
	r, err := Compile(rules, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.For(Origin{})
}

// applied is what becomes of an address where no lookup is asked, or one that answers.
func applied(t interface{ Fatalf(string, ...any) }, set Set, source string, a mailaddr.Address, note func(Step)) mailaddr.Address {
	got, err := set.Apply(source, a, note)
	if err != nil {
		t.Fatalf("%s: %s: %v", source, a, err)
	}
	return got
}

// The two rules that the paper asks for, one line each but for the sources.
var (
	stripHost = settings.Rewrite{Name: "strip-host", Sources: []string{"envelope-sender", "from"}, Match: "*@*.bar.com", To: "{1}@bar.com"}
	fullName  = settings.Rewrite{Name: "full-name", Sources: []string{"from"}, Match: `/^abc123@bar\.com$/`, To: "A.N.User@bar.com"}
)

func TestThePapersTwoRules(t *testing.T) {
	set := mustCompile(t, stripHost, fullName)
	for _, c := range []struct{ source, in, want string }{
		{"from", "user@pc7.bar.com", "user@bar.com"},
		{"from", "user@a.b.bar.com", "user@bar.com"},
		{"from", "user@bar.com", "user@bar.com"},
		{"from", "abc123@bar.com", "A.N.User@bar.com"},
		{"from", "ABC123@pc7.Bar.Com", "A.N.User@bar.com"},
		{"envelope-sender", "abc123@pc7.bar.com", "abc123@bar.com"},
		{"sender", "abc123@pc7.bar.com", "abc123@pc7.bar.com"},
		{"from", "user@evilbar.com", "user@evilbar.com"},
		{"from", "user@pc7.bar.com.example", "user@pc7.bar.com.example"},
	} {
		if got := applied(t, set, c.source, mailaddr.MustParse(c.in), nil); got.String() != c.want {
			t.Errorf("%s: %s became %s, want %s", c.source, c.in, got, c.want)
		}
	}
}

func TestRewritingOfOneAddress(t *testing.T) {
	for _, c := range []struct{ match, to, in, want string }{
		{"user@bar.com", "other@foo.com", "user@bar.com", "other@foo.com"},
		{"User@BAR.com", "other@foo.com", "uSER@bar.com", "other@foo.com"},
		{"*@bar.com", "*@foo.com", "User@bar.com", "User@foo.com"},
		{"*@bar.com", "{local_part}+{domain}@foo.com", "User@bar.com", "User+bar.com@foo.com"},
		{"user@*", "someone@*", "user@x.example", "someone@x.example"},
		{"*", "{local_part}@foo.com", "a@b", "a@foo.com"},
		{"*", "*@foo.com", "bare", "bare@foo.com"},
		{"*@*", "*@foo.com", "bare", "bare"},
		{"/^[^@]+$/", "*@foo.com", "bare", "bare@foo.com"},
		{"/^root$/", "admin@*", "root", "admin"},
		{"*-*@bar.com", "{2}.{1}@bar.com", "a-b-c@bar.com", "b-c.a@bar.com"},
		{"*-?@bar.com", "{1}@bar.com", "a-b-c@bar.com", "a-b@bar.com"},
		{"*@*.*.bar.com", "{1}@{2}.{3}.foo.com", "u@x.y.z.bar.com", "u@x.y.z.foo.com"},
		{`/^(.+)\+.*@(.+)$/`, "{1}@{2}", "u+detail@bar.com", "u@bar.com"},
		{`/^(.*)@(.*)$/`, "{1}@{2}.x.example", "u@bar.com", "u@bar.com.x.example"},
		// quoted local parts: captures are without quotes, the result has those that it needs
		{"*@*.bar.com", "{1}@bar.com", `"john smith"@pc.bar.com`, `"john smith"@bar.com`},
		{`/^(.*) (.*)@bar\.com$/`, "{1}.{2}@bar.com", `"john smith"@bar.com`, "john.smith@bar.com"},
		{`"john smith"@bar.com`, "js@bar.com", `"john smith"@bar.com`, "js@bar.com"},
		{`"john*"@bar.com`, `"{1} john"@bar.com`, `"john smith"@bar.com`, `" smith john"@bar.com`},
		{`/^(.*)@bar\.com$/`, "{1}.x@bar.com", `"a\"b"@bar.com`, `"a\"b.x"@bar.com`},
		// an @ in a local part is no border
		{"*@*.bar.com", "{1}@bar.com", `"x@pc.bar.com"@foo.com`, `"x@pc.bar.com"@foo.com`},
		{"*@*.bar.com", "{1}@bar.com", `"x@y"@pc.bar.com`, `"x@y"@bar.com`},
		{`/^([^@]+)@([^@]+)\.bar\.com$/`, "{1}@{2}", `"x@evil.bar.com"@bar.com`, `"x@evil.bar.com"@bar.com`},
		// UTF-8
		{"*@bücher.example", "*@books.example", "jürgen@bücher.example", "jürgen@books.example"},
		{"*@xn--bcher-kva.example", "*@books.example", "j@bücher.example", "j@books.example"},
		{"*@*.bücher.example", "*@books.example", "j@a.xn--bcher-kva.example", "j@books.example"},
		{"J?RGEN@b.example", "x@b.example", "jürgen@b.example", "x@b.example"},
		{"*ÜR*@b.example", "{1}-{2}@b.example", "jürgen@b.example", "j-gen@b.example"},
		{"j@b.example", "jürgen@bücher.example", "j@b.example", "jürgen@bücher.example"},
		// literals
		{"*@[192.0.2.1]", "*@foo.com", "u@[192.0.2.1]", "u@foo.com"},
		// what is no address is not used
		{"*@bar.com", "{1}{1}{1}{1}@bar.com", strings.Repeat("u", 20) + "@bar.com", strings.Repeat("u", 20) + "@bar.com"},
		{"*@bar.com", "x@{1}", "a_b@bar.com", "a_b@bar.com"},
		{"*@bar.com", "x@{1}", "1.2.3.4@bar.com", "1.2.3.4@bar.com"},
		{"**@bar.com", "x@{2}{1}", "u@bar.com", "x@u"},
		{"u*@bar.com", "x@{1}", "u@bar.com", "u@bar.com"}, // an empty domain
	} {
		set := mustCompile(t, everywhere(c.match, c.to))
		for _, source := range []string{EnvelopeSender, EnvelopeRecipients, "from", "resent-cc"} {
			if got := applied(t, set, source, mailaddr.MustParse(c.in), nil); got.String() != c.want {
				t.Errorf("%s -> %s, %s: %s became %s, want %s", c.match, c.to, source, c.in, got, c.want)
			}
		}
	}
}

func TestWithoutRulesNothingChanges(t *testing.T) {
	a := mailaddr.MustParse("u@bar.com")
	for _, r := range []*Rules{nil, {}} {
		set := r.For(Origin{})
		if got := applied(t, set, "from", a, nil); got != a || set.Envelope() || len(set.Sources()) != 0 {
			t.Errorf("became %s", got)
		}
	}
}

func TestTheNullSenderStays(t *testing.T) {
	set := mustCompile(t, everywhere("*", "x@foo.com"), everywhere("/.*/", "x@foo.com"))
	if got := applied(t, set, EnvelopeSender, mailaddr.Address{}, nil); !got.IsNull() {
		t.Errorf("<> became %s", got)
	}
}

func TestThenSaysWhatFollows(t *testing.T) {
	first := everywhere("a@x", "b@x")
	second := everywhere("b@x", "c@x")
	for then, want := range map[string]string{Continue: "c@x", "": "c@x", Stop: "b@x"} {
		first.Then = then
		if got := applied(t, mustCompile(t, first, second), "to", mailaddr.MustParse("a@x"), nil); got.String() != want {
			t.Errorf("%q: %s, want %s", then, got, want)
		}
	}
	second.Then = Again
	if got := applied(t, mustCompile(t, everywhere("c@x", "d@x"), second, first), "to", mailaddr.MustParse("b@x"), nil); got.String() != "d@x" {
		t.Errorf("again: %s", got)
	}
}

func TestAnExceptionIsARuleWithoutTo(t *testing.T) {
	leave := settings.Rewrite{Name: "leave", Sources: []string{"all"}, Match: "root@*", Then: Stop}
	set := mustCompile(t, leave, everywhere("*@*.bar.com", "{1}@bar.com"))
	for in, want := range map[string]string{"root@a.bar.com": "root@a.bar.com", "u@a.bar.com": "u@bar.com"} {
		if got := applied(t, set, "to", mailaddr.MustParse(in), nil); got.String() != want {
			t.Errorf("%s became %s", in, got)
		}
	}
}

func TestRulesThatNeverRestChangeNothing(t *testing.T) {
	grow := everywhere("*@x", "{1}a@x")
	grow.Then = Again
	var last Step
	asked := 0
	got := applied(t, mustCompile(t, grow), "to", mailaddr.MustParse("u@x"), func(s Step) { last = s; asked++ })
	if got.String() != "u@x" || last.Verdict != Endless || asked != MaxRounds {
		t.Errorf("became %s after %d steps, the last %+v", got, asked, last)
	}
	swap := everywhere("a@x", "b@x")
	back := everywhere("b@x", "a@x")
	swap.Then, back.Then = Again, Again
	if got := applied(t, mustCompile(t, swap, back), "to", mailaddr.MustParse("a@x"), nil); got.String() != "a@x" {
		t.Errorf("a swap for ever became %s", got)
	}
	same := everywhere("*@x", "*@x")
	same.Then = Again
	if got := applied(t, mustCompile(t, same), "to", mailaddr.MustParse("u@x"), func(s Step) { last = s }); got.String() != "u@x" || last.Verdict != Stays {
		t.Errorf("a rule that changes nothing: %+v", last)
	}
}

func TestConditionsOnTheDoorAndTheClient(t *testing.T) {
	r := everywhere("a@x", "b@x")
	r.Listeners, r.Clients = []string{"submission", DoorSendmail}, nil
	n := everywhere("a@x", "b@x")
	n.Clients = []string{"192.0.2.0/24", "2001:db8::/32"}
	both := n
	both.Listeners = []string{"mx"}
	for _, c := range []struct {
		rule     settings.Rewrite
		listener string
		client   string
		want     bool
	}{
		{r, "submission", "192.0.2.1", true},
		{r, DoorSendmail, "", true},
		{r, DoorReports, "", false},
		{r, "mx", "192.0.2.1", false},
		{r, "", "", false},
		{n, "mx", "192.0.2.1", true},
		{n, "mx", "::ffff:192.0.2.1", true},
		{n, "mx", "198.51.100.1", false},
		{n, DoorSendmail, "", false},
		{both, "mx", "192.0.2.1", true},
		{both, "submission", "192.0.2.1", false},
		{both, "mx", "198.51.100.1", false},
	} {
		rules, err := Compile([]settings.Rewrite{c.rule}, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := Origin{Listener: c.listener}
		if c.client != "" {
			o.Client = netip.MustParseAddr(c.client)
		}
		set := rules.For(o)
		if got := applied(t, set, "to", mailaddr.MustParse("a@x"), nil).String() == "b@x"; got != c.want || set.Envelope() != c.want {
			t.Errorf("%+v: %t, want %t", o, got, c.want)
		}
	}
}

func TestEachStepIsTold(t *testing.T) {
	stop := everywhere("*@bar.com", "*@foo.com")
	stop.Name, stop.Then = "last", Stop
	long := everywhere("*@bar.com", "{1}{1}@bar.com")
	long.Name = "long"
	set := mustCompile(t, stripHost, fullName, long, everywhere("x@y", "y@x"), everywhere("*@bar.com", "*@bar.com"), stop, everywhere("*", "never@asked"))
	var told []string
	local := strings.Repeat("u", 40)
	applied(t, set, EnvelopeSender, mailaddr.MustParse(local+"@pc.bar.com"), func(s Step) {
		told = append(told, s.Rule+" "+string(s.Verdict))
	})
	want := []string{"strip-host changed", "full-name not here", "long failed", "r no match", "r stays", "last changed"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestMistakesInRules(t *testing.T) {
	good := everywhere("*@bar.com", "{1}@foo.com")
	for _, c := range []struct {
		change func(*settings.Rewrite)
		key    string
		what   string
	}{
		{func(r *settings.Rewrite) { r.Sources = nil }, "sources", "missing"},
		{func(r *settings.Rewrite) { r.Sources = []string{"from", ""} }, "sources[1]", "empty"},
		{func(r *settings.Rewrite) { r.Sources = []string{"from:"} }, "sources[0]", "no name of a header field"},
		{func(r *settings.Rewrite) { r.Sources = []string{"Received"} }, "sources[0]", "no addresses"},
		{func(r *settings.Rewrite) { r.Match = "" }, "match", "missing"},
		{func(r *settings.Rewrite) { r.Match = "bar.com" }, "match", "no @"},
		{func(r *settings.Rewrite) { r.Match = "*.bar.com" }, "match", "no @"},
		{func(r *settings.Rewrite) { r.Match = "!x@bar.com" }, "match", "exception"},
		{func(r *settings.Rewrite) { r.Match = "<>" }, "match", "null sender"},
		{func(r *settings.Rewrite) { r.Match = "/(/" }, "match", "missing closing"},
		{func(r *settings.Rewrite) { r.Match = "/x" }, "match", "no regular expression"},
		{func(r *settings.Rewrite) { r.Match = "lookup:x y" }, "match", "names no lookup"},
		{func(r *settings.Rewrite) { r.Match = strings.Repeat("*.", 10) + "@bar.com" }, "match", "more than 9 stars"},
		{func(r *settings.Rewrite) { r.To = "" }, "to", "missing"},
		{func(r *settings.Rewrite) { r.To = "foo.com" }, "to", "no @"},
		{func(r *settings.Rewrite) { r.To = "{2}@foo.com" }, "to", "{2} stands for nothing"},
		{func(r *settings.Rewrite) { r.To = "{0}@foo.com" }, "to", "no placeholder {0}"},
		{func(r *settings.Rewrite) { r.To = "{10}@foo.com" }, "to", "no placeholder {10}"},
		{func(r *settings.Rewrite) { r.To = "{localpart}@foo.com" }, "to", "no placeholder"},
		{func(r *settings.Rewrite) { r.To = "{lookup:names:2}@foo.com" }, "to", "{2} stands for nothing"},
		{func(r *settings.Rewrite) { r.To = "{lookup:n:a@b}@foo.com" }, "to", "no key for lookup n"},
		{func(r *settings.Rewrite) { r.To = "a*@foo.com" }, "to", "star"},
		{func(r *settings.Rewrite) { r.To = "a}@foo.com" }, "to", "brace"},
		{func(r *settings.Rewrite) { r.To = "a@{1" }, "to", "brace"},
		{func(r *settings.Rewrite) { r.To = "a@foo..com" }, "to", "makes no address"},
		{func(r *settings.Rewrite) { r.To = "@foo.com" }, "to", "makes no address"},
		{func(r *settings.Rewrite) { r.To = "x@" }, "to", "makes no address"},
		{func(r *settings.Rewrite) { r.Then = "end" }, "then", "not known"},
		{func(r *settings.Rewrite) { r.Clients = []string{"*", "bar.com"} }, "clients[1]", ""},
	} {
		r := good
		c.change(&r)
		problems := Check(&r)
		if len(problems) != 1 || problems[0].Key != c.key || !strings.Contains(problems[0].What, c.what) {
			t.Errorf("%+v: %v, want %s: ... %s", r, problems, c.key, c.what)
		}
		if _, err := Compile([]settings.Rewrite{r}, nil); err == nil {
			t.Errorf("%+v: compiled", r)
		}
	}
	if problems := Check(&good); len(problems) != 0 {
		t.Errorf("a good rule: %v", problems)
	}
}

func TestAllMistakesAreTold(t *testing.T) {
	r := settings.Rewrite{Sources: []string{"subject", "a b"}, Match: "bar.com", To: "{9}@foo..com", Then: "x", Clients: []string{"?"}}
	var keys []string
	for _, p := range Check(&r) {
		keys = append(keys, p.Key)
	}
	if want := []string{"sources[0]", "sources[1]", "clients[0]", "match", "then", "to"}; !slices.Equal(keys, want) {
		t.Errorf("told of %q, want %q", keys, want)
	}
}

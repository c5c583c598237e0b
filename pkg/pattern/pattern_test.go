package pattern

import (
	"net/netip"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	tests := []struct {
		kind     Kind
		patterns string // separated by spaces
		yes, no  string
	}{
		{Domains, "example.edu", "example.edu EXAMPLE.edu", "a.example.edu example.ed"},
		{Domains, "*.example.edu", "a.example.edu a.b.example.edu A.Example.EDU", "example.edu aexample.edu .example.edux"},
		{Domains, "*", "example.edu [192.0.2.1]", ""},
		{Domains, "mx?.example", "mx1.example mxé.example", "mx.example mx12.example"},
		{Domains, "*.ex*.e*", "a.example.edu a.b.exa.e", "example.edu"},
		{Domains, `/^mx[0-9]+\.example$/`, "mx1.example MX22.example", "mx.example amx1.example"},
		{Domains, "/bar/", "foobarfoo.example", "foo.example"},
		{Domains, "!bad.example.edu *.example.edu", "good.example.edu", "bad.example.edu example.edu"},
		{Domains, "!bad.example *", "good.example", "bad.example"},
		{Domains, "*.example !never.test other.test", "a.example other.test", "never.test"},
		{Domains, "xn--bcher-kva.example", "bücher.example", "bucher.example"},
		{Domains, "*.xn--bcher-kva.example", "a.bücher.example", "bücher.example"},
		{Domains, "Bücher.example", "bücher.example", ""},
		{Domains, "[192.0.2.1] [IPv6:2001:db8::1]", "[192.0.2.1] [IPv6:2001:db8::1]", "192.0.2.1"},
		{LocalParts, "root postmaster x-*", "root ROOT postmaster x- x-y", "rooty x"},
		{LocalParts, "!root *", "a", "root"},
		{Addresses, "*@*.bar.com", "a@b.bar.com", "a@bar.com b.bar.com"},
		{Addresses, "A.User@example.edu", "a.user@example.edu", "b@example.edu"},
		{Addresses, `"a\ b"@example.edu`, `"a b"@example.edu`, ""},
		{Addresses, "*@xn--bcher-kva.example", "x@bücher.example", ""},
		{Addresses, `/^[a-z]{3}[0-9]{3}@bar\.com$/`, "abc123@bar.com", "ab123@bar.com"},
		{Networks, "127.0.0.0/8 ::1", "127.0.0.1 ::1 ::ffff:127.1.2.3", "128.0.0.1 ::2 nonsense"},
		{Networks, "!192.0.2.9 192.0.2.0/24", "192.0.2.1", "192.0.2.9 192.0.3.1"},
		{Networks, "fe80::/10", "fe80::1 fe80::1%eth0", "fec0::1"},
		{Networks, "*", "192.0.2.1 2001:db8::1", "nonsense"},
	}
	for _, tt := range tests {
		l, err := CompileList(strings.Fields(strings.ReplaceAll(tt.patterns, `\ `, "\x00")), tt.kind)
		if strings.Contains(tt.patterns, `\ `) {
			l, err = CompileList([]string{tt.patterns}, tt.kind)
		}
		if err != nil {
			t.Errorf("%s: %v", tt.patterns, err)
			continue
		}
		check := func(texts []string, want bool) {
			for _, text := range texts {
				if got := l.Match(text); got != want {
					t.Errorf("%s: Match(%q) = %v, want %v", tt.patterns, text, got, want)
				}
			}
		}
		if strings.HasPrefix(tt.yes, `"`) {
			check([]string{tt.yes}, true)
			continue
		}
		check(strings.Fields(tt.yes), true)
		check(strings.Fields(tt.no), false)
	}
}

func TestNullSenderHasItsOwnPattern(t *testing.T) {
	if !MustCompile(Addresses, "<>").Match("") {
		t.Error("<> does not match the null sender")
	}
	if MustCompile(Addresses, "*@*").Match("") {
		t.Error("*@* matches the null sender")
	}
	if !MustCompile(Addresses, "*").Match("") {
		t.Error("* does not match the null sender")
	}
}

func TestEmptyListContainsNothing(t *testing.T) {
	var l List
	if l.Match("example.edu") || l.MatchAddr(netip.MustParseAddr("::1")) || !l.Empty() {
		t.Error("the zero list contains something")
	}
}

func TestOtherKindsContainNoAddresses(t *testing.T) {
	if MustCompile(Domains, "*").MatchAddr(netip.MustParseAddr("192.0.2.1")) {
		t.Error("a list of domains contains a client address")
	}
}

func TestMistakesAreExplained(t *testing.T) {
	tests := []struct {
		kind    Kind
		pattern string
		want    string
	}{
		{Domains, "", "is empty"},
		{Domains, "!", "is empty"},
		{Domains, "!!a.example", "negated twice"},
		{Domains, " a.example", `write "a.example"`},
		{Domains, ".example.edu", `"*.example.edu" is every subdomain`},
		{Domains, "user@example.edu", "behind the @"},
		{Domains, "*@example.edu", "behind the @"},
		{Domains, "a.example, b.example", "a string of its own"},
		{Domains, "*.a.example *.b.example", "a string of its own"},
		{Domains, "192.0.2.1", `"[192.0.2.1]"`},
		{Domains, "a..example", "empty label"},
		{Domains, "*.a..example", "empty label"},
		{Domains, "/(/", "missing closing"},
		{Domains, "/a", "between two slashes"},
		{Domains, "//", "between two slashes"},
		{Domains, "lookup:x", "does not have"},
		{Domains, strings.Repeat("a", maxPattern+1), "longer"},
		{Addresses, "example.edu", `"*@example.edu"`},
		{Addresses, "@example.edu", `"*@example.edu"`},
		{Addresses, "*.example.edu", `"*@*.example.edu"`},
		{Networks, "192.0.2.1/24", `"192.0.2.0/24"`},
		{Networks, "192.0.2.0/33", "is no network"},
		{Networks, "192.0.2.*", "no address"},
		{Networks, "localhost", "no address"},
		{Networks, "::ffff:192.0.2.0/120", "IPv6 form"},
		{Networks, "fe80::1%eth0", "no address"},
	}
	for _, tt := range tests {
		_, err := CompileList([]string{tt.pattern}, tt.kind)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %q: %v, want something with %q", tt.kind, tt.pattern, err, tt.want)
		}
	}
}

func TestListOfExceptionsOnlyIsRefused(t *testing.T) {
	_, err := CompileList([]string{"!a.example", "!b.example"}, Domains)
	if err == nil || !strings.Contains(err.Error(), `add "*"`) {
		t.Errorf("got %v", err)
	}
}

func TestUnreachablePatternIsRefused(t *testing.T) {
	_, err := CompileList([]string{"*", "!bad.example"}, Domains)
	if err == nil || !strings.Contains(err.Error(), "never reached") {
		t.Errorf("got %v", err)
	}
}

func TestAllMistakesAreReported(t *testing.T) {
	_, err := CompileList([]string{"a..b", "ok.example", "/(/"}, Domains)
	errs, ok := err.(Errors)
	if !ok || len(errs) != 2 || errs[0].Index != 0 || errs[1].Index != 2 {
		t.Errorf("got %v", err)
	}
}

func TestGlobIsNotExponential(t *testing.T) {
	l := MustCompile(LocalParts, strings.Repeat("*a", 300)+"b")
	if l.Match(strings.Repeat("a", 5000)) {
		t.Error("matched")
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"*", "!a.example", "*.a*?b", "/a(b)*/", "192.0.2.0/24", "::/0", "<>", `"a\"b"@c.example`, "\xff", "*@*."} {
		f.Add(s, "a.example", 0)
		f.Add(s, "x@a.example", 2)
	}
	f.Fuzz(func(t *testing.T, pat, text string, kind int) {
		k := Kind(uint(kind) % 4)
		l, err := CompileList([]string{pat}, k)
		if err != nil {
			if l.Match(text) {
				t.Error("a list that was refused contains something")
			}
			return
		}
		got := l.Match(text)
		if k == Networks && text != strings.ToLower(text) {
			return
		}
		if l.Match(strings.ToLower(text)) != got && k != Networks {
			t.Errorf("%q: case matters for %q", pat, text)
		}
		not, err := CompileList([]string{"!" + pat, "*"}, k)
		if err != nil || strings.HasPrefix(pat, "!") || pat == "*" || k == Networks {
			return
		}
		if not.Match(text) == got {
			t.Errorf("!%q and %q agree on %q", pat, pat, text)
		}
	})
}

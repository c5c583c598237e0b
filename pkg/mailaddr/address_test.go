package mailaddr

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"filbert/pkg/untrusted"
	"filbert/pkg/wire"

	"pgregory.net/rapid"
)

func TestParseAccepts(t *testing.T) {
	long64 := strings.Repeat("a", 64)
	for _, c := range []struct{ in, local, domain, out string }{
		{"test@example.org", "test", "example.org", ""},
		{"Test@EXAMPLE.org", "Test", "example.org", "Test@example.org"},
		{"a@b", "a", "b", ""},
		{"a.b.c@example.org", "a.b.c", "example.org", ""},
		{"!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~", "example.org", ""},
		{`$(id)@example.org`, "", "", "-"},
		{"`id`@example.org", "`id`", "example.org", ""},
		{"|id@example.org", "|id", "example.org", ""},
		{"/etc/passwd@example.org", "/etc/passwd", "example.org", ""},
		{"${run{x}}@example.org", "${run{x}}", "example.org", ""},
		{"-oX@example.org", "-oX", "example.org", ""},
		{"a%b@example.org", "a%b", "example.org", ""},
		{"a!b@example.org", "a!b", "example.org", ""},
		{`"a b"@example.org`, "a b", "example.org", ""},
		{`"a@b"@example.org`, "a@b", "example.org", ""},
		{`"a\"b"@example.org`, `a"b`, "example.org", ""},
		{`"a\\b"@example.org`, `a\b`, "example.org", ""},
		{`"a\b"@example.org`, `ab`, "example.org", "ab@example.org"},
		{`"ab"@example.org`, `ab`, "example.org", "ab@example.org"},
		{`".a"@example.org`, `.a`, "example.org", ""},
		{`"a..b"@example.org`, `a..b`, "example.org", ""},
		{`"<>"@example.org`, `<>`, "example.org", ""},
		{`"../../x"@example.org`, `../../x`, "example.org", ""},
		{long64 + "@example.org", long64, "example.org", ""},
		{"a@" + strings.Repeat("b", 63) + ".org", "a", strings.Repeat("b", 63) + ".org", ""},
		{"a@xn--bcher-kva.example", "a", "xn--bcher-kva.example", ""},
		{"a@1.2.3.4x", "a", "1.2.3.4x", ""},
		{"a@3com.example", "a", "3com.example", ""},
		{"a@a--b.example", "a", "a--b.example", ""},
		{"a@[192.0.2.1]", "a", "[192.0.2.1]", ""},
		{"a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]", ""},
		{"a@[ipv6:2001:DB8:0:0::1]", "a", "[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"},
		{"a@[IPv6:::ffff:127.0.0.1]", "a", "[IPv6:::ffff:127.0.0.1]", ""},
		{"grün@example.org", "grün", "example.org", ""},
		{"a@bücher.example", "a", "bücher.example", ""},
		{"a@BÜCHER.example", "a", "bücher.example", "a@bücher.example"},
		{"用户@例子.广告", "用户", "例子.广告", ""},
		{`"grün e"@example.org`, "grün e", "example.org", ""},
	} {
		a, err := Parse(untrusted.From(c.in))
		if c.out == "-" {
			if err == nil {
				t.Errorf("%s accepted", c.in)
			}
			continue
		}
		if c.out == "" {
			c.out = c.in
		}
		if err != nil || a.Local() != c.local || a.Domain() != c.domain || a.String() != c.out {
			t.Errorf("%s became %q at %q, %q, %v", c.in, a.Local(), a.Domain(), a.String(), err)
		}
		if a.Path() != "<"+c.out+">" || a.IsNull() {
			t.Errorf("%s has path %s", c.in, a.Path())
		}
	}
}

var refused = []string{
	"", " ", "a", "@", "a@", "@b", "@example.org", "a@@b", "a@b@c", "a b@c", " a@b", "a@b ", "a@ b", "a @b",
	".a@b", "a.@b", "a..b@c", "a@.b", "a@b.", "a@b..c", "a@-b", "a@b-", "a@b.-c", "a@b_c", "a@b,c", "a@b;c", "a@b/c",
	"<a@b>", "a@b>", "<a@b", "a(x)@b", "a@b(x)", "a,b@c", "a:b@c", "a;b@c", `a\b@c`, `a"b@c`, `"a"b@c`, `a"b"@c`, `"a@c`, `"a\`, `"a\"@c`,
	`""@example.org`, `"`, `"a"`, `"a" @b`, "a@[", "a@[]", "a@[1.2.3]", "a@[1.2.3.4", "a@1.2.3.4]", "a@[1.2.3.4]x", "a@[01.2.3.4]",
	"a@[256.1.1.1]", "a@[1.2.3.4.5]", "a@[::1]", "a@[IPv6:1.2.3.4]", "a@[IPv6:]", "a@[IPv6:fe80::1%eth0]", "a@[IPv6:1::2::3]",
	"a@[X-tag:content]", "a@[1.2.3.4\n]", "a@1.2.3.4", "a@127.1", "a@2130706433", "a@b.123",
	"a\x00@b", "a@b\x00", "a@b\x00.c", "a\n@b", "a\r\n@b", "a@b\n", "a@b\r\nRCPT TO:<c@d>", "\"a\nb\"@c", "\"a\x00b\"@c", "\"a\x7fb\"@c", "\"a\\\nb\"@c",
	"a\x1b@b", "a\tb@c", "\"a\tb\"@c", "a\u202e@b", "a\u200b@b", "a\u00ad@b", "a\u0085@b", "a\u00a0b@c", "a\ufeff@b", "a\u2028@b",
	"a\xff@b", "a@b\xff", "a\xc0\x80@b", "a@\u202eb", "a@b\u3002c", "a@b\uff0ec", "a@b\uff61c", "a@\u00ad.b", "a@\u0301b", "a@☃\u200d.x",
	"a@b\u2044c", "a@\uff11\uff12\uff17.1", "a@\u2488.com", "a@℀.com", "a@ß\u202e.com",
	strings.Repeat("a", 65) + "@b", `"` + strings.Repeat("a", 63) + `"@b`, "a@" + strings.Repeat("b", 64), "a@" + strings.Repeat("b.", 127) + "cc",
	strings.Repeat("a", 64) + "@" + strings.Repeat("b.", 94) + "cc",
	"a@" + strings.Repeat("ü", 63) + ".example", strings.Repeat("a", 1<<16),
}

func TestParseRefuses(t *testing.T) {
	for _, in := range refused {
		if a, err := Parse(untrusted.From(in)); !errors.Is(err, ErrSyntax) || !a.IsNull() {
			t.Errorf("%q became %q, %v", in, a.String(), err)
		}
	}
}

func TestErrorsDoNotRepeatTheAddress(t *testing.T) {
	_, err := Parse(untrusted.From("s3cret\x1b@x"))
	if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%q", err)
	}
}

func TestLengthLimitsAreOfOctets(t *testing.T) {
	// 64 + 1 + 189 = 254 is the longest mailbox.
	domain := strings.Repeat("b.", 94) + "c"
	if _, err := Parse(untrusted.From(strings.Repeat("a", 64) + "@" + domain)); err != nil {
		t.Errorf("254 octets: %v", err)
	}
	if _, err := Parse(untrusted.From(strings.Repeat("ü", 32) + "@b")); err != nil {
		t.Errorf("64 octets of UTF-8: %v", err)
	}
	if _, err := Parse(untrusted.From(strings.Repeat("ü", 32) + "a@b")); err == nil {
		t.Error("65 octets of UTF-8 accepted")
	}
}

func TestParseLocalOrMailboxTakesALocalPartAlone(t *testing.T) {
	for in, want := range map[string]string{"postmaster": "postmaster", "Postmaster": "Postmaster", `"a b"`: `"a b"`, `"a@b"`: `"a@b"`, "a@b": "a@b", "grün": "grün"} {
		a, err := ParseLocalOrMailbox(untrusted.From(in))
		if err != nil || a.String() != want {
			t.Errorf("%s became %s, %v", in, a.String(), err)
		}
		if again, err := ParseLocalOrMailbox(untrusted.From(a.String())); err != nil || again != a {
			t.Errorf("%s does not read back: %v", in, err)
		}
	}
	for _, in := range []string{"", "a b", ".", "a@", "@a", "a,b", "a\n", strings.Repeat("a", 65), `""`} {
		if a, err := ParseLocalOrMailbox(untrusted.From(in)); err == nil {
			t.Errorf("%q became %q", in, a.String())
		}
	}
}

func TestEqualMailboxesAreOneMapKey(t *testing.T) {
	m := map[Address]int{}
	for _, in := range []string{"a@example.org", "a@EXAMPLE.ORG", `"a"@example.org`, `"\a"@Example.org`} {
		m[MustParse(in)]++
	}
	if len(m) != 1 {
		t.Errorf("%d keys", len(m))
	}
	if MustParse("a@b") == MustParse("A@b") {
		t.Error("case of the local part lost")
	}
}

func TestNullAddress(t *testing.T) {
	var a Address
	if !a.IsNull() || a.String() != "" || a.Path() != "<>" || a.NeedsUTF8() {
		t.Errorf("%q", a.Path())
	}
	if _, err := New("", ""); err == nil {
		t.Error("New made the null address")
	}
}

func TestIsLiteral(t *testing.T) {
	for in, want := range map[string]string{
		"a@[192.0.2.1]":             "192.0.2.1",
		"a@[IPv6:2001:db8::1]":      "2001:db8::1",
		"a@[IPv6:::ffff:127.0.0.1]": "127.0.0.1",
	} {
		if ip, ok := MustParse(in).IsLiteral(); !ok || ip != netip.MustParseAddr(want) {
			t.Errorf("%s is %s, %t", in, ip, ok)
		}
	}
	for _, in := range []string{"a@b", "a", `"[1.2.3.4]"@b`} {
		if _, ok := MustParse(in).IsLiteral(); ok {
			t.Errorf("%s is a literal", in)
		}
	}
}

func TestASCIIDomain(t *testing.T) {
	for in, want := range map[string]string{
		"a@bücher.example": "xn--bcher-kva.example",
		"a@example.org":    "example.org",
		"a@[192.0.2.1]":    "[192.0.2.1]",
		"a":                "",
	} {
		if got, err := MustParse(in).ASCIIDomain(); err != nil || got != want {
			t.Errorf("%s is %q, %v", in, got, err)
		}
	}
}

func TestNeedsUTF8(t *testing.T) {
	for in, want := range map[string]bool{"a@b": false, "grün@b": true, "a@bücher.example": true, "a@xn--bcher-kva.example": false} {
		if got := MustParse(in).NeedsUTF8(); got != want {
			t.Errorf("%s: %t", in, got)
		}
	}
}

func TestWithDomainAndWithLocal(t *testing.T) {
	a, err := MustParse("root").WithDomain("Example.ORG")
	if err != nil || a != MustParse("root@example.org") {
		t.Errorf("%s, %v", a.String(), err)
	}
	b, err := a.WithLocal("a b")
	if err != nil || b.String() != `"a b"@example.org` {
		t.Errorf("%s, %v", b.String(), err)
	}
	if _, err := a.WithDomain("bad domain"); err == nil {
		t.Error("bad domain accepted")
	}
	if _, err := a.WithLocal("x\n"); err == nil {
		t.Error("bad local part accepted")
	}
}

func TestWireRoundTrip(t *testing.T) {
	for _, in := range []string{"", "a", "a@b", `"a b"@[IPv6:::1]`, "grün@bücher.example"} {
		var a Address
		if in != "" {
			a = MustParse(in)
		}
		var e wire.Encoder
		a.EncodeTo(&e)
		d := wire.NewDecoder(e.Buf)
		if got := DecodeFrom(d); d.Finish() != nil || got != a {
			t.Errorf("%q became %q, %v", in, got.String(), d.Err())
		}
	}
}

func TestDecodeRefusesWhatNoAddressEncodes(t *testing.T) {
	for _, c := range [][2]string{
		{"", "b"}, {"a\n", "b"}, {"a", "B"}, {"a", "b."}, {"a", "[IPV6:::1]"}, {"a", "BÜCHER.example"}, {"a\x00", ""}, {"a", "b\nc"}, {strings.Repeat("a", 65), "b"},
	} {
		var e wire.Encoder
		e.String(c[0])
		e.String(c[1])
		d := wire.NewDecoder(e.Buf)
		if got := DecodeFrom(d); !errors.Is(d.Finish(), wire.ErrMalformed) || !got.IsNull() {
			t.Errorf("%q became %q", c, got.String())
		}
	}
}

// checkRoundTrip is the property that the package promises: what is accepted
// has one form, and is read back from it.
func checkRoundTrip(t interface{ Fatalf(string, ...any) }, in string) {
	a, err := ParseLocalOrMailbox(untrusted.From(in))
	if err != nil {
		return
	}
	out := a.String()
	again, err := ParseLocalOrMailbox(untrusted.From(out))
	if err != nil || again != a || again.String() != out {
		t.Fatalf("%q became %q, which became %q, %v", in, out, again.String(), err)
	}
	if strings.ContainsAny(out, "\r\n\x00\x1b") || len(out) > MaxMailbox || a.IsNull() {
		t.Fatalf("%q became %q", in, out)
	}
	if a.Domain() == "" {
		return
	}
	if p, err := Parse(untrusted.From(out)); err != nil || p != a {
		t.Fatalf("Parse of %q: %v", out, err)
	}
	ascii, err := a.ASCIIDomain()
	if err != nil || !isASCII(ascii) {
		t.Fatalf("%q has A-labels %q, %v", in, ascii, err)
	}
	if _, err := a.WithDomain(ascii); err != nil && len(a.local)+len(ascii) < 240 {
		t.Fatalf("%q at %q: %v", in, ascii, err)
	}
	var e wire.Encoder
	a.EncodeTo(&e)
	d := wire.NewDecoder(e.Buf)
	if got := DecodeFrom(d); d.Finish() != nil || got != a {
		t.Fatalf("%q does not cross a socket: %v", in, d.Err())
	}
}

func TestAcceptedAddressesReadBack(t *testing.T) {
	pieces := rapid.SliceOfN(rapid.SampledFrom([]string{
		"a", "B", ".", "@", `"`, `\`, " ", "[", "]", "IPv6:", "::1", "1.2.3.4", "-", "ü", "İ", "ß", "xn--", "xn--bcher-kva", "org", "\u200d", "K", "ﬁ", "例", "9", "ı", "\u0301", "Σ",
	}), 0, 10)
	rapid.Check(t, func(t *rapid.T) {
		checkRoundTrip(t, rapid.String().Draw(t, "any"))
		checkRoundTrip(t, strings.Join(pieces.Draw(t, "pieces"), ""))
		checkRoundTrip(t, "x@"+strings.Join(pieces.Draw(t, "domain"), ""))
		checkRoundTrip(t, `"`+rapid.StringN(0, 20, 60).Draw(t, "quoted")+`"@b`)
	})
}

func FuzzParse(f *testing.F) {
	for _, in := range refused {
		f.Add(in)
	}
	for _, in := range []string{"a@b", `"a b"@c`, "a@[IPv6:::1]", "grün@bücher.example", "a@İ.example"} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) { checkRoundTrip(t, in) })
}

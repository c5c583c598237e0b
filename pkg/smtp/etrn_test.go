package smtp

import (
	"strings"
	"testing"

	"filbert/pkg/untrusted"
)

func TestParseETRN(t *testing.T) {
	for in, want := range map[string]Node{
		"Far.Example":     {Domain: "far.example"},
		"@far.example":    {Domain: "far.example", Subdomains: true},
		"bücher.example":  {Domain: "xn--bcher-kva.example"},
		"@BÜCHER.example": {Domain: "xn--bcher-kva.example", Subdomains: true},
	} {
		if got, bad := ParseETRN(untrusted.From(in)); bad != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", in, got, bad, want)
		}
	}
}

func TestParseETRNRefusesWithA501(t *testing.T) {
	for _, in := range []string{
		"", "@", "#", "#slow", "@#slow", "@@far.example", "far example", "far..example", ".far.example", "[192.0.2.1]", "@[IPv6:::1]", "ann@far.example",
		"-far.example", strings.Repeat("a.", 200) + "example",
	} {
		if got, bad := ParseETRN(untrusted.From(in)); bad == nil || bad.Code != 501 {
			t.Errorf("%q is %+v, %v", in, got, bad)
		}
	}
}

func FuzzParseETRN(f *testing.F) {
	for _, s := range []string{"far.example", "@far.example", "#q", "[::1]", "bücher.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		n, bad := ParseETRN(untrusted.From(arg))
		if bad != nil {
			checkReply(t, *bad)
			return
		}
		again, bad := ParseETRN(untrusted.From(n.Domain))
		if bad != nil || again.Domain != n.Domain {
			t.Fatalf("%q is %q, and that is %q, %v", arg, n.Domain, again.Domain, bad)
		}
	})
}

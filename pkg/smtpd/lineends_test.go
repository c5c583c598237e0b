package smtpd

import (
	"bytes"
	"strings"
	"testing"

	"filbert/pkg/smtp"
)

// FuzzLineEnds: the result does not depend on the split, what is normalised
// has no bare line end, and what has none is unchanged but for its last CRLF.
func FuzzLineEnds(f *testing.F) {
	for _, s := range []string{"", "a", "a\r\n", "\r", "\n", "\r\n", "a\r\rb\n\n", "\r\n\r\n.\r\n", "a\r\n\r"} {
		f.Add([]byte(s), uint(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint) {
		at := int(cut % uint(len(in)+1))
		for _, mode := range []smtp.DataMode{smtp.KeepLineEnds, smtp.NormalizeLineEnds} {
			var whole, split lineEnds
			a := whole.finish(whole.feed(nil, in, mode), mode)
			b := split.feed(nil, in[:at], mode)
			b = split.finish(split.feed(b, in[at:], mode), mode)
			if !bytes.Equal(a, b) || whole != split {
				t.Fatalf("%q and %q, cut at %d", a, b, at)
			}
			if whole.bare != bare(string(in)) {
				t.Fatalf("%q: bare %v", in, whole.bare)
			}
			if mode == smtp.NormalizeLineEnds && bare(string(a)) {
				t.Fatalf("%q: normalised to %q", in, a)
			}
			if !whole.bare && strings.TrimSuffix(string(a), "\r\n") != strings.TrimSuffix(string(in), "\r\n") {
				t.Fatalf("%q became %q", in, a)
			}
			if len(a) > 0 && !whole.bare && !bytes.HasSuffix(a, []byte("\r\n")) {
				t.Fatalf("%q: no CRLF at the end of %q", in, a)
			}
		}
	})
}

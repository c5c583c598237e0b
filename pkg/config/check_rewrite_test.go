package config

import (
	"testing"

	"filbert/pkg/mailaddr"
	"filbert/pkg/rewrite"
)

// The two rules that the paper asks for, and the second by a table, a line each.
const paperRules = `rewrite = [
  { name = "strip-host", sources = ["from", "envelope-sender"], match = "*@*.bar.com", to = "{1}@bar.com" },
  { name = "full-name", sources = ["from"], match = "abc123@bar.com", to = "A.N.User@bar.com" },
  { name = "full-names", sources = ["from"], match = "*@bar.com", to = "{lookup:full:1}@bar.com" },
]
lookup.full = { type = "inline", entries = { def456 = "Ada.Lovelace" } }
`

func TestThePapersRulesAreALineEach(t *testing.T) {
	l := mustLoad(t, map[string]string{"filbert.toml": paperRules})
	rules, err := rewrite.Compile(l.Settings.Rewrites, l.Settings.Transports)
	if err != nil {
		t.Fatal(err)
	}
	set := rules.For(rewrite.Origin{}).Asking(func(name, key string) ([]string, bool, error) {
		value, found := l.Settings.Lookups[name].Entries[key]
		return []string{value}, found, nil
	})
	for _, c := range []struct{ source, in, want string }{
		{"from", "user@pc7.bar.com", "user@bar.com"},
		{"from", "abc123@bar.com", "A.N.User@bar.com"},
		{"from", "ABC123@pc7.bar.com", "A.N.User@bar.com"},
		{"from", "def456@pc7.bar.com", "Ada.Lovelace@bar.com"},
		{"envelope-sender", "abc123@pc7.bar.com", "abc123@bar.com"},
		{"to", "abc123@pc7.bar.com", "abc123@pc7.bar.com"},
		{"from", "user@foo.com", "user@foo.com"},
	} {
		got, err := set.Apply(c.source, mailaddr.MustParse(c.in), nil)
		if err != nil || got.String() != c.want {
			t.Errorf("%s: %s became %s, want %s (%v)", c.source, c.in, got, c.want, err)
		}
	}
}

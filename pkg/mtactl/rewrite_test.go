package mtactl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const paperRules = `
[[listen]]
name = "submission"
address = "127.0.0.1:2587"

[[rewrite]]
name = "strip-host"
sources = ["envelope-sender", "from"]
match = "*@*.bar.com"
to = "{1}@bar.com"

[[rewrite]]
name = "full-names"
sources = ["from"]
listeners = ["submission"]
match = '/^abc123@bar\.com$/'
to = "A.N.User@bar.com"
`

func rulesInstance(t *testing.T, rules string) string {
	t.Helper()
	dir, inst := mustInit(t)
	appendRules(t, inst, rules)
	return dir
}

func TestRewriteShowsEachStepOfAnAddress(t *testing.T) {
	dir := rulesInstance(t, paperRules)
	for _, c := range []struct {
		args []string
		want string
	}{
		// the same in both sources is told once
		{[]string{"abc123@pc.bar.com"}, `envelope-sender, from
  rule strip-host: changed: abc123@pc.bar.com to abc123@bar.com
  rule full-names: not asked: only for mail that came in by submission
  = abc123@bar.com
`},
		{[]string{"abc123@pc.bar.com", "--source", "From", "--listener", "submission", "--client", "192.0.2.1"}, `from
  rule strip-host: changed: abc123@pc.bar.com to abc123@bar.com
  rule full-names: changed: abc123@bar.com to A.N.User@bar.com
  = A.N.User@bar.com
`},
		{[]string{"u@foo.com", "--source", "from"}, `from
  rule strip-host: does not match u@foo.com
  rule full-names: not asked: only for mail that came in by submission
  = u@foo.com
`},
	} {
		code, out, errs := run(t, dir, append([]string{"rewrite"}, c.args...)...)
		if code != 0 || out != c.want {
			t.Errorf("%v: exit %d\n%s%s, want\n%s", c.args, code, out, errs, c.want)
		}
	}
}

func TestRewriteShowsWhatBecomesOfAMessage(t *testing.T) {
	dir := rulesInstance(t, paperRules)
	name := filepath.Join(t.TempDir(), "m.eml")
	text := "From: \x1b[31mMe <abc123@pc.bar.com>,\n u@x.bar.com (x)\nTo: abc123@pc.bar.com\n\nFrom: u@x.bar.com\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// A control character makes the field one that can't be read.
	code, out, _ := run(t, dir, "rewrite", name)
	if code != 0 || !strings.Contains(out, "can't be read") || !strings.Contains(out, "stays as it is") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if err := os.WriteFile(name, []byte(strings.ReplaceAll(text, "\x1b[31m", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ = run(t, dir, "rewrite", name, "--listener", "submission")
	want := `from: rule strip-host: changed: abc123@pc.bar.com to abc123@bar.com
from: rule full-names: changed: abc123@bar.com to A.N.User@bar.com
from: rule strip-host: changed: u@x.bar.com to u@bar.com
- From: Me <abc123@pc.bar.com>,
-  u@x.bar.com (x)
+ From: Me <A.N.User@bar.com>,
+  u@bar.com (x)
`
	if code != 0 || out != want {
		t.Errorf("exit %d\n%s, want\n%s", code, out, want)
	}
	code, out, _ = run(t, dir, "rewrite", name, "--source", "to", "--json")
	var got struct{ Steps, Changed []any }
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.Changed == nil || len(got.Changed) != 0 {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
}

func TestRewriteWithoutRulesSaysSo(t *testing.T) {
	dir, _ := mustInit(t)
	if code, out, _ := run(t, dir, "rewrite", "u@foo.com"); code != 0 || !strings.Contains(out, "no [[rewrite]] rules") {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestRewriteRefusals(t *testing.T) {
	dir := rulesInstance(t, paperRules)
	broken := rulesInstance(t, "[[rewrite]]\nsources = [\"from\"]\nmatch = \"*\"\nto = \"{lookup:x:1}@y\"\n")
	for _, c := range []struct {
		dir  string
		args []string
		code int
		want string
	}{
		{dir, []string{}, exUsage, "an address or a file"},
		{dir, []string{"not an@address"}, exDataErr, "not an@address"},
		{dir, []string{"/no/such/file"}, exNoInput, "/no/such/file"},
		{dir, []string{t.TempDir()}, exNoInput, "directory"},
		{dir, []string{"a@b", "--listener", "mx"}, exUsage, "submission"},
		{dir, []string{"a@b", "--client", "here"}, exUsage, "192.0.2.7"},
		{broken, []string{"a@b"}, exConfig, "stands for nothing"},
	} {
		code, _, errs := run(t, c.dir, append([]string{"rewrite"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit %d, want %d: %s", c.args, code, c.code, errs)
		}
	}
}

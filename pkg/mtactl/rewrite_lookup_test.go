package mtactl

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

const lookupRules = `
[lookup.full]
type = "inline"
entries = { abc123 = "A.N.User" }

[transport.outside]
driver = "smtp"
rewrite = ["masquerade"]

[[rewrite]]
name = "full-names"
sources = ["from", "envelope-sender"]
match = "*@bar.com"
to = "{lookup:full:1}@bar.com"

[[rewrite]]
name = "masquerade"
sources = ["all"]
match = "*@*.bar.com"
to = "{1}@bar.com"
`

// lookupInstance is an instance with rules, and answers for its lookups.
func lookupInstance(t *testing.T, status int, has any) (string, *int) {
	t.Helper()
	dir, inst := mustInit(t)
	appendRules(t, inst, lookupRules)
	asked := new(int)
	serveControl(t, inst, proto.ControlMaster, func(w http.ResponseWriter, r *http.Request) {
		var q proto.LookupQuestion
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.URL.Path != "/v1/lookup" || q.Name != "full" {
			t.Errorf("%s %+v, %v", r.URL, q, err)
		}
		*asked++
		if known, ok := has.(map[string]string); ok {
			a := proto.LookupAnswered{Found: known[q.Key] != ""}
			if a.Found {
				a.Values = []string{known[q.Key]}
			}
			answer(t, w, status, a)
			return
		}
		answer(t, w, status, has)
	})
	return dir, asked
}

func appendRules(t *testing.T, inst settings.Instance, rules string) {
	t.Helper()
	f, err := os.OpenFile(inst.ConfigFile(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(rules); err != nil {
		t.Fatal(err)
	}
}

func TestRewriteAsksTheRunningSuiteForLookups(t *testing.T) {
	dir, asked := lookupInstance(t, 200, map[string]string{"abc123": "A.N.User"})
	code, out, errs := run(t, dir, "rewrite", "abc123@bar.com", "--source", "from,envelope-sender")
	want := `from, envelope-sender
  rule full-names: changed: abc123@bar.com to A.N.User@bar.com
  rule masquerade: not asked: only at the way out, by transport outside
  = A.N.User@bar.com
`
	if code != 0 || out != want || *asked != 1 {
		t.Errorf("exit %d, asked %d times\n%s%s, want\n%s", code, *asked, out, errs, want)
	}
	code, out, _ = run(t, dir, "rewrite", "Nobody@bar.com", "--source", "from")
	if code != 0 || !strings.Contains(out, "rule full-names: matched, and the address stays: lookup full has nothing for nobody\n") {
		t.Errorf("exit %d\n%s", code, out)
	}
	name := filepath.Join(t.TempDir(), "m.eml")
	if err := os.WriteFile(name, []byte("From: Me <abc123@bar.com>\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := run(t, dir, "rewrite", name); code != 0 || !strings.Contains(out, "+ From: Me <A.N.User@bar.com>\n") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

func TestRewriteShowsTheRulesOfATransport(t *testing.T) {
	dir, asked := lookupInstance(t, 500, nil)
	code, out, errs := run(t, dir, "rewrite", "abc123@pc.bar.com", "--transport", "outside", "--source", "from")
	want := `from
  rule masquerade: changed: abc123@pc.bar.com to abc123@bar.com
  = abc123@bar.com
`
	if code != 0 || out != want || *asked != 0 {
		t.Errorf("exit %d\n%s%s, want\n%s", code, out, errs, want)
	}
	if code, out, _ := run(t, dir, "rewrite", "a@b", "--transport", "smtp"); code != 0 || !strings.Contains(out, "no [[rewrite]] rules for transport smtp") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, _, errs := run(t, dir, "rewrite", "a@b", "--transport", "outsied"); code != exUsage || !strings.Contains(errs, "outside") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	if code, _, _ := run(t, dir, "rewrite", "a@b", "--transport", "outside", "--listener", "sendmail"); code != exUsage {
		t.Errorf("a listener at the way out: exit %d", code)
	}
}

func TestRewriteSaysWhyLookupsCanNotBeShown(t *testing.T) {
	for _, c := range []struct {
		status int
		has    any
		code   int
		want   string
	}{
		{404, proto.ControlError{Error: "no such lookup"}, exConfig, "mtactl"},
		{403, proto.ControlError{Error: "not for you"}, exNoPerm, "not for you"},
		{200, proto.LookupAnswered{Trouble: "the directory is \x1b[31mdown"}, exTempFail, "down"},
	} {
		dir, _ := lookupInstance(t, c.status, c.has)
		code, out, errs := run(t, dir, "rewrite", "abc123@bar.com")
		if code != c.code || !strings.Contains(errs, c.want) || strings.Contains(errs, "\x1b") || out != "" {
			t.Errorf("%d: exit %d, want %d\n%s%s", c.status, code, c.code, out, errs)
		}
	}
	dir, inst := mustInit(t)
	appendRules(t, inst, lookupRules)
	code, out, errs := run(t, dir, "rewrite", "abc123@bar.com")
	if code != exUnavailable || !strings.Contains(errs, "does not run") || !strings.Contains(errs, "lookups") || !strings.Contains(errs, "start") || out != "" {
		t.Errorf("not running: exit %d\n%s%s", code, out, errs)
	}
	// Rules that ask nothing about an address are shown all the same.
	if code, out, errs := run(t, dir, "rewrite", "u@foo.com"); code != 0 || !strings.Contains(out, "does not match u@foo.com") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

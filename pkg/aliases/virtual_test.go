package aliases_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filbert/pkg/aliases"
	"filbert/pkg/mailaddr"
)

func TestVirtualTablesHaveAddressesAndDomains(t *testing.T) {
	table, err := aliases.ParseVirtual("v", []byte("Info@Example.ORG: alice, b@example.net\n@example.com: @example.org\n@[192.0.2.1]: c\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := show(table, "info@example.org"); got != "alice; b@example.net" {
		t.Errorf("got %s", got)
	}
	e, ok := table.Find(aliases.DomainKey("example.com"))
	if !ok || len(e.Items) != 1 || e.Items[0].Kind != aliases.SameName || e.Items[0].Text != "example.org" || e.Line != 2 {
		t.Errorf("got %+v", e)
	}
	if !table.Has(aliases.DomainKey("[192.0.2.1]")) {
		t.Error("a domain literal has no entry")
	}
}

func TestMistakesOfVirtualTablesAreTold(t *testing.T) {
	for text, want := range map[string]string{
		"info: alice\n":                  "v:1: info: no domain behind the name",
		"@: alice\n":                     "v:1: @: @: no domain behind the @",
		"@a..b: alice\n":                 "no domain behind the @",
		"a@b.example: @\n":               "no domain behind the @",
		"@b.example: a\n@B.example: c\n": "defined twice",
	} {
		if _, err := aliases.ParseVirtual("v", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if _, err := aliases.Parse("f", []byte("a: @example.org\n")); err == nil {
		t.Error("an ordinary alias file took @domain for an item")
	}
}

func TestForwardFilesHaveNoVerdicts(t *testing.T) {
	items, err := aliases.ParseForward("f", []byte("# mine\n\\alice, bob@example.org\n\"|/bin/cat -n\"\n/home/alice/box\n:include:list\n"))
	if err != nil || len(items) != 5 || !items[0].Literal || items[2].Kind != aliases.Pipe || items[3].Line != 4 {
		t.Fatalf("got %v, %v", items, err)
	}
	for _, bad := range []string{":fail: no", ":blackhole:", ":defer:"} {
		if _, err := aliases.ParseForward("f", []byte("a\n"+bad+"\n")); err == nil || !strings.Contains(err.Error(), "f:2: ") {
			t.Errorf("%s: got %v", bad, err)
		}
	}
	if items, err := aliases.ParseForward("f", []byte("# nothing\n\n")); err != nil || len(items) != 0 {
		t.Errorf("only comments: %v, %v", items, err)
	}
}

func TestValuesOfALookupAreItems(t *testing.T) {
	items, err := aliases.ParseValues("lookup x", []string{"alice, bob", `"|/bin/cat a,b"`, ":include:/etc/l"}, false)
	if err != nil || len(items) != 4 || items[2].Text != "/bin/cat a,b" {
		t.Fatalf("got %v, %v", items, err)
	}
	if items, err := aliases.ParseValues("x", []string{":fail: we moved, sorry"}, false); err != nil || items[0].Text != "we moved, sorry" {
		t.Errorf("got %v, %v", items, err)
	}
	if items, err := aliases.ParseValues("x", []string{"@example.org"}, true); err != nil || items[0].Kind != aliases.SameName {
		t.Errorf("got %v, %v", items, err)
	}
	for _, bad := range [][]string{{"a b"}, {""}, {"a", ":fail: x"}, {"|cat"}, {"@example.org"}} {
		if _, err := aliases.ParseValues("x", bad, false); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzItems(f *testing.F) {
	f.Add("a, b@example.org\n|/bin/x\n", "@example.org")
	f.Add("\\a\n:include:x", ":fail: x")
	f.Fuzz(func(t *testing.T, text, value string) {
		items, err := aliases.ParseForward("f", []byte(text))
		for _, it := range items {
			if err == nil && it.Kind > aliases.Include {
				t.Errorf("a forward file with %s", it)
			}
		}
		items, err = aliases.ParseValues("x", []string{value}, true)
		if err == nil && len(items) == 0 {
			t.Error("no items and no mistake")
		}
		if table, err := aliases.ParseVirtual("v", []byte(text)); err == nil {
			if _, ok := table.Find(aliases.Key(mailaddr.MustParse("a@example.org"))); ok && !strings.Contains(text, "@") {
				t.Error("a name without a domain")
			}
		}
	})
}

func TestCheckLooksAtDomainsAndMembers(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"virtual": "info: alice\n@a.example: :include:none\n", "good": "@a.example: bob\n", "members": "a..b\n", "list": "a\n:include:members\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"virtual": "virtual:1: info: no domain", "none": "no such file", "good": ""} {
		if got := fmt.Sprint(aliases.CheckVirtual(filepath.Join(dir, name))); !strings.Contains(got, want) || want == "" && got != "[]" {
			t.Errorf("%s: got %s", name, got)
		}
	}
	for name, want := range map[string]string{"list": "members:1: a..b: bad address", "none": "no such file"} {
		if got := fmt.Sprint(aliases.CheckList(filepath.Join(dir, name))); !strings.Contains(got, want) {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

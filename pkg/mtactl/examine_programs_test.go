package mtactl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProgramsOfDirectorsAndRoutersAreExamined(t *testing.T) {
	_, inst := mustInit(t)
	text := filepath.Join(inst.Etc, "text")
	if err := os.WriteFile(text, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := os.OpenFile(inst.ConfigFile(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conf.WriteString(`
[[director]]
name = "asks"
driver = "command"
command = ["/nonexistent/asks", "{local_part}"]
transport = "maildir"

[[router]]
name = "asked"
driver = "command"
command = ["` + text + `"]

[lookup.people]
type = "ldap"
servers = ["ldaps://127.0.0.1"]
base = "dc=example"
query = "(mail={key})"
ca_file = "text"
`); err != nil {
		t.Fatal(err)
	}
	if err := conf.Close(); err != nil {
		t.Fatal(err)
	}
	found := examined(t, inst).text()
	for _, want := range []string{
		`the command of director "asks": no such file`, `the command of router "asked" is no program that can be run`, "text has no certificates",
	} {
		if !strings.Contains(found, want) {
			t.Errorf("%q is not found in:\n%s", want, found)
		}
	}
}

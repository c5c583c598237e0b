package mtactl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filbert/pkg/config"
)

func TestFilesOfLookupsAreExamined(t *testing.T) {
	_, inst := mustInit(t)
	for name, text := range map[string]string{
		"people": "a 1\nA 2\n", "expressions": "/(/ x\n", "networks": "192.0.2.0/24 x\n192.0.2.1/24 y\n", "half.cdb": "half", "text.sqlite": "half",
		"log.sqlite": "SQLite format 3\x00\x10\x00\x02\x02", "whole.sqlite": "SQLite format 3\x00\x10\x00\x01\x01", "fine": "a 1\n",
	} {
		if err := os.WriteFile(filepath.Join(inst.Etc, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf, err := os.OpenFile(inst.ConfigFile(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]string{"people": "file", "expressions": "regexp", "networks": "cidr", "half.cdb": "cdb", "text.sqlite": "sqlite", "log.sqlite": "sqlite", "whole.sqlite": "sqlite", "fine": "file", "absent": "file"} {
		id, _, isDatabase := strings.Cut(name, ".")
		query := ""
		if isDatabase && kind == "sqlite" {
			query = "query = \"select a from b where c = {key}\"\n"
		}
		if _, err := conf.WriteString("\n[lookup." + id + "]\ntype = \"" + kind + "\"\npath = \"" + name + "\"\n" + query); err != nil {
			t.Fatal(err)
		}
	}
	if err := conf.Close(); err != nil {
		t.Fatal(err)
	}
	x := examined(t, inst)
	for _, want := range []string{"people:2: A stands here twice", "expressions:1: ", "networks:2: ", "half.cdb: cannot be read", "text.sqlite: cannot be read: text.sqlite is no database", "log.sqlite: cannot be read: log.sqlite is in WAL mode", "absent: cannot be read"} {
		if !strings.Contains(x.text(), "etc/"+want) {
			t.Errorf("%q is not found in:\n%s", want, x.text())
		}
	}
	for _, f := range x.findings {
		if strings.HasSuffix(f.Where, "absent") && f.Severity != config.Doubt {
			t.Error("a file that may be made later is more than a warning")
		}
		if strings.HasSuffix(f.Where, "fine") || strings.HasSuffix(f.Where, "whole.sqlite") {
			t.Error(f.What)
		}
	}
}

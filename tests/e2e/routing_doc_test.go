package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"filbert/tests/script"
)

// zone is the world around the set-ups of doc/ROUTING.md.
const zone = `smtp.provider.example. A 198.51.100.1
provider.example. MX 10 smtp.provider.example.
elsewhere.example. MX 10 mx.elsewhere.example.
mx.elsewhere.example. A 198.51.100.2
far.example. MX 10 mx.far.example.
mx.far.example. A 198.51.100.3
nomx.example. A 198.51.100.4
pdp.old.example. A 198.51.100.5
partner.example. MX 10 mx.partner.example.
partner.example. MX 20 backup.example.org.
mx.partner.example. A 198.51.100.6
backup.example.org. A 127.0.0.1
old.example.com. A 198.51.100.7
relay1.example.com. A 198.51.100.8
relay2.example.com. A 198.51.100.9
`

var (
	heading = regexp.MustCompile(`(?m)^## ([0-9]+)\. `)
	fence   = regexp.MustCompile("(?ms)^```([a-z]+)(?: ([a-z-]+))?\n(.*?)^```$")
	address = regexp.MustCompile(`(?m)^address = .*$`)
)

// TestManualOfRouting runs every set-up of doc/ROUTING.md: its configuration is
// free of mistakes, and its addresses go where the manual says.
func TestManualOfRouting(t *testing.T) {
	text, err := os.ReadFile("../../doc/ROUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	at := heading.FindAllStringSubmatchIndex(string(text), -1)
	if len(at) != 10 {
		t.Fatalf("the manual has %d set-ups, not ten", len(at))
	}
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		name := "set-up-" + string(text[m[2]:m[3]])
		if err := os.WriteFile(filepath.Join(dir, name+".txtar"), []byte(setUp(t, name, string(text[m[0]:end]))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, script.Params(dir, programs(t)))
}

// setUp makes a script of a section. The ports of its listeners become free
// ones, and the name server that of the test; all else is as in the manual.
func setUp(t *testing.T, name, section string) string {
	var files strings.Builder
	seen := map[string]bool{}
	for _, m := range fence.FindAllStringSubmatch(section, -1) {
		kind, file, body := m[1], m[2], m[3]
		switch kind {
		case "toml":
			file = "etc/filbert.toml"
			body = address.ReplaceAllString(body, `address = "127.0.0.1:0"`)
			body += "\n[dns]\nservers = [\"${DNS}\"]\n"
		case "text":
			file = "etc/" + file
		case "routes":
			file = "routes"
		default:
			continue
		}
		if seen[file] {
			t.Errorf("%s: %s twice", name, file)
		}
		seen[file] = true
		// In a script's files $ is the shell's, but for our own variables.
		fmt.Fprintf(&files, "-- %s --\n%s", file, body)
	}
	if !seen["etc/filbert.toml"] || !seen["routes"] {
		t.Errorf("%s has no configuration or no routes", name)
	}
	return "dns zone\nfilbert init\nfilbert start\nmtactl check --routes routes\nstdout 'as expected'\n\n-- zone --\n" + zone + files.String()
}

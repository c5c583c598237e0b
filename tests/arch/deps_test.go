package arch

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestDependencyPage lists what each program links, so that a program that grows
// shows in a diff. smtpd, pickup, sendmail and local-deliver stay smallest.
func TestDependencyPage(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("# What each program links\n\n" + notice)
	b.WriteString("Packages of this tree, then of other modules; the standard library is left out but for what opens " +
		"doors: `net/http`, `crypto/tls`, `os/exec`, `regexp`, `encoding/json`, `encoding/xml`.\n\n")
	for _, prog := range programsOf(t) {
		var ours, theirs, std []string
		for _, dep := range deps(t, prog) {
			first, _, _ := strings.Cut(dep, "/")
			switch {
			case strings.HasPrefix(dep, module+"pkg/"):
				ours = append(ours, strings.TrimPrefix(dep, module+"pkg/"))
			case strings.HasPrefix(dep, module):
			case strings.Contains(first, ".") && !strings.HasPrefix(dep, "vendor/"):
				theirs = append(theirs, dep)
			case slices.Contains(doors, dep):
				std = append(std, dep)
			}
		}
		fmt.Fprintf(&b, "## %s\n\nours: %s\n\nothers: %s\n\nstandard: %s\n\n", strings.TrimPrefix(prog, module),
			strings.Join(ours, " "), orNone(theirs), orNone(std))
	}
	page(t, "DEPENDENCIES.md", b.Bytes())
}

var doors = []string{"net/http", "crypto/tls", "os/exec", "regexp", "encoding/json", "encoding/xml", "encoding/gob", "plugin"}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, " ")
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = root(t)
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Fields(string(out))
}

func programsOf(t *testing.T) []string {
	t.Helper()
	return goList(t, "./cmd/...", "./libexec/...")
}

func deps(t *testing.T, prog string) []string {
	t.Helper()
	list := goList(t, "-deps", prog)
	slices.Sort(list)
	return list
}

// TestSmallProgramsStaySmall: what reads hostile text first, or runs as root,
// links neither a parser of configuration, nor HTTP, nor TLS.
func TestSmallProgramsStaySmall(t *testing.T) {
	for _, name := range []string{"cmd/sendmail", "libexec/pickup", "libexec/smtpd", "libexec/local-deliver", "libexec/cleanup"} {
		for _, dep := range deps(t, module+name) {
			for _, heavy := range []string{"net/http", "crypto/tls", "encoding/xml", "github.com/pelletier/go-toml/v2", "github.com/miekg/dns"} {
				if dep == heavy {
					t.Errorf("%s links %s", name, heavy)
				}
			}
		}
	}
}

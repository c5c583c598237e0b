package pickup

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// nameFile is the file below an instance's run directory that tells pickup the
// name which bare addresses get: one line, written by master.
const nameFile = "submit/name"

// maxNameFile is what is read of it.
const maxNameFile = 512

// site is what we know of the instance.
type site struct {
	inst settings.Instance
	// name completes bare addresses.
	name string
	// sure is true when master said so, false when it was guessed.
	sure bool
}

// findSite is the installed instance or the private one under dir.
func findSite(dir string) (site, error) {
	if dir == "" {
		inst := settings.Installed()
		return nameSite(site{inst: inst}, filepath.Join(inst.Etc, "mailname"), "/etc/mailname"), nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return site{}, fail(exUsage, "find the instance %s: %v", untrusted.From(dir).ForTerminal(), err)
	}
	inst := settings.Private(abs)
	return nameSite(site{inst: inst}, filepath.Join(inst.Etc, "mailname")), nil
}

// nameSite fills in the name; guesses are the files to look at when master has
// not left one.
func nameSite(s site, guesses ...string) site {
	if s.name = readName(filepath.Join(s.inst.Run, nameFile)); s.name != "" {
		s.sure = true
		return s
	}
	for _, g := range guesses {
		if s.name = readName(g); s.name != "" {
			return s
		}
	}
	if host, err := os.Hostname(); err == nil && strings.Contains(host, ".") {
		s.name = checkName(host)
	}
	if s.name == "" {
		s.name = "localhost"
	}
	return s
}

// readName is the domain in a file of one line, "" if there is none.
func readName(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxNameFile))
	if err != nil {
		return ""
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return checkName(string(bytes.TrimSpace(line)))
}

// checkName is the canonical form of a domain, "" if it is none.
func checkName(s string) string {
	if s == "" {
		return ""
	}
	a, err := mailaddr.New("x", s)
	if err != nil {
		return ""
	}
	return a.Domain()
}

// qualify gives a bare address the site's name.
func (s *site) qualify(a mailaddr.Address) mailaddr.Address {
	if a.IsNull() || a.Domain() != "" {
		return a
	}
	// It can only be refused for its length, and then cleanup says so.
	if q, err := a.WithDomain(s.name); err == nil {
		return q
	}
	return a
}

package config

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/pattern"
	"filbert/pkg/settings"
)

// complete fills in what the files leave open, so that no daemon has defaults
// of its own.
func (c *checker) complete() {
	s := c.s
	if s.Hostname == "" {
		s.Hostname = MachineName()
	}
	s.Hostname = strings.ToLower(strings.TrimSuffix(s.Hostname, "."))
	if _, set := c.sources["domains.local"]; !set {
		s.Domains.Local = []string{s.Hostname, "localhost"}
		if s.Hostname == "localhost" {
			s.Domains.Local = []string{"localhost"}
		}
	}
	switch s.PrivilegeSeparation {
	case "on":
		s.Instance.Separate = true
	case "auto":
		s.Instance.Separate = !s.Instance.Private && os.Geteuid() == 0
	}
	c.completeListen()
	c.completeRouting()
	c.completeRewrites()
	c.completeCopies()
	c.completeRetry()
	c.completeSecrets(s)
	s.Reports.Templates = c.inEtc(s.Reports.Templates)
}

// takeOwnMail adds the hostname to the local domains: mail to the postmaster of
// this machine's own name must arrive (RFC 5321, section 4.5.1), whatever
// domains it serves. It goes in front, where no other pattern can hide it, and
// after the checks, which tell of patterns by their places.
func (c *checker) takeOwnMail() {
	d, name := &c.s.Domains, c.s.Hostname
	local, err := pattern.CompileAsking(d.Local, pattern.Domains)
	if err != nil || matchesNow(local, name) || slices.Contains(d.Local, "!"+name) {
		return
	}
	d.Local = append([]string{name}, d.Local...)
}

func (c *checker) completeListen() {
	s := c.s
	if s.Listen == nil && !s.Instance.Private {
		s.Listen = []settings.Listen{{Name: "local", Address: "127.0.0.1:25"}}
	}
	for i := range s.Listen {
		if s.Listen[i].Name == "" {
			s.Listen[i].Name = s.Listen[i].Address
		}
		s.Listen[i] = s.Listen[i].Complete()
	}
}

func (c *checker) completeRouting() {
	s := c.s
	if s.Directors == nil {
		s.Directors = settings.DefaultDirectors()
	}
	if s.Routers == nil {
		s.Routers = settings.DefaultRouters()
	}
	if s.Transports == nil {
		s.Transports = map[string]settings.Transport{}
	}
	for name, t := range settings.DefaultTransports() {
		if _, ok := s.Transports[name]; !ok {
			s.Transports[name] = t
		}
	}
	for name, t := range s.Transports {
		s.Transports[name] = t.Complete()
	}
	for i := range s.Directors {
		c.completeDirector(&s.Directors[i])
	}
	for i := range s.Routers {
		r := &s.Routers[i]
		if r.Name == "" {
			r.Name = r.Driver
		}
		if r.Transport == "" {
			r.Transport = "smtp"
		}
		r.File = c.inEtc(r.File)
		if r.Driver == "command" && r.Timeout == 0 {
			r.Timeout = settings.ConsultTimeout
		}
	}
}

func (c *checker) completeDirector(d *settings.Director) {
	if d.Name == "" {
		d.Name = d.Driver
	}
	switch d.Driver {
	case "user":
		if d.Transport == "" {
			d.Transport = "maildir"
		}
		if d.Users == "" {
			d.Users = "system"
			switch {
			case d.Lookup != "":
				d.Users = "lookup"
			case d.File != "":
				d.Users = "table"
			}
		}
	case "forwardfile":
		if d.File == "" {
			d.File = ".forward"
		}
	case "command":
		if d.Timeout == 0 {
			d.Timeout = settings.Duration(10 * time.Second)
		}
	}
	if contains(targetDirectors, d.Driver) {
		if d.PipeTransport == "" {
			d.PipeTransport = "pipe"
		}
		if d.FileTransport == "" {
			d.FileTransport = "file"
		}
	}
	if d.Driver != "forwardfile" { // whose files are in the homes of the users
		d.File = c.inEtc(d.File)
	}
}

func (c *checker) inEtc(file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(c.s.Instance.Etc, file)
}

// MachineName is the hostname where the configuration has none.
func MachineName() string { return machineName(os.Hostname, "/etc/hosts") }

// machineName is the fully qualified name of this machine: the kernel's, or
// the first name with a dot that stands beside it in the hosts file. DNS is not
// asked: a start must not depend on it.
func machineName(kernel func() (string, error), hosts string) string {
	name, err := kernel()
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if err != nil || !isDomain(name) {
		return "localhost"
	}
	if strings.Contains(name, ".") {
		return name
	}
	f, err := os.Open(hosts)
	if err != nil {
		return name
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		line, _, _ := strings.Cut(in.Text(), "#")
		if full := fullName(strings.Fields(line), name); full != "" {
			return full
		}
	}
	return name
}

func fullName(words []string, name string) string {
	if len(words) < 2 {
		return ""
	}
	full, mine := "", false
	for _, w := range words[1:] {
		w = strings.ToLower(w)
		mine = mine || w == name
		if strings.HasPrefix(w, name+".") && isDomain(w) && full == "" {
			full = w
		}
	}
	if !mine {
		return ""
	}
	return full
}

func isDomain(s string) bool {
	a, err := mailaddr.New("x", s)
	return err == nil && s != "" && !strings.HasPrefix(a.Domain(), "[")
}

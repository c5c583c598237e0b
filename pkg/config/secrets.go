package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"filbert/pkg/settings"
)

// maxSecret bounds a file with a password.
const maxSecret = 64 << 10

// readSecrets fills in the passwords. One that can't be read is a problem that
// stops nothing else: mail that needs it waits, as it does for a server that is
// down.
func (l *Loaded) readSecrets() {
	s := l.Settings
	for name, t := range s.Lookups {
		t.Password = l.secret("lookup."+name+".password_file", t.PasswordFile)
		s.Lookups[name] = t
	}
	for name, t := range s.Transports {
		t.Password = l.secret("transport."+name+".password_file", t.PasswordFile)
		s.Transports[name] = t
	}
}

func (l *Loaded) secret(key, file string) string {
	if file == "" {
		return ""
	}
	text, err := readSecret(file)
	if err != nil {
		l.Problems = append(l.Problems, Problem{Doubt, l.Sources[key], key, err.Error(), "what needs this password will wait"})
	}
	return text
}

// readSecret gives the first line of a file that nobody but its owner, or a
// group, may read.
func readSecret(file string) (string, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return "", fmt.Errorf("can't be read: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxSecret:
		return "", fmt.Errorf("%s is not a small regular file", filepath.Base(file))
	case info.Mode().Perm()&0o007 != 0:
		return "", fmt.Errorf("%s may be read by everyone: chmod o= %s", filepath.Base(file), file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("can't be read: %w", err)
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return "", fmt.Errorf("%s has nothing in its first line", filepath.Base(file))
	}
	return string(line), nil
}

// completeSecrets makes the paths of password files absolute.
func (c *checker) completeSecrets(s *settings.Settings) {
	for name, t := range s.Lookups {
		t.Path, t.PasswordFile, t.CAFile = c.inEtc(t.Path), c.inEtc(t.PasswordFile), c.inEtc(t.CAFile)
		s.Lookups[name] = t
	}
	for name, t := range s.Transports {
		t.PasswordFile = c.inEtc(t.PasswordFile)
		s.Transports[name] = t
	}
}

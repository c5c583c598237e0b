package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"

	"filbert/pkg/settings"
)

// maxFileSize bounds one configuration file. Large tables belong in files of
// their own, which the settings name.
const maxFileSize = 4 << 20

// Sources tells where values came from, by key ("listen[0].address"). What is
// not in it is a default.
type Sources map[string]Pos

// Loaded is a configuration with what is known about how it came to be.
type Loaded struct {
	Settings *settings.Settings // nil when there are mistakes
	Problems []Problem
	Sources  Sources
	Files    []string // read, in order
}

// Find gives the instance under dir, or the installed one for "", and the path
// of its configuration file. The daemons are those beside the running program
// where it has some (a build tree), else the installed ones.
func Find(dir string) (settings.Instance, string, error) {
	inst := settings.Installed()
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return inst, "", fmt.Errorf("find instance %s: %w", dir, err)
		}
		inst = settings.Private(abs)
	}
	if exe, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(exe), "libexec")
		if _, err := os.Stat(filepath.Join(beside, "master")); err == nil {
			inst.Libexec = beside
		}
	}
	return inst, inst.ConfigFile(), nil
}

// Load reads and checks the configuration at path for an instance. The
// settings are nil when the error is not; an error that wraps ErrInvalid is
// explained by the problems, which hold doubts also when all is well.
//
// It also reads the files that passwords are in, which LoadAll leaves alone.
func Load(path string, inst settings.Instance) (*settings.Settings, []Problem, error) {
	l, err := LoadAll(path, inst)
	if err == nil {
		l.readSecrets()
	}
	return l.Settings, l.Problems, err
}

// LoadAll is Load for those who also want to show sources.
func LoadAll(path string, inst settings.Instance) (*Loaded, error) {
	l := &Loaded{Sources: Sources{}}
	files, err := configFiles(path)
	if err != nil {
		return l, err
	}
	l.Files = files
	rep := &report{}
	d := &decoder{report: rep, sources: l.Sources}
	s := settings.Default()
	for _, file := range files {
		data, err := readBounded(file)
		if err != nil {
			return l, fmt.Errorf("read configuration: %w", err)
		}
		root, problem := parseTree(file, data)
		if problem != nil {
			rep.problems = append(rep.problems, *problem)
			continue
		}
		d.table(root, reflect.ValueOf(s).Elem(), "")
	}
	s.Instance = inst
	c := &checker{report: rep, s: s, sources: l.Sources, main: path}
	c.complete()
	c.check()
	c.takeOwnMail()
	l.Problems = rep.sorted(files)
	if n := Mistakes(l.Problems); n > 0 {
		return l, fmt.Errorf("%s: %w", path, ErrInvalid)
	}
	l.Settings = s
	return l, nil
}

// configFiles is the main file and those of conf.d beside it.
func configFiles(path string) ([]string, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s does not exist", ErrNoInstance, path)
	} else if err != nil {
		return nil, fmt.Errorf("find configuration: %w", err)
	}
	files := []string{path}
	dir := filepath.Join(filepath.Dir(path), "conf.d")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("find configuration: %w", err)
	}
	var more []string
	for _, e := range entries {
		// Editors leave .#x.toml and x.toml~ behind.
		if strings.HasSuffix(e.Name(), ".toml") && !strings.HasPrefix(e.Name(), ".") && !e.IsDir() {
			more = append(more, filepath.Join(dir, e.Name()))
		}
	}
	sort.Strings(more)
	return append(files, more...), nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("%s: larger than %d MB, which no configuration is", path, maxFileSize>>20)
	}
	return data, nil
}

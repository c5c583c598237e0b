package aliases

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"filbert/pkg/argv"
	"filbert/pkg/lookup"
)

// Check reads an alias file and what it includes as router will, and reports
// every mistake: syntax, files that are not there or that others may write to,
// programs that cannot be run. `mtactl check` prints them.
func Check(path string) []lookup.Problem { return check(path, Parse) }

// CheckVirtual is Check for an alias file of whole domains.
func CheckVirtual(path string) []lookup.Problem { return check(path, ParseVirtual) }

// CheckList is Check for a file of members.
func CheckList(path string) []lookup.Problem {
	data, err := lookup.ReadFile(path, MaxInclude)
	if err != nil {
		return []lookup.Problem{{File: path, Text: reason(err)}}
	}
	items, err := ParseList(path, data)
	if err != nil {
		return problemsOf(path, err)
	}
	var ps lookup.Problems
	if text := unsafeFile(path); text != "" {
		ps.Add(path, 0, "%s", text)
	}
	checkItems(path, items, map[string]bool{path: true}, &ps)
	return ps.List
}

func check(path string, parse func(string, []byte) (*Table, error)) []lookup.Problem {
	data, err := lookup.ReadFile(path, MaxFile)
	if err != nil {
		return []lookup.Problem{{File: path, Text: reason(err)}}
	}
	t, err := parse(path, data)
	if err != nil {
		return problemsOf(path, err)
	}
	var ps lookup.Problems
	if text := unsafeFile(path); text != "" {
		ps.Add(path, 0, "%s", text)
	}
	seen := map[string]bool{}
	for key := range t.entries {
		e, _ := t.Find(key)
		checkItems(path, e.Items, seen, &ps)
	}
	return ps.List
}

func checkItems(path string, items []Item, seen map[string]bool, ps *lookup.Problems) {
	for _, it := range items {
		switch it.Kind {
		case Pipe:
			args, _ := argv.Split(it.Text) // the parser did, without error
			if text := unfitProgram(args[0]); text != "" {
				ps.Add(path, it.Line, "%s: %s", args[0], text)
			}
		case Include:
			checkInclude(path, it, seen, ps)
		}
	}
}

func checkInclude(path string, it Item, seen map[string]bool, ps *lookup.Problems) {
	file := Resolve(path, it.Text)
	if seen[file] {
		return
	}
	seen[file] = true
	data, err := lookup.ReadFile(file, MaxInclude)
	if err != nil {
		ps.Add(path, it.Line, ":include:%s: %s", it.Text, reason(err))
		return
	}
	if text := unsafeFile(file); text != "" {
		ps.Add(file, 0, "%s", text)
	}
	items, err := ParseList(file, data)
	if err != nil {
		ps.List = append(ps.List, problemsOf(file, err)...)
		return
	}
	checkItems(file, items, seen, ps)
}

// Resolve gives the path of an included file: a relative one lies beside the
// file that names it.
func Resolve(from, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(filepath.Dir(from), name)
}

// Fit refuses a file to which everybody may write: it must not decide where
// other people's mail goes.
func Fit(info fs.FileInfo) error {
	if info.Mode().Perm()&0o002 != 0 {
		return errors.New("everybody may write to it (chmod o-w)")
	}
	return nil
}

func unsafeFile(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return reason(err)
	}
	if err := Fit(info); err != nil {
		return err.Error()
	}
	return ""
}

func unfitProgram(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return reason(err)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return "no program"
	}
	return ""
}

// reason is an error without the path, which stands in front of it anyway.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

func problemsOf(path string, err error) []lookup.Problem {
	var ps *lookup.Problems
	if errors.As(err, &ps) {
		return ps.List
	}
	return []lookup.Problem{{File: path, Text: err.Error()}}
}

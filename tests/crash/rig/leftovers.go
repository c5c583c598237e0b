package rig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filbert/pkg/durable"
	"filbert/pkg/journal"
)

// Unfinished says what the suite still has to do, nil if nothing: mail in the
// queues, in the journal, in the maildrop.
func (s *Suite) Unfinished() error {
	var left []string
	for _, queue := range []string{"deferred", "hold", "maildrop"} {
		n := 0
		for _, path := range s.files(queue) {
			if !abandoned(path) {
				n++
			}
		}
		if n > 0 {
			left = append(left, fmt.Sprintf("%d files in %s/", n, queue))
		}
	}
	rep, err := s.journal()
	if err != nil {
		return err
	}
	if rep.Undone > 0 {
		left = append(left, fmt.Sprintf("%d records in the journal", rep.Undone))
	}
	if len(left) > 0 {
		return errors.New(strings.Join(left, ", "))
	}
	return nil
}

func (s *Suite) journal() (journal.Report, error) {
	dir, err := durable.Open(filepath.Join(s.Dir, "spool"))
	if err != nil {
		return journal.Report{}, err
	}
	defer dir.Close()
	return journal.Scan(dir, func(journal.Found) error { return nil })
}

// files are the regular files below a directory of the spool.
func (s *Suite) files(name string) []string {
	var out []string
	_ = filepath.WalkDir(filepath.Join(s.Dir, "spool", name), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out = append(out, path)
		}
		return nil // what goes while it is looked at is gone
	})
	return out
}

// abandoned tells a file in the maildrop that a sendmail that was killed did not
// finish. pickup removes such when they are an hour old.
func abandoned(path string) bool {
	return filepath.Base(filepath.Dir(path)) == "maildrop" && strings.HasSuffix(path, ".new")
}

// Remains are what should not lie in the spool of a suite that has finished all
// its work and was started again.
func (s *Suite) Remains() ([]string, error) {
	var out []string
	for _, queue := range []string{"deferred", "hold", "corrupt", "maildrop"} {
		for _, path := range s.files(queue) {
			if !abandoned(path) {
				out = append(out, path)
			}
		}
	}
	for _, path := range s.files("incoming") {
		switch ext := filepath.Ext(path); {
		case ext == ".j", ext == ".done", ext == ".served", filepath.Base(path) == ".cleanup", filepath.Base(path) == ".dispatch":
		default:
			out = append(out, path)
		}
	}
	rep, err := s.journal()
	for _, d := range rep.Damage {
		out = append(out, fmt.Sprintf("damage in the journal: %+v", d))
	}
	return out, errors.Join(append(rep.Unreadable, err)...)
}

// Segments is how many the journal has.
func (s *Suite) Segments() int {
	list, _ := filepath.Glob(filepath.Join(s.Dir, "spool", "incoming", "*.j"))
	return len(list)
}

// Tail is the end of a file.
func Tail(path string, most int) string {
	b, _ := os.ReadFile(path)
	return string(b[max(0, len(b)-most):])
}

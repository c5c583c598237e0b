package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func (p *peer) mailbox(kind string, user int) string {
	return fmt.Sprintf(p.info[strings.ToUpper(kind)], user)
}

// prepareMailboxes gives the first users empty mailboxes. Old ones are put aside
// and not removed: an ext4 without a journal makes new files slowly for minutes after
// many were removed, and that would be charged to the run.
func (p *peer) prepareMailboxes(kind string, users int) error {
	owner := int(number(p.info["OWNER"]))
	for u := range users {
		box := p.mailbox(kind, u)
		if err := p.discard(box); err != nil {
			return err
		}
		if err := makeOwned(filepath.Dir(box), owner); err != nil {
			return err
		}
		if kind == "mbox" {
			if err := os.WriteFile(box, nil, 0o600); err != nil {
				return err
			}
			if err := os.Chown(box, owner, owner); err != nil {
				return err
			}
			continue
		}
		for _, d := range []string{"", "tmp", "new", "cur"} {
			if err := makeOwned(filepath.Join(box, d), owner); err != nil {
				return err
			}
		}
	}
	return nil
}

// discard moves a file or directory, if it exists, to where run.sh removes it
// when all is measured.
func (p *peer) discard(path string) error {
	err := os.Rename(path, filepath.Join(p.trash, runID()))
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// makeOwned makes a directory for owner; one that exists stays as it is.
func makeOwned(dir string, owner int) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chown(dir, owner, owner)
}

// readBack counts the messages of a run that are in the mailboxes.
func (p *peer) readBack(kind, run string, users int) (uniq, dups int) {
	seen := map[int]bool{}
	for u := range users {
		for _, text := range contents(kind, p.mailbox(kind, u)) {
			for _, seq := range marks(text, run) {
				if seen[seq] {
					dups++
				}
				seen[seq] = true
			}
		}
	}
	return len(seen), dups
}

// contents are the messages of a Maildir, or the one file of an mbox.
func contents(kind, box string) [][]byte {
	files := []string{box}
	if kind == "maildir" {
		// The pattern is well formed.
		files, _ = filepath.Glob(filepath.Join(box, "new", "*"))
	}
	var out [][]byte
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil {
			out = append(out, b)
		}
	}
	return out
}

func marks(text []byte, run string) (seqs []int) {
	for {
		_, after, found := bytes.Cut(text, []byte("\n"+mark))
		if !found {
			return seqs
		}
		line, rest, _ := bytes.Cut(after, []byte("\n"))
		if r, seq, _ := parseMark(line); r == run {
			seqs = append(seqs, seq)
		}
		text = rest
	}
}

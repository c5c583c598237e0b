package localdeliver

import (
	"fmt"
	"os"
	"syscall"

	"filbert/pkg/aliases"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// Bounds of what a forward file includes. Ours.
const (
	maxIncludes = 100 // what an answer has room for
	// maxNested is how deep lists may include lists: those of the forward file
	// and theirs. router follows no further than what it is given.
	maxNested = 2
)

// include is a list that was named.
type include struct {
	path  string
	depth int
}

// readIncludes reads the lists that a forward file includes. They are read as
// the user, who can't have read to him what he may not read; they may be
// anybody's, as the user named them, but nothing that everybody can write to.
func readIncludes(path string, text []byte) ([]proto.Included, error) {
	var out []proto.Included
	seen := map[string]bool{path: true}
	left := proto.MaxForward - len(text)
	todo := named(path, text, 1)
	for len(todo) > 0 {
		next := todo[0]
		todo = todo[1:]
		if seen[next.path] {
			continue // router finds the loop, if it is one
		}
		seen[next.path] = true
		if len(out) == maxIncludes {
			return nil, fmt.Errorf("%s includes more than %d files", path, maxIncludes)
		}
		list, err := readInclude(next.path, left)
		if err != nil {
			return nil, fmt.Errorf("%s includes %w", path, err)
		}
		left -= len(list)
		out = append(out, proto.Included{Path: next.path, Text: untrusted.FromBytes(list)})
		if next.depth < maxNested {
			todo = append(todo, named(next.path, list, next.depth+1)...)
		}
	}
	return out, nil
}

// named are the lists that a text includes. Mistakes in it are router's to
// report, which reads it again: here only the names are wanted.
func named(path string, text []byte, depth int) []include {
	items, _ := aliases.ParseList(path, text)
	var out []include
	for _, it := range items {
		if it.Kind == aliases.Include {
			out = append(out, include{aliases.Resolve(path, it.Text), depth})
		}
	}
	return out
}

// readInclude reads one list. It is looked at before it is opened, because to
// open a device can be to use it, and after, because it may be another by then.
func readInclude(path string, limit int) ([]byte, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("a path of %d octets", len(path))
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: it is no regular file", path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: it is no regular file", path)
	}
	if err := aliases.Fit(info); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return readAll(f, path, limit)
}

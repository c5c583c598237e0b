package router

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"filbert/pkg/aliases"
	"filbert/pkg/envelope"
	"filbert/pkg/lookup"
)

// Bounds of :include:. Ours.
const (
	maxIncludeDepth = 8
	maxIncludeFiles = 1000 // kept in memory
	// maxIncluded is how often files are included in one entry, the same one each time
	// that it is: lists that include lists many times over, with few members or none,
	// would else keep us busy for as long as their owner likes.
	maxIncluded = 1000
)

// includes are the files that the entries of an alias file include, each kept
// true to the disk.
type includes struct {
	rules *rules
	mu    sync.Mutex
	files map[string]*lookup.File[[]aliases.Item]
}

// get is the items of one file.
func (in *includes) get(path string) ([]aliases.Item, error) {
	in.mu.Lock()
	f, ok := in.files[path]
	in.mu.Unlock()
	if !ok {
		f = in.open(path)
	}
	return f.Get(in.rules.world.Now())
}

func (in *includes) open(path string) *lookup.File[[]aliases.Item] {
	// Its error is kept for Get.
	f, _ := lookup.NewFile(lookup.Source[[]aliases.Item]{
		Path: path, MaxSize: aliases.MaxInclude, Parse: aliases.ParseList, Fit: aliases.Fit,
		Complain: func(err error) { in.rules.mistake("reading "+path, err) },
	})
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.files == nil || len(in.files) >= maxIncludeFiles {
		in.files = make(map[string]*lookup.File[[]aliases.Item])
	}
	in.files[path] = f
	return f
}

// opened is a list of items on the way through nested files.
type opened struct {
	path  string
	items []aliases.Item
}

// flatten puts what files hold in the place of their :include:. It is whole or
// an error: a list without some of its members is not that list.
func (in *includes) flatten(path string, items []aliases.Item) ([]aliases.Item, error) {
	return flatten(path, items, in.get)
}

func flatten(path string, items []aliases.Item, get func(path string) ([]aliases.Item, error)) ([]aliases.Item, error) {
	plain := true
	for i := range items {
		plain = plain && items[i].Kind != aliases.Include
	}
	if plain {
		return items, nil
	}
	var out []aliases.Item
	stack := []opened{{path, items}}
	for included := 0; len(stack) > 0; {
		top := &stack[len(stack)-1]
		if len(top.items) == 0 {
			stack = stack[:len(stack)-1]
			continue
		}
		it := top.items[0]
		top.items = top.items[1:]
		if it.Kind != aliases.Include {
			if out = append(out, it); len(out) > envelope.MaxRecipients {
				return nil, fmt.Errorf("more than %d members", envelope.MaxRecipients)
			}
			continue
		}
		file := aliases.Resolve(top.path, it.Text)
		if len(stack) > maxIncludeDepth {
			return nil, fmt.Errorf("included more than %d deep: %s", maxIncludeDepth, nesting(stack, file))
		}
		if included++; included > maxIncluded {
			return nil, fmt.Errorf("more than %d times :include:", maxIncluded)
		}
		members, err := get(file)
		if err != nil {
			return nil, fmt.Errorf(":include:%s: %w", it.Text, withoutPath(err))
		}
		stack = append(stack, opened{file, members})
	}
	return out, nil
}

func nesting(stack []opened, last string) string {
	var paths []string
	for _, o := range stack {
		paths = append(paths, o.path)
	}
	return strings.Join(append(paths, last), " -> ")
}

// withoutPath takes the path out of an error in whose text it stands already.
func withoutPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

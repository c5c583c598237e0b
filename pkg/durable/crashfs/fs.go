package crashfs

import (
	"errors"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"filbert/pkg/durable"
)

// ErrCut is returned by every call from the power cut on.
var ErrCut = errors.New("the power is off")

// FS is the tree. The zero value is not ready; use New.
type FS struct {
	mu   sync.Mutex
	root *node
	ops  int
	cut  bool
	at   int // cut at this operation; 0 = never

	bytes, inodes int64 // limits; 0 = none
	failFlush     func(name string) bool
	trace         []string
	unlocked      *sync.Cond
}

// New is an empty tree that never cuts and never fills.
func New() *FS {
	f := &FS{root: newDir()}
	f.unlocked = sync.NewCond(&f.mu)
	return f
}

// CutAt sets the power to go at the n-th operation from now, counted from 1:
// that operation may or may not have happened. 0 takes it back.
func (f *FS) CutAt(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = 0
	if n > 0 {
		f.at = f.ops + n
	}
}

// Cut turns the power off now.
func (f *FS) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = true
	f.unlocked.Broadcast()
}

// Ops is how many operations that change something there were.
func (f *FS) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// Trace is the operations so far, for a test that failed.
func (f *FS) Trace() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.trace)
}

// Limit sets how many bytes and inodes there may be; 0 is no limit.
func (f *FS) Limit(bytes, inodes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes, f.inodes = bytes, inodes
}

// FailFlush has each Datasync of a file whose name matches fail with EIO and
// lose its pages, as Linux does: what was written stays readable, the next
// flush says yes, and the disk has none of it. nil ends it.
func (f *FS) FailFlush(match func(name string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failFlush = match
}

// step counts one changing operation. last says that the power goes with it: the
// operation is applied, if it makes nothing durable, and ErrCut returned.
func (f *FS) step(op, name string) (last bool, err error) {
	if f.cut {
		return false, ErrCut
	}
	f.ops++
	f.trace = append(f.trace, op+" "+name)
	if f.ops == f.at {
		f.cut = true
		f.unlocked.Broadcast()
		return true, nil
	}
	return false, nil
}

func ended(last bool) error {
	if last {
		return ErrCut
	}
	return nil
}

func fail(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// find walks to a node.
func (f *FS) find(name string) (*node, error) {
	if err := durable.CheckName(name); err != nil {
		return nil, err
	}
	n := f.root
	if name == "." {
		return n, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if !n.dir {
			return nil, syscall.ENOTDIR
		}
		next := n.now[part]
		if next == nil {
			return nil, syscall.ENOENT
		}
		n = next
	}
	return n, nil
}

// parent finds the directory that name is or will be in.
func (f *FS) parent(name string) (*node, string, error) {
	if err := durable.CheckName(name); err != nil {
		return nil, "", err
	}
	n, err := f.find(durable.Parent(name))
	if err != nil {
		return nil, "", err
	}
	if !n.dir {
		return nil, "", syscall.ENOTDIR
	}
	return n, path.Base(name), nil
}

// OpenFile implements durable.FS.
func (f *FS) OpenFile(name string, flag int, _ fs.FileMode) (durable.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return nil, ErrCut
	}
	dir, base, err := f.parent(name)
	if err != nil {
		return nil, fail("open", name, err)
	}
	n := dir.now[base]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, fail("open", name, syscall.ENOENT)
	case n != nil && flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, fail("open", name, syscall.EEXIST)
	case n != nil && n.dir:
		return nil, fail("open", name, syscall.EISDIR)
	}
	h := &file{fs: f, name: name, flag: flag}
	if n == nil {
		if err := f.roomForInode(); err != nil {
			return nil, fail("open", name, err)
		}
		last, err := f.step("create", name)
		if err != nil {
			return nil, err
		}
		n = &node{}
		dir.set(base, n, nil)
		if last {
			return nil, ErrCut
		}
	}
	h.node = n
	if flag&os.O_TRUNC != 0 && len(n.data) > 0 {
		last, err := f.step("truncate", name)
		if err != nil || last {
			return nil, ErrCut
		}
		n.resize(0)
	}
	return h, nil
}

// Rename implements durable.FS.
func (f *FS) Rename(oldName, newName string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return ErrCut
	}
	from, oldBase, err := f.parent(oldName)
	if err != nil {
		return fail("rename", oldName, err)
	}
	to, newBase, err := f.parent(newName)
	if err != nil {
		return fail("rename", newName, err)
	}
	n := from.now[oldBase]
	if n == nil {
		return fail("rename", oldName, syscall.ENOENT)
	}
	if t := to.now[newBase]; t != nil && t.dir {
		return fail("rename", newName, syscall.EISDIR)
	}
	last, err := f.step("rename", oldName+" "+newName)
	if err != nil {
		return err
	}
	if to.now[newBase] != n {
		added := to.set(newBase, n, nil)
		from.set(oldBase, nil, added)
	}
	return ended(last)
}

// Link implements durable.FS.
func (f *FS) Link(oldName, newName string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return ErrCut
	}
	n, err := f.find(oldName)
	if err != nil {
		return fail("link", oldName, err)
	}
	to, base, err := f.parent(newName)
	if err != nil {
		return fail("link", newName, err)
	}
	if n.dir {
		return fail("link", oldName, syscall.EPERM)
	}
	if to.now[base] != nil {
		return fail("link", newName, syscall.EEXIST)
	}
	last, err := f.step("link", oldName+" "+newName)
	if err != nil {
		return err
	}
	to.set(base, n, nil)
	return ended(last)
}

// Remove implements durable.FS.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return ErrCut
	}
	dir, base, err := f.parent(name)
	if err != nil {
		return fail("remove", name, err)
	}
	n := dir.now[base]
	if n == nil {
		return fail("remove", name, syscall.ENOENT)
	}
	if n.dir && len(n.now) > 0 {
		return fail("remove", name, syscall.ENOTEMPTY)
	}
	last, err := f.step("remove", name)
	if err != nil {
		return err
	}
	dir.set(base, nil, nil)
	return ended(last)
}

// Mkdir implements durable.FS.
func (f *FS) Mkdir(name string, _ fs.FileMode) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return ErrCut
	}
	dir, base, err := f.parent(name)
	if err != nil {
		return fail("mkdir", name, err)
	}
	if dir.now[base] != nil {
		return fail("mkdir", name, syscall.EEXIST)
	}
	if err := f.roomForInode(); err != nil {
		return fail("mkdir", name, err)
	}
	last, err := f.step("mkdir", name)
	if err != nil {
		return err
	}
	dir.set(base, newDir(), nil)
	return ended(last)
}

// ReadDir implements durable.FS; the entries come sorted.
func (f *FS) ReadDir(name string) iter.Seq2[durable.Entry, error] {
	return func(yield func(durable.Entry, error) bool) {
		entries, err := f.list(name)
		if err != nil {
			yield(durable.Entry{}, err)
			return
		}
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (f *FS) list(name string) ([]durable.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return nil, ErrCut
	}
	n, err := f.find(name)
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, fail("readdir", name, err)
	}
	var entries []durable.Entry
	for _, base := range slices.Sorted(maps.Keys(n.now)) {
		entries = append(entries, durable.Entry{Name: base, Type: n.now[base].mode()})
	}
	return entries, nil
}

// Stat implements durable.FS.
func (f *FS) Stat(name string) (durable.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return durable.Info{}, ErrCut
	}
	n, err := f.find(name)
	if err != nil {
		return durable.Info{}, fail("stat", name, err)
	}
	return durable.Info{Size: int64(len(n.data)), Mode: n.mode() | 0o600, Links: 1}, nil
}

// SyncDir implements durable.FS.
func (f *FS) SyncDir(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return ErrCut
	}
	n, err := f.find(name)
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return fail("sync directory", name, err)
	}
	last, err := f.step("syncdir", name)
	if err != nil || last {
		return ErrCut
	}
	n.syncNames()
	return nil
}

// Statfs implements durable.FS.
func (f *FS) Statfs() (durable.Space, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return durable.Space{}, ErrCut
	}
	bytes, inodes := f.used()
	s := durable.Space{FreeBytes: 1 << 40, FreeInodes: 1 << 40}
	if f.bytes > 0 {
		s.FreeBytes = max(0, f.bytes-bytes)
	}
	if f.inodes > 0 {
		s.FreeInodes = max(0, f.inodes-inodes)
	}
	return s, nil
}

// used counts what the tree holds.
func (f *FS) used() (bytes, inodes int64) {
	seen := make(map[*node]bool)
	var walk func(n *node)
	walk = func(n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		inodes++
		bytes += int64(len(n.data))
		for _, c := range n.now {
			walk(c)
		}
	}
	walk(f.root)
	return bytes, inodes
}

func (f *FS) roomForInode() error {
	if f.inodes > 0 {
		if _, n := f.used(); n >= f.inodes {
			return syscall.ENOSPC
		}
	}
	return nil
}

// roomFor says how many of the bytes from size on may be added.
func (f *FS) roomFor(more int64) int64 {
	if f.bytes == 0 || more <= 0 {
		return more
	}
	used, _ := f.used()
	return max(0, min(more, f.bytes-used))
}

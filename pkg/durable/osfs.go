package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// resolve keeps every lookup inside the tree.
const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS

// Dir is the FS of the operating system, below one directory.
type Dir struct {
	root *os.File
}

// Open holds the directory path. It may be closed when no File is needed any
// more through it.
func Open(path string) (*Dir, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open directory %s: %w", path, err)
	}
	return &Dir{root: os.NewFile(uintptr(fd), path)}, nil
}

// FromFile is the FS below a directory that was opened already (handed over by
// another process). It takes the descriptor.
func FromFile(root *os.File) *Dir { return &Dir{root: root} }

// Close gives the descriptor of the tree back.
func (d *Dir) Close() error { return d.root.Close() }

func (d *Dir) fd() int { return int(d.root.Fd()) }

// openat2 opens a name below the tree, through interruptions.
func (d *Dir) openat2(name string, flags int, perm fs.FileMode) (int, error) {
	if err := CheckName(name); err != nil {
		return -1, err
	}
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolve}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(perm.Perm())
	}
	for {
		fd, err := unix.Openat2(d.fd(), name, &how)
		// EAGAIN: a rename elsewhere made the kernel unsure of "beneath".
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
}

// at calls fn with a descriptor of the directory that name is in and the name's
// last part, for the calls that have no openat2 of their own.
func (d *Dir) at(op, name string, fn func(dir int, base string) error) error {
	if err := CheckName(name); err != nil {
		return err
	}
	parent := Parent(name)
	if parent == "." {
		return pathError(op, name, retry(func() error { return fn(d.fd(), name) }))
	}
	dir, err := d.openat2(parent, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return pathError(op, name, err)
	}
	defer unix.Close(dir)
	base := name[strings.LastIndexByte(name, '/')+1:]
	return pathError(op, name, retry(func() error { return fn(dir, base) }))
}

func retry(fn func() error) error {
	for {
		if err := fn(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// OpenFile implements FS.
func (d *Dir) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	fd, err := d.openat2(name, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK, perm)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	// O_NONBLOCK only kept a fifo from holding us up; a regular file that
	// had it would be put under the poller and passed on with it.
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, flag&(unix.O_APPEND|unix.O_NOATIME)); err != nil {
		_ = unix.Close(fd)
		return nil, pathError("open", name, err)
	}
	return &osFile{f: os.NewFile(uintptr(fd), name)}, nil
}

// Rename implements FS.
func (d *Dir) Rename(oldName, newName string) error {
	return d.at("rename", oldName, func(oldDir int, oldBase string) error {
		return d.at("rename to", newName, func(newDir int, newBase string) error {
			return unix.Renameat(oldDir, oldBase, newDir, newBase)
		})
	})
}

// Link implements FS.
func (d *Dir) Link(oldName, newName string) error {
	return d.at("link", oldName, func(oldDir int, oldBase string) error {
		return d.at("link to", newName, func(newDir int, newBase string) error {
			return unix.Linkat(oldDir, oldBase, newDir, newBase, 0)
		})
	})
}

// Remove implements FS.
func (d *Dir) Remove(name string) error {
	return d.at("remove", name, func(dir int, base string) error {
		err := unix.Unlinkat(dir, base, 0)
		if errors.Is(err, unix.EISDIR) {
			return unix.Unlinkat(dir, base, unix.AT_REMOVEDIR)
		}
		return err
	})
}

// Mkdir implements FS.
func (d *Dir) Mkdir(name string, perm fs.FileMode) error {
	return d.at("mkdir", name, func(dir int, base string) error {
		return unix.Mkdirat(dir, base, uint32(perm.Perm()))
	})
}

// readDirBatch is how many entries lie in memory during a walk.
const readDirBatch = 512

// ReadDir implements FS.
func (d *Dir) ReadDir(name string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		fd, err := d.openat2(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			yield(Entry{}, pathError("readdir", name, err))
			return
		}
		f := os.NewFile(uintptr(fd), name)
		defer f.Close()
		for {
			entries, err := f.ReadDir(readDirBatch)
			for _, e := range entries {
				if !yield(Entry{Name: e.Name(), Type: e.Type()}, nil) {
					return
				}
			}
			if len(entries) == 0 {
				if err != nil && !isEOF(err) {
					yield(Entry{}, fmt.Errorf("readdir %s: %w", name, err))
				}
				return
			}
		}
	}
}

// Stat implements FS.
func (d *Dir) Stat(name string) (Info, error) {
	var st unix.Stat_t
	err := d.at("stat", name, func(dir int, base string) error {
		return unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	if err != nil {
		return Info{}, err
	}
	return Info{
		Size:    st.Size,
		Mode:    fileMode(st.Mode),
		Links:   uint64(st.Nlink),
		UID:     st.Uid,
		ModTime: time.Unix(st.Mtim.Unix()),
	}, nil
}

// fileMode turns a kernel mode into Go's, as far as the spool cares.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	default:
		m |= fs.ModeIrregular
	}
	return m
}

// SyncDir implements FS.
func (d *Dir) SyncDir(name string) error {
	fd, err := d.openat2(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.EACCES) {
		// We may make names in it but not list them (maildrop/, for pickup), and
		// what can't be opened can't be flushed alone. The tree is on one file
		// system, so all of that file system serves.
		return pathError("sync directory", name, retry(func() error { return unix.Syncfs(d.fd()) }))
	}
	if err != nil {
		return pathError("sync directory", name, err)
	}
	defer unix.Close(fd)
	return pathError("sync directory", name, retry(func() error { return unix.Fsync(fd) }))
}

// Statfs implements FS.
func (d *Dir) Statfs() (Space, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(d.fd(), &st) }); err != nil {
		return Space{}, pathError("statfs", ".", err)
	}
	s := Space{FreeBytes: int64(st.Bavail) * st.Bsize, FreeInodes: int64(st.Ffree)}
	if st.Files == 0 {
		// btrfs and others make inodes as they are needed and say 0 of 0.
		s.FreeInodes = 1 << 40
	}
	return s, nil
}

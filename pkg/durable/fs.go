package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"strings"
	"time"
)

// ErrLocked is returned by File.TryLock when another holder has the lock.
var ErrLocked = errors.New("locked by another process")

// ErrBadName is wrapped by the error for a name that could leave the tree.
var ErrBadName = errors.New("not a path inside the tree")

// FS is one directory tree. Names are relative, with slashes; "." is the tree
// itself. Errors wrap those of package fs and syscall (fs.ErrNotExist, ENOSPC).
// An FS may be used by several goroutines.
type FS interface {
	// OpenFile opens as os.OpenFile does; it never follows a symbolic link.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Rename replaces what bears the new name. Over a power cut the old name
	// can't be lost before the new one is known, if not SyncDir makes it so:
	// flush the directory of the new name first.
	Rename(oldName, newName string) error
	// Link gives a file a second name; fs.ErrExist if that is taken.
	Link(oldName, newName string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// Mkdir makes one directory; fs.ErrExist if the name is taken.
	Mkdir(name string, perm fs.FileMode) error
	// ReadDir tells the entries of a directory in no order, a few at a time,
	// so that a million of them never lie in memory. Entries made or removed
	// during the walk may be told or not. An error ends the walk.
	ReadDir(name string) iter.Seq2[Entry, error]
	// Stat describes a name without following a symbolic link.
	Stat(name string) (Info, error)
	// SyncDir makes durable the names in a directory.
	SyncDir(name string) error
	// Statfs tells what is free for us (not what is free for root).
	Statfs() (Space, error)
}

// File is an open file. Its methods may be used by several goroutines, but for
// Write, Lock and Close.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Write writes at the position of this descriptor (its end with O_APPEND).
	io.Writer
	// Datasync returns when the bytes written are on stable storage. After an
	// error it must not be called again on this file: the answer would be a
	// lie.
	Datasync() error
	// Preallocate makes the file size bytes long, filled with zeros that are
	// on stable storage, so that later writes into it can't meet a full disk
	// and their Datasync has no metadata to flush. The file must be new.
	Preallocate(size int64) error
	// Truncate sets the length.
	Truncate(size int64) error
	// Size is the length now.
	Size() (int64, error)
	// Lock waits for the exclusive lock of the file, which ends with Close or
	// with the process.
	Lock() error
	// TryLock is Lock that gives ErrLocked instead of waiting.
	TryLock() error
	// OS is the file to pass on to another process, nil where there is none
	// (crashfs). It is closed with the File.
	OS() *os.File
	// Close gives the descriptor back. It makes nothing durable.
	Close() error
}

// Entry is one name in a directory.
type Entry struct {
	Name string
	// Type has the type bits alone: 0 for a regular file, fs.ModeDir, ...
	Type fs.FileMode
}

// Info describes a file.
type Info struct {
	Size    int64
	Mode    fs.FileMode
	Links   uint64
	UID     uint32
	ModTime time.Time
}

// Space is what a file system has left.
type Space struct {
	FreeBytes  int64
	FreeInodes int64
}

// CheckName says whether name stays inside a tree: relative, clean, no "..".
func CheckName(name string) error {
	if !fs.ValidPath(name) || strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("%q: %w", name, ErrBadName)
	}
	return nil
}

// MkdirAll makes a directory and those above it, and flushes each directory in
// which it made one, so that the path is there after a power cut.
func MkdirAll(fsys FS, name string, perm fs.FileMode) error {
	if err := CheckName(name); err != nil || name == "." {
		return err
	}
	parent := Parent(name)
	if err := MkdirAll(fsys, parent, perm); err != nil {
		return err
	}
	switch err := fsys.Mkdir(name, perm); {
	case errors.Is(err, fs.ErrExist):
		// It may be there and not yet be durable (made by a process that was
		// killed before its flush), but flushing 1,024 parents at each start
		// is not worth it: who puts a file in flushes up to here anyway.
		return nil
	case err != nil:
		return err
	}
	// A crash here leaves a directory that may vanish; nothing is in it yet.
	return fsys.SyncDir(parent)
}

// Parent is the directory that name is in: "." for a name without a slash.
func Parent(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return "."
}

package localdeliver

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"filbert/pkg/durable"
)

const (
	// maxCounted bounds the names that one count looks at. What a larger mailbox
	// has beyond it is not counted: it is over any sensible limit by then.
	maxCounted = 100_000
	// maxFolders bounds the folders of a mailbox.
	maxFolders = 1000
	// maxLooked bounds the messages whose time of reading is asked for.
	maxLooked = 10_000
)

// warningMark stands in the names of our warnings, which are not counted: a
// user who is told that his mailbox is full shall not find it fuller by that.
const warningMark = ".filbert-warning."

// countMaildir counts the messages of a Maildir and its folders (directories
// whose name begins with a dot, Maildir++), Trash too: it fills the same disk. all is
// false when there are more than maxCounted.
func countMaildir(fsys durable.FS) (u usage, all bool, err error) {
	left := maxCounted
	for _, folder := range folders(fsys) {
		for _, sub := range []string{"cur", "new"} {
			if err := countDir(fsys, folder+sub, &u, &left); err != nil {
				return u, false, err
			}
		}
	}
	return u, left >= 0, nil
}

// folders are the prefixes of the names of all folders, "" for the inbox.
func folders(fsys durable.FS) []string {
	out := []string{""}
	seen := 0
	for e, err := range fsys.ReadDir(".") {
		if seen++; err != nil || len(out) >= maxFolders || seen > maxCounted {
			break
		}
		if e.Type.IsDir() && len(e.Name) > 1 && e.Name[0] == '.' && e.Name != ".." {
			out = append(out, e.Name+"/")
		}
	}
	return out
}

func countDir(fsys durable.FS, dir string, u *usage, left *int) error {
	for e, err := range fsys.ReadDir(dir) {
		if isAbsent(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if *left--; *left < 0 {
			return nil
		}
		if e.Type != 0 || e.Name[0] == '.' || strings.Contains(e.Name, warningMark) {
			continue
		}
		size, ok := sizeInName(e.Name)
		if !ok {
			info, err := fsys.Stat(dir + "/" + e.Name)
			if err != nil {
				continue // renamed or removed meanwhile
			}
			size = info.Size
		}
		u.bytes += size
		u.messages++
	}
	return nil
}

// isAbsent tells whether a directory counts as none: not there, no directory, a
// link, another file system, or closed by its owner.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR) ||
		errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EXDEV)
}

// sizeInName is the size that Maildir++ has in the name of a file: "...,S=1234",
// with ",W=..." or ":2,flags" behind it.
func sizeInName(name string) (int64, bool) {
	_, rest, ok := strings.Cut(name, ",S=")
	if !ok {
		return 0, false
	}
	if end := strings.IndexAny(rest, ",:"); end >= 0 {
		rest = rest[:end]
	}
	n, err := strconv.ParseUint(rest, 10, 63)
	if err != nil || n > 1<<40 {
		return 0, false
	}
	return int64(n), true
}

// changedSince tells whether messages may have come, gone or moved since then.
// The same moment counts as later: clocks of file systems are coarse.
func changedSince(fsys durable.FS, since time.Time) bool {
	for _, folder := range folders(fsys) {
		for _, sub := range []string{"cur", "new"} {
			if info, err := fsys.Stat(folder + sub); err == nil && !info.ModTime.Before(since) {
				return true
			}
		}
	}
	return false
}

// maildirRead is when a Maildir was last read, as far as can be seen; enough is
// a time from which on it does not matter any more.
//
// Mail programs move what they have seen from new to cur and put flags into its
// name, both of which change the time of cur. Who only reads old mail again is
// seen by the times of access of the files there, where the file system keeps
// them: with "relatime", the usual, to the day; with "noatime" not at all. A backup
// that reads files looks like a reader. A mailbox that was never read has the time
// when it was made.
//
// The time of access of directories says nothing: counting, ours too, sets it.
func maildirRead(fsys durable.FS, path string, enough time.Time) time.Time {
	var last time.Time
	all := folders(fsys)
	for _, folder := range all {
		if info, err := fsys.Stat(folder + "cur"); err == nil && info.ModTime.After(last) {
			last = info.ModTime
		}
	}
	left := maxLooked
	for _, folder := range all {
		for e, err := range fsys.ReadDir(folder + "cur") {
			if left--; err != nil || left < 0 || last.After(enough) {
				break
			}
			if info, err := os.Lstat(filepath.Join(path, folder, "cur", e.Name)); err == nil && accessed(info).After(last) {
				last = accessed(info)
			}
		}
	}
	return last
}

// accessed is the time of access of a file.
func accessed(info fs.FileInfo) time.Time {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}
	}
	return time.Unix(st.Atim.Unix())
}

// noATime is ST_NOATIME of statfs(2).
const noATime = 0x400

// mboxRead is when an mbox was last read: the time of access, which our own
// appending leaves alone (O_NOATIME). It is the zero time, not known, on a file system
// that does not keep it, and for what can't be asked. With "relatime" it is right to
// the day, as a time of access that is older than the last delivery is always renewed.
func mboxRead(f *os.File) time.Time {
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &st); err != nil || st.Flags&noATime != 0 {
		return time.Time{}
	}
	info, err := f.Stat()
	if err != nil {
		return time.Time{}
	}
	return accessed(info)
}

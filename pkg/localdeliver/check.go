package localdeliver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"filbert/pkg/durable"
	"filbert/pkg/outcome"
)

// errUnsafe is wrapped by the errors about owner, mode, kind and links.
var errUnsafe = errors.New("not safe to write")

// checkHome refuses a home directory that is missing (a file server may be
// away), somebody else's, or open to others, who could then swap the mailbox
// between our check and our write.
func (d *delivery) checkHome(home string) *outcome.Outcome {
	info, o := lookAtHome(home)
	if o != nil {
		return o
	}
	if info.Mode().Perm()&0o022 != 0 && d.t.WritableHome != "allow" {
		return deferred(outcome.Permission, statusMailbox,
			"others may write to the home directory %s (mode %04o): chmod go-w, or set writable_home = \"allow\" for transport %q",
			home, info.Mode().Perm(), d.Job.Transport)
	}
	return nil
}

// lookAtHome refuses a home directory that is missing or somebody else's.
func lookAtHome(home string) (fs.FileInfo, *outcome.Outcome) {
	info, err := os.Stat(home)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, deferred(outcome.HomeMissing, statusHome, "the home directory %s is not there", home)
	case err != nil:
		return nil, fileOutcome("look at the home directory", err)
	case !info.IsDir():
		return nil, deferred(outcome.HomeMissing, statusHome, "the home directory %s is no directory", home)
	}
	if owner := ownerOf(info); owner != os.Geteuid() && owner != 0 {
		return nil, deferred(outcome.Permission, statusMailbox, "the home directory %s belongs to uid %d", home, owner)
	}
	return info, nil
}

func ownerOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// checkMailboxFile says of an open file whether it may be appended to: a
// regular file of this user's, closed to others, with one name. The owner is what
// keeps us out of another's file, whatever is swapped meanwhile, because it is asked
// of the file that we have open. The count of names only catches accidents: a
// user who races with us can lead us to another file of his own, which he may
// write to anyway.
func checkMailboxFile(f *os.File) (fs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: it is no regular file", errUnsafe)
	case st.Nlink != 1:
		return nil, fmt.Errorf("%w: it has %d names", errUnsafe, st.Nlink)
	case int(st.Uid) != os.Geteuid():
		return nil, fmt.Errorf("%w: it belongs to uid %d", errUnsafe, st.Uid)
	case info.Mode().Perm()&0o002 != 0:
		return nil, fmt.Errorf("%w: everybody may write to it", errUnsafe)
	}
	return info, nil
}

// openDir opens the directory of a mailbox, making those below base that are
// not there. The last one may be a symbolic link (people move a Maildir to
// another disk); whose it is, is checked on what was opened.
func openDir(base, path string) (*durable.Dir, error) {
	dir, err := open(path)
	if errors.Is(err, fs.ErrNotExist) && path != base {
		if err := makeDirs(base, path); err != nil {
			return nil, err
		}
		dir, err = open(path)
	}
	if err != nil {
		return nil, err
	}
	return durable.FromFile(dir), nil
}

func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY, 0)
}

// makeDirs makes path and what is missing between base and it. The umask takes
// the rights of others away.
func makeDirs(base, path string) error {
	rel, err := filepath.Rel(base, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return fmt.Errorf("%w: %s does not lie below %s", errUnsafe, path, base)
	}
	root, err := durable.Open(base)
	if err != nil {
		return err
	}
	defer root.Close()
	return durable.MkdirAll(root, rel, 0o777)
}

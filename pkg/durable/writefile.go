package durable

import (
	"errors"
	"io/fs"
	"os"
)

// tempSuffix marks a file that WriteFile has not finished.
const tempSuffix = ".new"

// WriteFile makes name a file with exactly the parts as its content, durably:
// after a power cut the name has the whole old content, or the whole new one,
// and the new one for certain once WriteFile returned nil. It serves one writer
// per name. What a crash leaves is name + ".new", which the next WriteFile of
// that name removes.
func WriteFile(fsys FS, name string, perm fs.FileMode, parts ...[]byte) error {
	temp := name + tempSuffix
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeTemp(fsys, temp, perm, parts); err != nil {
		// Best effort: a leftover is removed by the next call anyway.
		_ = fsys.Remove(temp)
		return err
	}
	// A crash here leaves the old file and a whole temporary one.
	if err := fsys.Rename(temp, name); err != nil {
		_ = fsys.Remove(temp)
		return err
	}
	// A crash here leaves either file under the name, each whole: the bytes
	// were flushed before the rename.
	return fsys.SyncDir(Parent(name))
}

func writeTemp(fsys FS, temp string, perm fs.FileMode, parts [][]byte) error {
	f, err := fsys.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := f.Write(p); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	// Without this flush the rename could become durable before the bytes,
	// and a power cut would leave an empty file under the good name.
	if err := f.Datasync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// ReadFile reads all of a file that is at most max bytes long.
func ReadFile(fsys FS, name string, max int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > max {
		return nil, pathError("read", name, ErrTooLarge)
	}
	buf := make([]byte, size)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !isEOF(err) {
		return nil, err
	}
	return buf[:n], nil
}

// ErrTooLarge is returned by ReadFile for a file beyond its limit.
var ErrTooLarge = errors.New("file is larger than it may be")

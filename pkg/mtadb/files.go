package mtadb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// files is the database's directory as Pebble sees it: every name is looked up
// from one descriptor, which was opened before the process gave up all paths, so that
// it works in an empty root and under Landlock, and nothing in a
// damaged database can lead out of it.
type files struct{ root *os.Root }

const (
	fileMode = 0o600
	dirMode  = 0o700
)

func (f files) open(name string, flag int) (vfs.File, error) {
	file, err := f.root.OpenFile(name, flag, fileMode)
	if err != nil {
		return nil, err
	}
	return dbFile{file}, nil
}

// Create makes a new file of this name.
func (f files) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return f.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// Link makes a second name.
func (f files) Link(oldname, newname string) error { return f.root.Link(oldname, newname) }

// Open opens for reading.
func (f files) Open(name string, _ ...vfs.OpenOption) (vfs.File, error) {
	return f.open(name, os.O_RDONLY)
}

// OpenReadWrite opens or makes a file.
func (f files) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	return f.open(name, os.O_RDWR|os.O_CREATE)
}

// OpenDir opens a directory to flush it.
func (f files) OpenDir(name string) (vfs.File, error) { return f.open(name, os.O_RDONLY) }

// Remove removes one name.
func (f files) Remove(name string) error { return f.root.Remove(name) }

// RemoveAll removes all below a name.
func (f files) RemoveAll(name string) error { return f.root.RemoveAll(name) }

// Rename moves a name over another.
func (f files) Rename(oldname, newname string) error { return f.root.Rename(oldname, newname) }

// ReuseForWrite gives a file that is not wanted any more another name.
func (f files) ReuseForWrite(oldname, newname string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.root.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return f.open(newname, os.O_RDWR|os.O_CREATE)
}

// MkdirAll makes a directory.
func (f files) MkdirAll(dir string, _ os.FileMode) error { return f.root.MkdirAll(dir, dirMode) }

// Lock keeps a second mtadb out. The descriptor's end ends it.
func (f files) Lock(name string) (io.Closer, error) {
	file, err := f.root.OpenFile(name, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock the database: %w", err)
	}
	return file, nil
}

// List is the names in a directory.
func (f files) List(dir string) ([]string, error) {
	d, err := f.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// Stat describes a file.
func (f files) Stat(name string) (vfs.FileInfo, error) {
	info, err := f.root.Stat(name)
	if err != nil {
		return nil, err
	}
	return fileInfo{info}, nil
}

// PathBase is path.Base.
func (files) PathBase(p string) string { return path.Base(p) }

// PathJoin is path.Join.
func (files) PathJoin(elem ...string) string { return path.Join(elem...) }

// PathDir is path.Dir.
func (files) PathDir(p string) string { return path.Dir(p) }

// GetDiskUsage asks the file system how full it is.
func (f files) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d, err := f.root.Open(".")
	if err != nil {
		return vfs.DiskUsage{}, err
	}
	defer d.Close()
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(int(d.Fd()), &st); err != nil {
		return vfs.DiskUsage{}, fmt.Errorf("ask how full the disk is: %w", err)
	}
	unit := uint64(st.Bsize)
	return vfs.DiskUsage{
		AvailBytes: st.Bavail * unit, TotalBytes: st.Blocks * unit, UsedBytes: (st.Blocks - st.Bfree) * unit,
	}, nil
}

// Unwrap is nothing: there is no other below.
func (files) Unwrap() vfs.FS { return nil }

// dbFile is one file of it.
type dbFile struct{ *os.File }

// Preallocate reserves room, where the file system can.
func (f dbFile) Preallocate(offset, length int64) error {
	err := syscall.Fallocate(int(f.File.Fd()), 1 /* FALLOC_FL_KEEP_SIZE */, offset, length)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.EPERM) {
		return nil
	}
	return err
}

// Stat describes the file.
func (f dbFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	if err != nil {
		return nil, err
	}
	return fileInfo{info}, nil
}

// SyncTo has the kernel begin to write, so that the flush at the end of a large file
// is short. It promises nothing.
func (f dbFile) SyncTo(length int64) (fullSync bool, err error) {
	return false, syscall.SyncFileRange(int(f.File.Fd()), 0, length, 2 /* SYNC_FILE_RANGE_WRITE */)
}

// SyncData is fdatasync(2).
func (f dbFile) SyncData() error {
	for {
		if err := syscall.Fdatasync(int(f.File.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// Prefetch does nothing: the kernel reads ahead by itself.
func (dbFile) Prefetch(int64, int64) error { return nil }

// Fd keeps the descriptor to ourselves.
func (dbFile) Fd() uintptr { return vfs.InvalidFd }

type fileInfo struct{ fs.FileInfo }

// DeviceID is not told: nothing here compares devices.
func (fileInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

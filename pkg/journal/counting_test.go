package journal

import (
	"io/fs"
	"sync/atomic"

	"filbert/pkg/durable"
)

// countingFS counts flushes of file data.
type countingFS struct {
	durable.FS
	flushes atomic.Int64
}

func (c *countingFS) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return countingFile{f, c}, nil
}

type countingFile struct {
	durable.File
	fs *countingFS
}

func (f countingFile) Datasync() error {
	f.fs.flushes.Add(1)
	return f.File.Datasync()
}

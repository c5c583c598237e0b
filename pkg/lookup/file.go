package lookup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Bounds of looking after a file. Ours.
const (
	// checkEvery is how often a file is looked at, at most.
	checkEvery = 100 * time.Millisecond
	// settle is how long a file must have been left alone before a new version
	// is taken: an editor may be in the middle of writing it.
	settle = 250 * time.Millisecond
)

// ErrUnfit is wrapped by the errors about what a file is: not regular, too
// large, changed while it was read.
var ErrUnfit = errors.New("not fit to be read")

// Source describes a file and what is made of it.
type Source[T any] struct {
	Path    string
	MaxSize int64
	// Parse makes the value. name is Path, for messages.
	Parse func(name string, data []byte) (T, error)
	// Take, if set, is called instead of Parse with the open file, which it keeps
	// when it gives no error: for files that are not read as a whole.
	Take func(name string, f *os.File, size int64) (T, error)
	// Drop, if set, is called with each value that is in force no longer; another
	// goroutine may still have it from Get.
	Drop func(T)
	// Fit, if set, says why a file must not be used, by its owner and mode.
	Fit func(fs.FileInfo) error
	// Complain is told once about each version that was not taken while an
	// older one is in force. nil: nobody is.
	Complain func(error)
}

// File is a value made of a file. All methods may be called by many goroutines.
type File[T any] struct {
	src     Source[T]
	current atomic.Pointer[version[T]]
	looked  atomic.Int64 // when the file was last looked at, Unix nanoseconds

	mu      sync.Mutex // held while a new version is read
	refused stamp      // the last version that was complained about
	closed  bool
}

// version is what was made of the file at one time, or why nothing was.
type version[T any] struct {
	value T
	err   error
	stamp stamp
}

// stamp tells versions of a file apart without reading it.
type stamp struct {
	inode, size  int64
	mtime, ctime int64
	missing      bool
}

// NewFile reads the file for the first time. An error is kept for Get, too: a
// file may appear later.
func NewFile[T any](src Source[T]) (*File[T], error) {
	f := &File[T]{src: src}
	return f, f.Reload()
}

// Path is the file's.
func (f *File[T]) Path() string { return f.src.Path }

// Reload reads the file now, however young it is. After an error the old value
// stays in force, except that a file that is gone is gone.
func (f *File[T]) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.read()
	old := f.current.Load()
	if v.err == nil || old == nil || old.err != nil || errors.Is(v.err, fs.ErrNotExist) {
		f.replace(v)
	}
	f.refused = stamp{}
	return v.err
}

// replace puts a version in force.
func (f *File[T]) replace(v *version[T]) {
	old := f.current.Swap(v)
	if old != nil && old.err == nil && f.src.Drop != nil {
		f.src.Drop(old.value)
	}
}

// Close drops the value in force; Get gives an error from then on.
func (f *File[T]) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.replace(&version[T]{err: fmt.Errorf("read %s: %w", f.src.Path, fs.ErrClosed)})
}

// Get is the value in force at the time now; it first looks whether there is a
// new version. The error is fs.ErrNotExist when there is no file, else
// something that a person has to mend.
func (f *File[T]) Get(now time.Time) (T, error) {
	if last := f.looked.Load(); now.UnixNano()-last >= int64(checkEvery) && f.looked.CompareAndSwap(last, now.UnixNano()) {
		f.refresh(now)
	}
	v := f.current.Load()
	return v.value, v.err
}

// refresh takes a new version if there is a good one. Whoever comes while
// another is at it goes on with the old one.
func (f *File[T]) refresh(now time.Time) {
	if !f.mu.TryLock() {
		return
	}
	defer f.mu.Unlock()
	old := f.current.Load()
	s := stampOf(f.src.Path)
	if f.closed || s == old.stamp || s == f.refused {
		return
	}
	if age := now.UnixNano() - s.mtime; !s.missing && age >= 0 && age < int64(settle) {
		return
	}
	v := f.read()
	if v.err == nil || old.err != nil {
		f.replace(v)
		return
	}
	f.refused = s
	if f.src.Complain != nil {
		f.src.Complain(fmt.Errorf("keep the old content: %w", v.err))
	}
}

// read makes a version of the file as it is.
func (f *File[T]) read() *version[T] {
	v := &version[T]{stamp: stampOf(f.src.Path)}
	if f.src.Take != nil {
		f.take(v)
		return v
	}
	data, after, err := readFile(f.src.Path, f.src.MaxSize, f.src.Fit)
	switch {
	case err != nil:
		v.err = err
	case after != v.stamp:
		// It is being replaced or written: the next look will tell.
		v.err = fmt.Errorf("read %s: %w: it changed meanwhile", f.src.Path, ErrUnfit)
		v.stamp = stamp{}
	default:
		v.value, v.err = f.src.Parse(f.src.Path, data)
	}
	return v
}

// take is read for a file that stays open.
func (f *File[T]) take(v *version[T]) {
	in, info, err := openFile(f.src.Path, f.src.MaxSize, f.src.Fit)
	if err != nil {
		v.err = err
		return
	}
	if makeStamp(info) != v.stamp {
		v.err = fmt.Errorf("read %s: %w: it changed meanwhile", f.src.Path, ErrUnfit)
		v.stamp = stamp{}
	} else {
		v.value, v.err = f.src.Take(f.src.Path, in, info.Size())
	}
	if v.err != nil {
		in.Close()
	}
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{missing: true}
	}
	return makeStamp(info)
}

func makeStamp(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mtime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode, s.ctime = int64(st.Ino), st.Ctim.Nano()
	}
	return s
}

// ReadFile reads a regular file of bounded size.
func ReadFile(path string, maxSize int64) ([]byte, error) {
	data, _, err := readFile(path, maxSize, nil)
	return data, err
}

// openFile opens a regular file of bounded size that is fit to be read.
func openFile(path string, maxSize int64, fit func(fs.FileInfo) error) (*os.File, fs.FileInfo, error) {
	// Without O_NONBLOCK the opening of a named pipe would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("read %s: %w: it is no regular file", path, ErrUnfit)
	case info.Size() > maxSize:
		err = fmt.Errorf("read %s: %w: it has more than %d bytes", path, ErrUnfit, maxSize)
	case fit != nil:
		if err = fit(info); err != nil {
			err = fmt.Errorf("read %s: %w: %w", path, ErrUnfit, err)
		}
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

func readFile(path string, maxSize int64, fit func(fs.FileInfo) error) ([]byte, stamp, error) {
	f, info, err := openFile(path, maxSize, fit)
	if err != nil {
		return nil, stamp{}, err
	}
	defer f.Close()
	data := make([]byte, info.Size())
	n, err := io.ReadFull(f, data)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, stamp{}, fmt.Errorf("read %s: %w", path, err)
	}
	if info, err = f.Stat(); err != nil {
		return nil, stamp{}, err
	}
	if int64(n) != info.Size() {
		return nil, stamp{}, fmt.Errorf("read %s: %w: it changed meanwhile", path, ErrUnfit)
	}
	return data, makeStamp(info), nil
}

package cdb

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrTooLarge says that a database would not fit into the format.
var ErrTooLarge = errors.New("more than a constant database can hold")

// Writer makes a database. It keeps eight octets of memory for each record.
type Writer struct {
	path string
	f    *os.File
	out  *bufio.Writer
	pos  int64
	// tables are the slots to write, by the hash's low 8 bits.
	tables [256][]slot
	count  int64
}

type slot struct{ hash, pos uint32 }

// Create begins a database that shall replace the one at path.
func Create(path string, mode os.FileMode) (*Writer, error) {
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	w := &Writer{path: path, f: f, out: bufio.NewWriterSize(f, 64<<10), pos: headerSize}
	if _, err := f.Seek(headerSize, 0); err != nil {
		w.Abort()
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	return w, nil
}

// Add writes a record. A key may be added several times.
func (w *Writer) Add(key, value []byte) error {
	size := 8 + int64(len(key)) + int64(len(value))
	if w.pos+size+2*slotSize*(w.count+1) > MaxSize {
		return fmt.Errorf("add to %s: %w", w.path, ErrTooLarge)
	}
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(key)))
	binary.LittleEndian.PutUint32(head[4:], uint32(len(value)))
	for _, b := range [][]byte{head[:], key, value} {
		if _, err := w.out.Write(b); err != nil {
			return fmt.Errorf("add to %s: %w", w.path, err)
		}
	}
	h := hash(key)
	w.tables[h&0xff] = append(w.tables[h&0xff], slot{h, uint32(w.pos)})
	w.pos += size
	w.count++
	return nil
}

// Commit writes the hash tables and puts the database in its place.
func (w *Writer) Commit() error {
	err := w.finish()
	if err == nil {
		err = w.f.Sync()
	}
	if e := w.f.Close(); err == nil {
		err = e
	}
	tmp := w.path + ".tmp"
	if err == nil {
		// Not before the content is on the disk: else a power cut could leave a new
		// name with nothing behind it.
		err = os.Rename(tmp, w.path)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("write %s: %w", w.path, err)
	}
	return syncDir(filepath.Dir(w.path))
}

// Abort leaves all as it was.
func (w *Writer) Abort() {
	w.f.Close()
	os.Remove(w.path + ".tmp")
}

func (w *Writer) finish() error {
	var head [headerSize]byte
	for i, entries := range w.tables {
		n := 2 * uint32(len(entries))
		binary.LittleEndian.PutUint32(head[8*i:], uint32(w.pos))
		binary.LittleEndian.PutUint32(head[8*i+4:], n)
		if err := w.table(entries, n); err != nil {
			return err
		}
		w.pos += int64(n) * slotSize
	}
	if err := w.out.Flush(); err != nil {
		return err
	}
	_, err := w.f.WriteAt(head[:], 0)
	return err
}

// table writes one hash table; half of its slots stay free.
func (w *Writer) table(entries []slot, n uint32) error {
	slots := make([]slot, n)
	for _, e := range entries {
		i := (e.hash >> 8) % n
		for slots[i].pos != 0 {
			i = (i + 1) % n
		}
		slots[i] = e
	}
	var b [slotSize]byte
	for _, s := range slots {
		binary.LittleEndian.PutUint32(b[:], s.hash)
		binary.LittleEndian.PutUint32(b[4:], s.pos)
		if _, err := w.out.Write(b[:]); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

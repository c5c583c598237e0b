package main

import (
	"encoding/binary"
	"log"
	"os"
	"sync"
	"syscall"
)

// device is the memory of the block device and the log of what happened to it.
// The log is a sequence of records: kind (1 byte: 'W'rite, 'F'lush, 'M'ark),
// offset (8 bytes, big-endian), length (8 bytes), and as many bytes.
type device struct {
	flags

	mu   sync.Mutex // one order for all
	data []byte
	log  *os.File
}

// note writes a record. A log with a gap would have a test judge states that
// never were.
func (d *device) note(kind byte, off int64, b []byte) {
	head := make([]byte, 17, 17+len(b))
	head[0] = kind
	binary.BigEndian.PutUint64(head[1:], uint64(off))
	binary.BigEndian.PutUint64(head[9:], uint64(len(b)))
	if _, err := d.log.Write(append(head, b...)); err != nil {
		log.Fatal(err)
	}
}

func (d *device) read(b []byte, off int64) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off >= int64(len(d.data)) {
		return 0
	}
	return copy(b, d.data[off:])
}

func (d *device) write(b []byte, off int64) (uint32, syscall.Errno) {
	if d.failWrite.Load() {
		return 0, syscall.EIO
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if off+int64(len(b)) > int64(len(d.data)) {
		return 0, syscall.ENOSPC
	}
	copy(d.data[off:], b)
	d.note('W', off, b)
	return uint32(len(b)), 0
}

func (d *device) flush() syscall.Errno {
	if d.failFlush.Load() {
		return syscall.EIO
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note('F', 0, nil)
	return 0
}

func (d *device) mark(b []byte) (uint32, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note('M', 0, b)
	return uint32(len(b)), 0
}

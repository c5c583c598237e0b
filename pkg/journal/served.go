package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// Served tells one delivery of a record from its others: a digest of whatever the
// caller tells its recipients apart by, and bits of what it wants to know of it.
type Served struct {
	Key   [16]byte
	Flags uint8
}

const (
	servedSize = 40
	// maxServedFile bounds what one use of a segment may write. Beyond it nothing
	// is kept, as if it had not been asked for.
	maxServedFile = 16 << 20
)

// servedFile is the entries of one segment's use, as they are being written.
type servedFile struct {
	generation uint32
	file       durable.File // nil: none yet
	size       int64
	failed     bool // nothing more is written in this use
}

// servedKey names a record.
type servedKey struct{ segment, generation, index uint32 }

// servedEntry is one entry of a record. The id keeps it from being taken for one of
// another use, whatever became of the generations.
type servedEntry struct {
	id queueid.ID
	Served
}

func (k servedKey) put(b []byte, s servedEntry) {
	_ = b[servedSize-1]
	binary.BigEndian.PutUint64(b, uint64(s.id))
	binary.BigEndian.PutUint32(b[8:], k.generation)
	binary.BigEndian.PutUint32(b[12:], k.index)
	copy(b[16:32], s.Key[:])
	binary.BigEndian.PutUint32(b[32:], uint32(s.Flags))
	binary.BigEndian.PutUint32(b[36:], checksum(b[:36]))
}

// readServed decodes one entry; ok is false for whatever could not have been
// written.
func readServed(segment uint32, b []byte) (k servedKey, s servedEntry, ok bool) {
	if len(b) < servedSize || binary.BigEndian.Uint32(b[36:]) != checksum(b[:36]) {
		return k, s, false
	}
	k = servedKey{segment, binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])}
	s.id = queueid.ID(binary.BigEndian.Uint64(b))
	copy(s.Key[:], b[16:32])
	flags := binary.BigEndian.Uint32(b[32:])
	s.Flags = uint8(flags)
	return k, s, k.generation != 0 && s.id != 0 && uint32(s.Flags) == flags
}

// Serve keeps which deliveries of an undone record were made, for the next run: the
// entries are in the page cache when it returns, which a killed process does not
// take along and a power cut does. Nothing may rest on it but that a delivery is
// not made twice, so that what can't be written is told to Problem alone.
func (m *Marker) Serve(ref Ref, id queueid.ID, made []Served) {
	b := make([]byte, servedSize*len(made))
	k := servedKey{ref.Segment, ref.Generation, ref.Index}
	for i, s := range made {
		k.put(b[servedSize*i:], servedEntry{id, s})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.serving[ref.Segment]
	if f == nil {
		f = &servedFile{}
		m.serving[ref.Segment] = f
	}
	if f.generation > ref.Generation || m.closed {
		return
	}
	if err := f.write(m.fs, ref, b); err != nil {
		f.failed = true
		m.opt.Problem(fmt.Errorf("note who was served of %s: %w", ref, err))
	}
}

func (f *servedFile) write(fsys durable.FS, ref Ref, b []byte) error {
	if f.generation < ref.Generation {
		f.generation, f.failed = ref.Generation, false
		f.size = 0 // what is left of the use before bears its generation
	}
	if f.failed || f.size+int64(len(b)) > maxServedFile {
		return nil
	}
	if f.file == nil {
		// Its name is not flushed: after a power cut there may be none.
		file, err := fsys.OpenFile(servedName(ref.Segment), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		f.file = file
	}
	if _, err := f.file.WriteAt(b, f.size); err != nil {
		return err
	}
	f.size += int64(len(b))
	return nil
}

// ServedOf is what an earlier run has kept of an undone record. Each entry stands for
// one delivery; some may be missing, none was not made.
func (m *Marker) ServedOf(ref Ref, id queueid.ID) []Served {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Served
	for _, s := range m.served[servedKey{ref.Segment, ref.Generation, ref.Index}] {
		if s.id == id {
			out = append(out, s.Served)
		}
	}
	return out
}

// loadServed reads what an earlier run has kept about the records of a segment's
// current use that have no mark.
func (m *Marker) loadServed(number, generation uint32, done bitmap) {
	b, err := durable.ReadFile(m.fs, servedName(number), maxServedFile)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			m.opt.Problem(fmt.Errorf("read who was served of segment %08d: %w", number, err))
		}
		return
	}
	f := &servedFile{generation: generation}
	m.serving[number] = f
	for at := 0; at+servedSize <= len(b); at += servedSize {
		k, s, ok := readServed(number, b[at:])
		if !ok || k.generation != generation {
			continue // torn, or of another use; there may be more of this one behind it
		}
		f.size = int64(at) + servedSize
		if !done.has(k.index) {
			m.served[k] = append(m.served[k], s)
		}
	}
}

func (m *Marker) closeServed() error {
	var errs []error
	for _, f := range m.serving {
		if f.file != nil {
			errs = append(errs, f.file.Close())
		}
	}
	return errors.Join(errs...)
}

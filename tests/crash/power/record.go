package power

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// record is one thing that happened to the device, as command disk notes it.
type record struct {
	kind byte // 'W'rite, 'F'lush or 'M'ark
	off  int64
	data []byte
}

// maxRecord bounds a record's data: no write of a loop device is larger.
const maxRecord = 16 << 20

func readRecords(path string) ([]record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	var out []record
	for {
		var head [17]byte
		if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("record %d: %w", len(out), err)
		}
		n := binary.BigEndian.Uint64(head[9:])
		if n > maxRecord {
			return nil, fmt.Errorf("record %d has %d bytes", len(out), n)
		}
		rec := record{kind: head[0], off: int64(binary.BigEndian.Uint64(head[1:])), data: make([]byte, n)}
		if _, err := io.ReadFull(r, rec.data); err != nil {
			return nil, fmt.Errorf("record %d: %w", len(out), err)
		}
		out = append(out, rec)
	}
}

// replay makes the states in which a power cut could have left the device.
type replay struct {
	records []record
	flushed []byte // the device after all writes before the record at
	at      int
}

func newReplay(records []record, size int64) *replay {
	return &replay{records: records, flushed: make([]byte, size)}
}

// cut gives the device after a power cut before the record p: what was written
// before the last flush is there; of each later write, each piece of so many
// bytes is there if keep says so. Cuts must come in ascending order.
func (r *replay) cut(p, piece int, keep func() bool) []byte {
	last := r.at
	for i := r.at; i < p; i++ {
		if r.records[i].kind == 'F' {
			last = i
		}
	}
	for _, rec := range r.records[r.at:last] {
		if rec.kind == 'W' {
			copy(r.flushed[rec.off:], rec.data)
		}
	}
	r.at = last
	state := append([]byte(nil), r.flushed...)
	for _, rec := range r.records[last:p] {
		if rec.kind != 'W' {
			continue
		}
		for from := 0; from < len(rec.data); from += piece {
			if keep() {
				copy(state[rec.off+int64(from):], rec.data[from:min(from+piece, len(rec.data))])
			}
		}
	}
	return state
}

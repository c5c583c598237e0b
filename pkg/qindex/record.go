package qindex

import (
	"encoding/binary"
	"errors"

	"filbert/pkg/queueid"
)

// version is that of the records and of the files. It changes with every field.
const version = 1

// Record is what is kept of a message. To add a field: here, in appendTo and decode, and
// another version above.
type Record struct {
	ID      queueid.ID
	Dropped bool // it has left the schedule, and nothing below is said

	Held      bool
	Unsure    bool // it was being worked on, or not asked about: what is on disk may be newer
	Addressed bool // its addresses stand in the other file
	Many      bool // it has too many for that
	Report    bool
	Now       bool // the next attempt is by an administrator's order
	Ordered   bool // a standing order keeps it, or some of it

	Due      int64 // Unix milliseconds
	GiveUp   int64 // Unix seconds
	Arrived  int64 // Unix seconds
	HoldEnds int64 // Unix seconds, 0 = does not end
	Size     int64
	Order    uint64 // of Ordered: the number
	Waiting  uint32
	Owner    uint32
	Sender   uint32
	Attempts uint16
	Warned   uint8
	Priority int8
	NextHop  []byte // valid until the next record is told
}

const (
	maxHop = 1024
	// maxRecord bounds a record of either file.
	maxRecord = maxHop + MaxAddresses + 256
)

var errRecord = errors.New("a record that makes no sense")

// The bits of a record's flags.
const (
	bitDropped = 1 << iota
	bitHeld
	bitUnsure
	bitAddressed
	bitMany
	bitReport
	bitNow
	bitOrdered
)

func (r *Record) bits() [8]*bool {
	return [8]*bool{&r.Dropped, &r.Held, &r.Unsure, &r.Addressed, &r.Many, &r.Report, &r.Now, &r.Ordered}
}

func (r *Record) flags() (b byte) {
	for i, p := range r.bits() {
		if *p {
			b |= 1 << i
		}
	}
	return b
}

// appendTo encodes the record.
func (r *Record) appendTo(b []byte) []byte {
	b = append(b, r.flags())
	b = binary.BigEndian.AppendUint64(b, uint64(r.ID))
	if r.Dropped {
		return b
	}
	for _, v := range [...]uint64{
		uint64(max(r.Due, 0)), uint64(r.GiveUp), uint64(r.Arrived), uint64(r.HoldEnds), uint64(r.Size), r.Order,
		uint64(r.Waiting), uint64(r.Owner), uint64(r.Sender), uint64(r.Attempts), uint64(r.Warned), uint64(uint8(r.Priority)),
	} {
		b = binary.AppendUvarint(b, v)
	}
	hop := r.NextHop
	if len(hop) > maxHop {
		hop = nil // the spool knows it
	}
	b = binary.AppendUvarint(b, uint64(len(hop)))
	return append(b, hop...)
}

// decode reads one record off the beginning of b and tells what is behind it.
func (r *Record) decode(b []byte) ([]byte, error) {
	if len(b) < 9 {
		return nil, errRecord
	}
	*r = Record{ID: queueid.ID(binary.BigEndian.Uint64(b[1:]))}
	for i, p := range r.bits() {
		*p = b[0]&(1<<i) != 0
	}
	b = b[9:]
	if r.Dropped {
		return b, nil
	}
	var v [12]uint64
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(b); n <= 0 {
			return nil, errRecord
		}
		b = b[n:]
	}
	hop, n := binary.Uvarint(b)
	if n <= 0 || hop > maxHop || hop > uint64(len(b)-n) {
		return nil, errRecord
	}
	r.Due, r.GiveUp, r.Arrived, r.HoldEnds, r.Size, r.Order = int64(v[0]), int64(v[1]), int64(v[2]), int64(v[3]), int64(v[4]), v[5]
	r.Waiting, r.Owner, r.Sender, r.Attempts, r.Warned = uint32(v[6]), uint32(v[7]), uint32(v[8]), uint16(v[9]), uint8(v[10])
	r.Priority = int8(uint8(v[11]))
	r.NextHop = b[n : n+int(hop)]
	return b[n+int(hop):], nil
}

// MaxAddresses bounds the addresses of one message that are kept, in octets.
const MaxAddresses = 4096

// Fits tells whether addresses can be kept.
func Fits(addresses []string) bool {
	n := 0
	for _, a := range addresses {
		n += len(a) + 2
	}
	return n <= MaxAddresses && len(addresses) > 0
}

func appendAddresses(b []byte, id queueid.ID, addresses []string) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(id))
	b = binary.AppendUvarint(b, uint64(len(addresses)))
	for _, a := range addresses {
		b = binary.AppendUvarint(b, uint64(len(a)))
		b = append(b, a...)
	}
	return b
}

// decodeAddresses reads the addresses of one message off the beginning of text into list.
func decodeAddresses(text string, list []string) (id queueid.ID, _ []string, rest string, err error) {
	if len(text) < 8 {
		return 0, nil, "", errRecord
	}
	for i := range 8 {
		id = id<<8 | queueid.ID(text[i])
	}
	n, text, ok := uvarint(text[8:])
	if !ok || n > MaxAddresses {
		return 0, nil, "", errRecord
	}
	list = list[:0]
	for range n {
		var size uint64
		if size, text, ok = uvarint(text); !ok || size > uint64(len(text)) {
			return 0, nil, "", errRecord
		}
		list = append(list, text[:size])
		text = text[size:]
	}
	return id, list, text, nil
}

// uvarint is binary.Uvarint of a string, for numbers up to 2^28.
func uvarint(s string) (v uint64, rest string, ok bool) {
	for i := 0; i < len(s) && i < 4; i++ {
		v |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return v, s[i+1:], true
		}
	}
	return 0, "", false
}

package mtadb

import (
	"encoding/binary"

	"filbert/pkg/history"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
)

// The first byte of a key says what it is of. The layout is on disk; a change of
// it is a new database directory.
//
//	v                               version of the layout
//	t                               the places in the logs up to which they were read
//	c KIND                          how many records of a kind there are, and how large
//	m KIND key                      a record
//	x KIND expires(8)  key          when it expires, in steps of expiryStep
//	b PART(4)                       a part of the history: its first id
//	e PART(4) id(8) ms(8) hash(4)   events of a message
//	i PART(4) term(8) id(8)         a message that a term leads to
//
// The history is in parts of consecutive ids, so that the oldest can be dropped as a
// range of keys, and new entries are merged with few old ones.
const (
	keyVersion = 'v'
	keyTails   = 't'
	keyCount   = 'c'
	keyRecord  = 'm'
	keyExpiry  = 'x'
	keyPart    = 'b'
	keyEvents  = 'e'
	keyIndex   = 'i'
)

func recordKey(kind proto.MemoryKind, key string) []byte {
	return append([]byte{keyRecord, byte(kind)}, key...)
}

// expiryStep is how exactly a record expires: a record that is renewed often has few
// entries in the order of expiry.
const expiryStep = 600

func expiryKey(kind proto.MemoryKind, expires int64, key string) []byte {
	b := make([]byte, 0, 10+len(key))
	b = append(b, keyExpiry, byte(kind))
	b = binary.BigEndian.AppendUint64(b, uint64((expires+expiryStep-1)/expiryStep*expiryStep))
	return append(b, key...)
}

func partKey(table byte, part uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{table}, part)
}

func eventsKey(part uint32, id queueid.ID) []byte {
	return binary.BigEndian.AppendUint64(partKey(keyEvents, part), uint64(id))
}

func termKey(part uint32, term uint64) []byte {
	return binary.BigEndian.AppendUint64(partKey(keyIndex, part), term)
}

// termHash stands for a term in the index. Two terms may share one: what is found is
// compared with the term itself. FNV-1a, as it is on disk and must not change.
func termHash(t history.Term) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	h = (h ^ uint64(t.Kind)) * prime
	for i := range len(t.Text) {
		h = (h ^ uint64(t.Text[i])) * prime
	}
	return h
}

// after is the least key behind all that begin with prefix.
func after(prefix []byte) []byte {
	b := append([]byte(nil), prefix...)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
	return nil
}

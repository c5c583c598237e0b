package proto

import "filbert/pkg/wire"

// The arrow to what the suite remembers: dispatch (hosts and addresses that
// failed, what servers can do), router (what other servers said in call-outs) ->
// mtadb. Administrators ask by a path (control.go).
//
//	1. C: Remember    records to keep; later ones of a key take the place of earlier
//	2. S: Remembered  they are kept, though perhaps not yet on the disk
//
//	1. C: Recall      records by kind and the beginning of their keys
//	2. S: Recalled    a page of them, in the order of keys
//
//	1. C: Forget      records by kind and key
//	2. S: Forgotten   how many there were
//
//	   S: Forgot      notice, to who keeps the kind: an administrator had these
//	                  forgotten, and what he knows of them himself has to go, too
//
// Nothing here is needed to deliver a message: while mtadb is away, its callers go
// on with what they have in memory. A power cut may lose the last seconds. Who may
// call: dispatch, router; each reads and writes its own kinds alone (MayKeep).

// MemoryKind says what a record is about. Each has a version in its value, which
// its writer alone reads.
type MemoryKind uint8

// The kinds.
const (
	MemoryHost    MemoryKind = 1 // retry state of a server: dispatch
	MemoryAddress MemoryKind = 2 // retry state of an address: dispatch
	MemoryQuirk   MemoryKind = 3 // what a server can and can't do: dispatch, as smtp-client says
	// 4 was administrators' orders, which live in a file of qmgr's.
	MemoryCallout MemoryKind = 5 // what servers said of addresses: router
)

// MayKeep tells whether a program reads and writes records of a kind.
func MayKeep(caller Service, kind MemoryKind) bool {
	switch kind {
	case MemoryHost, MemoryAddress, MemoryQuirk:
		return caller == Dispatch
	case MemoryCallout:
		return caller == Router
	}
	return false
}

// MemoryKinds lists all of them.
func MemoryKinds() []MemoryKind {
	return []MemoryKind{MemoryHost, MemoryAddress, MemoryQuirk, MemoryCallout}
}

// String is the name that people see, "" of no kind.
func (k MemoryKind) String() string {
	switch k {
	case MemoryHost:
		return "host"
	case MemoryAddress:
		return "address"
	case MemoryQuirk:
		return "quirk"
	case MemoryCallout:
		return "callout"
	}
	return ""
}

// Bounds of records.
const (
	maxRecords    = 10_000 // of one message
	MaxMemoryKey  = 1000
	MaxMemoryData = 1 << 20
)

// MemoryRecord is one thing that is remembered.
type MemoryRecord struct {
	Kind    MemoryKind
	Key     string
	Value   []byte
	Expires int64 // Unix seconds; 0 = as its kind says
}

func (r *MemoryRecord) encodeTo(e *wire.Encoder) {
	e.U8(uint8(r.Kind))
	e.String(r.Key)
	e.Bytes(r.Value)
	e.I64(r.Expires)
}

func (r *MemoryRecord) decodeFrom(d *wire.Decoder) {
	r.Kind = MemoryKind(d.U8())
	r.Key = d.String(MaxMemoryKey)
	r.Value = d.Bytes(MaxMemoryData)
	r.Expires = d.I64()
}

func encodeRecords(e *wire.Encoder, list []MemoryRecord) {
	e.Count(len(list))
	for i := range list {
		list[i].encodeTo(e)
	}
}

func decodeRecords(d *wire.Decoder) []MemoryRecord {
	list := make([]MemoryRecord, d.Count(maxRecords, 16))
	for i := range list {
		list[i].decodeFrom(d)
	}
	return list
}

// Remember keeps records.
type Remember struct {
	Records []MemoryRecord
}

// Kind is KindRemember.
func (*Remember) Kind() uint16 { return KindRemember }

// EncodeTo appends the message.
func (m *Remember) EncodeTo(e *wire.Encoder) { encodeRecords(e, m.Records) }

// DecodeFrom reads it.
func (m *Remember) DecodeFrom(d *wire.Decoder) { m.Records = decodeRecords(d) }

// Remembered acknowledges.
type Remembered struct{}

// Kind is KindRemembered.
func (*Remembered) Kind() uint16 { return KindRemembered }

// EncodeTo appends nothing.
func (*Remembered) EncodeTo(*wire.Encoder) {}

// DecodeFrom reads nothing.
func (*Remembered) DecodeFrom(*wire.Decoder) {}

// Recall asks for records.
type Recall struct {
	Of     MemoryKind
	Prefix string // of keys
	After  string // the last key of the page before; "" = from the beginning
	Limit  uint32 // 0 = as many as an answer holds
}

// Kind is KindRecall.
func (*Recall) Kind() uint16 { return KindRecall }

// EncodeTo appends the message.
func (m *Recall) EncodeTo(e *wire.Encoder) {
	e.U8(uint8(m.Of))
	e.String(m.Prefix)
	e.String(m.After)
	e.U32(m.Limit)
}

// DecodeFrom reads it.
func (m *Recall) DecodeFrom(d *wire.Decoder) {
	m.Of = MemoryKind(d.U8())
	m.Prefix = d.String(MaxMemoryKey)
	m.After = d.String(MaxMemoryKey)
	m.Limit = d.U32()
}

// Recalled is a page of records.
type Recalled struct {
	Records []MemoryRecord
	More    bool
}

// Kind is KindRecalled.
func (*Recalled) Kind() uint16 { return KindRecalled }

// EncodeTo appends the message.
func (m *Recalled) EncodeTo(e *wire.Encoder) {
	encodeRecords(e, m.Records)
	e.Bool(m.More)
}

// DecodeFrom reads it.
func (m *Recalled) DecodeFrom(d *wire.Decoder) {
	m.Records = decodeRecords(d)
	m.More = d.Bool()
}

// Forget drops records.
type Forget struct {
	Of     MemoryKind
	Key    string
	Prefix bool // all whose keys begin with Key
}

// Kind is KindForget.
func (*Forget) Kind() uint16 { return KindForget }

// EncodeTo appends the message.
func (m *Forget) EncodeTo(e *wire.Encoder) {
	e.U8(uint8(m.Of))
	e.String(m.Key)
	e.Bool(m.Prefix)
}

// DecodeFrom reads it.
func (m *Forget) DecodeFrom(d *wire.Decoder) {
	m.Of = MemoryKind(d.U8())
	m.Key = d.String(MaxMemoryKey)
	m.Prefix = d.Bool()
}

// Forgotten says how many there were.
type Forgotten struct {
	Count uint32
}

// Kind is KindForgotten.
func (*Forgotten) Kind() uint16 { return KindForgotten }

// EncodeTo appends the message.
func (m *Forgotten) EncodeTo(e *wire.Encoder) { e.U32(m.Count) }

// DecodeFrom reads it.
func (m *Forgotten) DecodeFrom(d *wire.Decoder) { m.Count = d.U32() }

// Forgot tells what an administrator had forgotten.
type Forgot Forget

// Kind is KindForgot.
func (*Forgot) Kind() uint16 { return KindForgot }

// EncodeTo appends the message.
func (m *Forgot) EncodeTo(e *wire.Encoder) { (*Forget)(m).EncodeTo(e) }

// DecodeFrom reads it.
func (m *Forgot) DecodeFrom(d *wire.Decoder) { (*Forget)(m).DecodeFrom(d) }

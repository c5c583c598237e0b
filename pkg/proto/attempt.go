package proto

import (
	"filbert/pkg/envelope"
	"filbert/pkg/journal"
	"filbert/pkg/wire"
)

// The arrow behind acceptance: cleanup -> dispatch.
//
//	1. C: Attempt      a message that is now ours, with its place in the journal
//	                   (content inline, or a read-only descriptor)
//	2. S: Taken        dispatch answers for it from here on
//	*. S: SegmentFree  a notice: every record of a segment is done
//	*. C: Rescan       a notice: there are records that were not handed over,
//	                   as too many were under way
//
// Who may call: cleanup. Losing an Attempt loses nothing: dispatch walks the
// journal when it starts and whenever cleanup's connection comes up, and attempts
// each record that has no done mark and is not already under way.

// Attempt hands a message over for its first attempt.
type Attempt struct {
	Ref      journal.Ref
	Envelope envelope.Envelope
	Content  Content
}

// Kind is KindAttempt.
func (*Attempt) Kind() uint16 { return KindAttempt }

// EncodeTo appends the message.
func (m *Attempt) EncodeTo(e *wire.Encoder) {
	m.Ref.EncodeTo(e)
	m.Envelope.EncodeTo(e)
	m.Content.EncodeTo(e)
}

// DecodeFrom reads it.
func (m *Attempt) DecodeFrom(d *wire.Decoder) {
	m.Ref.DecodeFrom(d)
	m.Envelope.DecodeFrom(d)
	m.Content.DecodeFrom(d)
}

// Taken says that dispatch has the message in hand.
type Taken struct{}

// Kind is KindTaken.
func (*Taken) Kind() uint16 { return KindTaken }

// EncodeTo appends nothing.
func (*Taken) EncodeTo(*wire.Encoder) {}

// DecodeFrom reads nothing.
func (*Taken) DecodeFrom(*wire.Decoder) {}

// SegmentFree says that all records of a generation of a segment are done and
// their marks are on disk, so that cleanup may reuse it.
type SegmentFree struct {
	Segment    uint32
	Generation uint32
}

// Kind is KindSegmentFree.
func (*SegmentFree) Kind() uint16 { return KindSegmentFree }

// EncodeTo appends the message.
func (m *SegmentFree) EncodeTo(e *wire.Encoder) {
	e.U32(m.Segment)
	e.U32(m.Generation)
}

// DecodeFrom reads it.
func (m *SegmentFree) DecodeFrom(d *wire.Decoder) {
	m.Segment = d.U32()
	m.Generation = d.U32()
}

// Rescan asks dispatch to walk the journal.
type Rescan struct{}

// Kind is KindRescan.
func (*Rescan) Kind() uint16 { return KindRescan }

// EncodeTo appends nothing.
func (*Rescan) EncodeTo(*wire.Encoder) {}

// DecodeFrom reads nothing.
func (*Rescan) DecodeFrom(*wire.Decoder) {}

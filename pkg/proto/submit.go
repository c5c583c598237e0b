package proto

import (
	"filbert/pkg/envelope"
	"filbert/pkg/queueid"
	"filbert/pkg/smtp"
	"filbert/pkg/wire"
)

// The arrow into the suite: smtpd, pickup, bounce -> cleanup.
//
//	1. C: Submission    envelope and, if it is small, the content
//	   C: (large content: the frame carries the read end of a pipe; the caller
//	      writes chunks into it, each a 4-byte length and that many bytes; a
//	      length of 0 says "that was all". End of file without it: given up,
//	      cleanup forgets the message.)
//	2. S: Acceptance    after the flush: the message is ours; or why not
//	*. S: Capacity      a notice, at the start and whenever it changes
//
// Who may call: smtpd, bounce (brokered by master), and on the path socket
// run/submit/cleanup members of the drop group (pickup); for those the kernel's
// peer credentials say who the user is, whatever the envelope claims.
//
// cleanup checks everything again: addresses, limits, bare CR and LF.

// ChunkMax is the longest chunk on the pipe of a large submission.
const ChunkMax = 64 << 10

// Submission asks cleanup to take a message.
type Submission struct {
	Envelope envelope.Envelope // ID, Arrived, Size, Hops are cleanup's to fill in
	// Complete asks for the missing fields of RFC 5322, section 3.6 (Date,
	// Message-ID, From): local submission and submission listeners only.
	Complete bool
	// Content is Inline, or empty with a pipe beside it.
	Content Content
}

// Kind is KindSubmission.
func (*Submission) Kind() uint16 { return KindSubmission }

// EncodeTo appends the message.
func (m *Submission) EncodeTo(e *wire.Encoder) {
	m.Envelope.EncodeTo(e)
	e.Bool(m.Complete)
	m.Content.EncodeTo(e)
}

// DecodeFrom reads it.
func (m *Submission) DecodeFrom(d *wire.Decoder) {
	m.Envelope.DecodeFrom(d)
	m.Complete = d.Bool()
	m.Content.DecodeFrom(d)
}

// Acceptance is cleanup's answer: Code 250 and the ID when the message is on
// stable storage, otherwise the code, status and text for the submitter.
type Acceptance struct {
	ID     queueid.ID
	Code   int // 250, or 4xx, 5xx
	Status smtp.Status
	Text   string // our own words, printable ASCII
}

// Kind is KindAcceptance.
func (*Acceptance) Kind() uint16 { return KindAcceptance }

// EncodeTo appends the message.
func (m *Acceptance) EncodeTo(e *wire.Encoder) {
	e.U64(uint64(m.ID))
	e.U16(uint16(m.Code))
	encodeStatus(e, m.Status)
	encodeWords(e, m.Text, maxWords)
}

// DecodeFrom reads it.
func (m *Acceptance) DecodeFrom(d *wire.Decoder) {
	m.ID = queueid.ID(d.U64())
	m.Code = int(d.U16())
	m.Status = decodeStatus(d)
	m.Text = d.String(maxWords)
}

// Capacity tells the submitters whether there is room, so that smtpd can say
// 452 4.3.1 at MAIL, before the client sends its data.
type Capacity struct {
	Accepting bool
	Free      int64 // bytes that a message may have; a larger SIZE is 452 4.3.1
	Reason    string
}

// Kind is KindCapacity.
func (*Capacity) Kind() uint16 { return KindCapacity }

// EncodeTo appends the message.
func (m *Capacity) EncodeTo(e *wire.Encoder) {
	e.Bool(m.Accepting)
	e.I64(m.Free)
	encodeWords(e, m.Reason, maxWords)
}

// DecodeFrom reads it.
func (m *Capacity) DecodeFrom(d *wire.Decoder) {
	m.Accepting = d.Bool()
	m.Free = d.I64()
	m.Reason = d.String(maxWords)
}

func encodeStatus(e *wire.Encoder, s smtp.Status) {
	e.U16(uint16(s.Class))
	e.U16(uint16(s.Subject))
	e.U16(uint16(s.Detail))
}

func decodeStatus(d *wire.Decoder) smtp.Status {
	return smtp.Status{Class: int(d.U16()), Subject: int(d.U16()), Detail: int(d.U16())}
}

package proto

import (
	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

// The arrow back to the sender: dispatch -> bounce.
//
//	1. C: Report       what became of some recipients of one message
//	                   (content inline, or a read-only descriptor)
//	2. S: ReportDone   the report is durable (bounce had cleanup's 250), or there
//	                   was none to send; or a temporary failure: ask again
//
// Who may call: dispatch. Only after Done is true may the recipients be marked
// as finished: until then the failure is nobody's but ours.

// ReportKind says what is reported.
type ReportKind uint8

// The reports of RFC 3464.
const (
	ReportFailure ReportKind = 1
	ReportDelay   ReportKind = 2
	ReportSuccess ReportKind = 3
	// ReportAfter says that what was reported as delayed has been delivered after
	// all; it is sent where the site wants that, and to nobody else.
	ReportAfter ReportKind = 4
)

// Report asks for one delivery report. bounce decides from the envelope, its
// source and each recipient's NOTIFY whether anything is sent, and to whom.
type Report struct {
	What     ReportKind
	Envelope envelope.Envelope // Recipients are those reported on
	Outcomes []outcome.Outcome // one for each
	Output   []untrusted.Text  // of commands, one for each, or none at all
	// Words tells of each output whether it is what this site has to say to the
	// sender (settings.Transport.Returns); one for each, or none at all.
	Words    []bool
	Known    []Known // one for each, or none at all
	GiveUpAt int64   // delay: Unix seconds when it will be given up
	Content  Content
}

// Kind is KindReport.
func (*Report) Kind() uint16 { return KindReport }

// EncodeTo appends the message.
func (m *Report) EncodeTo(e *wire.Encoder) {
	e.U8(uint8(m.What))
	m.Envelope.EncodeTo(e)
	e.Count(len(m.Outcomes))
	for i := range m.Outcomes {
		m.Outcomes[i].EncodeTo(e)
	}
	e.Count(len(m.Output))
	for _, t := range m.Output {
		e.String(t.Clip(maxOutput).ForWire())
	}
	e.Count(len(m.Words))
	for _, words := range m.Words {
		e.Bool(words)
	}
	e.Count(len(m.Known))
	for i := range m.Known {
		m.Known[i].encodeTo(e)
	}
	e.I64(m.GiveUpAt)
	m.Content.EncodeTo(e)
}

// DecodeFrom reads it.
func (m *Report) DecodeFrom(d *wire.Decoder) {
	m.What = ReportKind(d.U8())
	m.Envelope.DecodeFrom(d)
	m.Outcomes = make([]outcome.Outcome, d.Count(envelope.MaxRecipients, 8))
	for i := range m.Outcomes {
		m.Outcomes[i].DecodeFrom(d)
	}
	if n := d.Count(envelope.MaxRecipients, 4); n > 0 {
		m.Output = make([]untrusted.Text, n)
	}
	for i := range m.Output {
		m.Output[i] = untrusted.FromWire(d.String(maxOutput))
	}
	if n := d.Count(envelope.MaxRecipients, 1); n > 0 {
		m.Words = make([]bool, n)
	}
	for i := range m.Words {
		m.Words[i] = d.Bool()
	}
	if n := d.Count(envelope.MaxRecipients, 8); n > 0 {
		m.Known = make([]Known, n)
	}
	for i := range m.Known {
		m.Known[i].decodeFrom(d)
	}
	m.GiveUpAt = d.I64()
	m.Content.DecodeFrom(d)
	if m.What < ReportFailure || m.What > ReportAfter || len(m.Outcomes) != len(m.Envelope.Recipients) {
		d.Fail("report of kind %d, %d outcomes for %d recipients", m.What, len(m.Outcomes), len(m.Envelope.Recipients))
	}
}

// ReportDone is bounce's answer.
type ReportDone struct {
	Done   bool // durable, or nothing was to be sent
	Sent   bool // a report was sent
	Code   int  // when not Done: cleanup's code
	Status smtp.Status
	Text   string
}

// Kind is KindReportDone.
func (*ReportDone) Kind() uint16 { return KindReportDone }

// EncodeTo appends the message.
func (m *ReportDone) EncodeTo(e *wire.Encoder) {
	e.Bool(m.Done)
	e.Bool(m.Sent)
	e.U16(uint16(m.Code))
	encodeStatus(e, m.Status)
	encodeWords(e, m.Text, maxWords)
}

// DecodeFrom reads it.
func (m *ReportDone) DecodeFrom(d *wire.Decoder) {
	m.Done = d.Bool()
	m.Sent = d.Bool()
	m.Code = int(d.U16())
	m.Status = decodeStatus(d)
	m.Text = d.String(maxWords)
}

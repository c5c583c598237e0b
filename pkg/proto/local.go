package proto

import (
	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/queueid"
	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

// The arrow to mailboxes and commands: dispatch -> local-deliver.
//
//	1. C: LocalJob    one message for one recipient
//	                  (content inline, or a read-only descriptor)
//	2. S: LocalDone   its outcome, and what a command printed
//
// Who may call: dispatch. local-deliver is root in a separated instance: it
// takes nothing from the job on trust but the name of the user, looks that user
// up itself, and lets a child that is the user do all the rest.

// LocalJob is one local delivery.
type LocalJob struct {
	ID        queueid.ID
	Sender    mailaddr.Address
	Recipient envelope.Recipient // Kind and Target say whether it is an alias's pipe or file
	Transport string             // name in settings.Transports (maildir, mbox, pipe)
	User      *User              // nil: the transport's own user
	Detail    string             // what followed the separator of the local part
	Edit      *envelope.Edit     // of the header; nil = nothing
	Content   Content
}

// Kind is KindLocalJob.
func (*LocalJob) Kind() uint16 { return KindLocalJob }

// EncodeTo appends the message.
func (m *LocalJob) EncodeTo(e *wire.Encoder) {
	e.U64(uint64(m.ID))
	m.Sender.EncodeTo(e)
	m.Recipient.EncodeTo(e)
	e.String(m.Transport)
	encodeUser(e, m.User)
	e.String(m.Detail)
	m.Edit.EncodeTo(e)
	m.Content.EncodeTo(e)
}

// DecodeFrom reads it.
func (m *LocalJob) DecodeFrom(d *wire.Decoder) {
	m.ID = queueid.ID(d.U64())
	m.Sender = mailaddr.DecodeFrom(d)
	m.Recipient.DecodeFrom(d)
	m.Transport = d.String(maxName)
	m.User = decodeUser(d)
	m.Detail = d.String(maxName)
	m.Edit = envelope.DecodeEdit(d)
	m.Content.DecodeFrom(d)
}

// LocalDone is what became of it.
type LocalDone struct {
	Outcome outcome.Outcome
	Output  untrusted.Text // what a pipe's command printed, cut to the transport's max_output
}

// Kind is KindLocalDone.
func (*LocalDone) Kind() uint16 { return KindLocalDone }

// EncodeTo appends the message.
func (m *LocalDone) EncodeTo(e *wire.Encoder) {
	m.Outcome.EncodeTo(e)
	e.String(m.Output.Clip(maxOutput).ForWire())
}

// DecodeFrom reads it.
func (m *LocalDone) DecodeFrom(d *wire.Decoder) {
	m.Outcome.DecodeFrom(d)
	m.Output = untrusted.FromWire(d.String(maxOutput))
}

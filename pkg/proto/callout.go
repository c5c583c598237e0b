package proto

import (
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/wire"
)

// The arrow that asks another server whether it would take mail: router ->
// smtp-client.
//
//	1. C: CalloutQuery    the hosts of a domain, and a recipient there
//	2. S: CalloutAnswer   what the server said to RCPT; nothing is sent
//
// Who may call: router.

// CalloutQuery is a dialogue up to RCPT.
type CalloutQuery struct {
	Transport string // name in settings.Transports (driver smtp or lmtp)
	NextHop   string
	Hosts     []Host
	Sender    mailaddr.Address // the null sender, unless the site says otherwise
	Recipient mailaddr.Address
	// Random is an address of the same domain that nobody can have, asked first: a
	// server that takes it takes everything, and proves nothing. The null address asks none.
	Random  mailaddr.Address
	Timeout int64 // milliseconds, for the whole dialogue
}

// Kind is KindCallout.
func (*CalloutQuery) Kind() uint16 { return KindCallout }

// EncodeTo appends the message.
func (m *CalloutQuery) EncodeTo(e *wire.Encoder) {
	e.String(m.Transport)
	e.String(m.NextHop)
	encodeHosts(e, m.Hosts)
	m.Sender.EncodeTo(e)
	m.Recipient.EncodeTo(e)
	m.Random.EncodeTo(e)
	e.I64(m.Timeout)
}

// DecodeFrom reads it.
func (m *CalloutQuery) DecodeFrom(d *wire.Decoder) {
	m.Transport = d.String(maxName)
	m.NextHop = d.String(maxName)
	m.Hosts = decodeHosts(d)
	m.Sender = mailaddr.DecodeFrom(d)
	m.Recipient = mailaddr.DecodeFrom(d)
	m.Random = mailaddr.DecodeFrom(d)
	m.Timeout = d.I64()
}

// CalloutAnswer is what the server said.
type CalloutAnswer struct {
	// Outcome is Delivered when the server would take mail for the recipient,
	// Failed when not, Deferred when that could not be found out.
	Outcome outcome.Outcome
	// AcceptsAll: it would take mail for Random too.
	AcceptsAll bool
}

// Kind is KindCalledOut.
func (*CalloutAnswer) Kind() uint16 { return KindCalledOut }

// EncodeTo appends the message.
func (m *CalloutAnswer) EncodeTo(e *wire.Encoder) {
	m.Outcome.EncodeTo(e)
	e.Bool(m.AcceptsAll)
}

// DecodeFrom reads it.
func (m *CalloutAnswer) DecodeFrom(d *wire.Decoder) {
	m.Outcome.DecodeFrom(d)
	m.AcceptsAll = d.Bool()
}

package proto

import (
	"net/netip"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/queueid"
	"filbert/pkg/quirk"
	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

// The arrow to other machines: dispatch -> smtp-client.
//
//	1. C: RemoteJob    one message for some recipients of one next hop
//	                   (content inline, or a read-only descriptor), and what
//	                   follows from what is known of its hosts
//	2. S: RemoteDone   one outcome for each recipient, in order, and what
//	                   each server did that was tried, and showed of itself
//
// Who may call: dispatch. smtp-client keeps connections between jobs, keyed by
// transport, address, port and TLS policy.

// RemoteJob is one SMTP or LMTP transaction to make.
type RemoteJob struct {
	ID         queueid.ID
	Sender     mailaddr.Address
	Recipients []envelope.Recipient
	Transport  string // name in settings.Transports (driver smtp or lmtp)
	NextHop    string
	Hosts      []Host // empty: the transport's own socket or host
	Body       envelope.Body
	UTF8       bool
	Return     envelope.Return
	EnvID      untrusted.Text
	Has8Bit    bool
	LongLine   bool
	Edit       *envelope.Edit // of the header; nil = nothing
	// Credentials log in to the hosts; nil = the transport's, or none.
	Credentials *Credentials
	// Priority and By are passed on to a server that knows them (RFC 6710, RFC 2852).
	Priority int8
	By       envelope.DeliverBy
	// Sources are the addresses to connect from, at most one of each family; where there
	// is none, it is the transport's first.
	Sources []netip.Addr
	Content Content
	Hints   []Hint // of those hosts of which something is known
}

// Kind is KindRemoteJob.
func (*RemoteJob) Kind() uint16 { return KindRemoteJob }

// EncodeTo appends the message.
func (m *RemoteJob) EncodeTo(e *wire.Encoder) {
	e.U64(uint64(m.ID))
	m.Sender.EncodeTo(e)
	e.Count(len(m.Recipients))
	for i := range m.Recipients {
		m.Recipients[i].EncodeTo(e)
	}
	e.String(m.Transport)
	e.String(m.NextHop)
	encodeHosts(e, m.Hosts)
	e.U8(uint8(m.Body))
	e.Bool(m.UTF8)
	e.U8(uint8(m.Return))
	e.String(m.EnvID.ForWire())
	e.Bool(m.Has8Bit)
	e.Bool(m.LongLine)
	m.Edit.EncodeTo(e)
	m.Credentials.encodeTo(e)
	(&envelope.Wishes{Priority: m.Priority, DeliverBy: m.By}).EncodeTo(e)
	encodeSources(e, m.Sources)
	m.Content.EncodeTo(e)
	encodeHints(e, m.Hints)
}

// DecodeFrom reads it.
func (m *RemoteJob) DecodeFrom(d *wire.Decoder) {
	m.ID = queueid.ID(d.U64())
	m.Sender = mailaddr.DecodeFrom(d)
	m.Recipients = make([]envelope.Recipient, d.Count(envelope.MaxRecipients, 8))
	for i := range m.Recipients {
		m.Recipients[i].DecodeFrom(d)
	}
	m.Transport = d.String(maxName)
	m.NextHop = d.String(maxName)
	m.Hosts = decodeHosts(d)
	m.Body = envelope.Body(d.U8())
	m.UTF8 = d.Bool()
	m.Return = envelope.Return(d.U8())
	m.EnvID = untrusted.FromWire(d.String(1024))
	m.Has8Bit = d.Bool()
	m.LongLine = d.Bool()
	m.Edit = envelope.DecodeEdit(d)
	m.Credentials = decodeCredentials(d)
	var wishes envelope.Wishes
	wishes.DecodeFrom(d)
	m.Priority, m.By = wishes.Priority, wishes.DeliverBy
	m.Sources = decodeSources(d)
	m.Content.DecodeFrom(d)
	m.Hints = decodeHints(d)
}

// RemoteDone has one outcome for each recipient of the job, in its order.
type RemoteDone struct {
	Outcomes []outcome.Outcome
	// Tried are the servers that were asked, in order: what is known of a host
	// afterwards (paper, section 5).
	Tried []HostTried
}

// HostTried is what one server did.
type HostTried struct {
	Addr netip.AddrPort // invalid: the transport's own socket
	Name string
	// Failure is why no message could be given to it; Class 0: it was ready for one,
	// whatever it then said of sender, recipients and content.
	Failure outcome.Outcome
	// Seen is what the server showed of itself; nil: nothing, as on a connection that was
	// kept and has been told of.
	Seen *quirk.Seen
}

// Ready tells whether the server could be used.
func (h *HostTried) Ready() bool { return h.Failure.Class == 0 }

// maxTried bounds the servers of one job.
const maxTried = 1000

// Kind is KindRemoteDone.
func (*RemoteDone) Kind() uint16 { return KindRemoteDone }

// EncodeTo appends the message.
func (m *RemoteDone) EncodeTo(e *wire.Encoder) {
	e.Count(len(m.Outcomes))
	for i := range m.Outcomes {
		m.Outcomes[i].EncodeTo(e)
	}
	e.Count(len(m.Tried))
	for i := range m.Tried {
		m.Tried[i].encodeTo(e)
	}
}

func (h *HostTried) encodeTo(e *wire.Encoder) {
	addr, _ := h.Addr.MarshalBinary()
	e.Bytes(addr)
	e.String(h.Name[:min(len(h.Name), maxName)])
	e.Bool(h.Ready())
	if !h.Ready() {
		h.Failure.EncodeTo(e)
	}
	encodeSeen(e, h.Seen)
}

func (h *HostTried) decodeFrom(d *wire.Decoder) {
	if err := h.Addr.UnmarshalBinary(d.Bytes(64)); err != nil {
		d.Fail("host address: %v", err)
	}
	h.Name = d.String(maxName)
	if !d.Bool() {
		h.Failure.DecodeFrom(d)
	}
	h.Seen = decodeSeen(d)
}

// DecodeFrom reads it.
func (m *RemoteDone) DecodeFrom(d *wire.Decoder) {
	m.Outcomes = make([]outcome.Outcome, d.Count(envelope.MaxRecipients, 8))
	for i := range m.Outcomes {
		m.Outcomes[i].DecodeFrom(d)
	}
	m.Tried = make([]HostTried, d.Count(maxTried, 8))
	for i := range m.Tried {
		m.Tried[i].decodeFrom(d)
	}
}

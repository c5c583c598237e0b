package proto

import (
	"hash/fnv"

	"filbert/pkg/envelope"
	"filbert/pkg/queueid"
	"filbert/pkg/wire"
)

// The arrow of what failed for now: dispatch -> qmgr.
//
//	1. C: Filed      a message now lies under deferred/
//	2. S: FiledOK    qmgr schedules it from here on
//
//	1. C: Up         a next hop that failed has succeeded
//	2. S: UpOK       what waits for it is due now
//
// Who may call: dispatch. Losing a Filed loses nothing: qmgr walks deferred/
// when it starts, and again whenever dispatch's connection comes up.

// Filed announces a deferred message; Summary saves qmgr from reading it.
type Filed struct {
	Summary Summary
}

// Summary is what qmgr keeps of a message: enough to schedule and to list it.
type Summary struct {
	ID          queueid.ID
	Arrived     int64 // Unix seconds
	LastAttempt int64 // Unix seconds; 0 = none yet
	Attempts    uint32
	Size        int64
	Bounce      bool   // null sender: the shorter give-up time applies
	Waiting     uint32 // recipients not yet done
	// NextHop is the destination of the first waiting recipient.
	NextHop string
	// Busy: put back by our own limits, due at once.
	Busy bool
	// Ordered: standing orders alone keep what waits; Order is the number of the
	// one that does, 0 = none, or several.
	Ordered bool
	Order   uint64
	// Owner is the user of this machine whose message it is.
	Owner Owner
	// Due is when the next attempt is to be made, Unix milliseconds, and GiveUp when
	// there is no more, Unix seconds; 0 = not known: qmgr goes by the rules alone.
	Due    int64
	GiveUp int64
	// Sender is whose mail it is for taking turns.
	Sender SenderShare
	// Priority is what its sender asked for (RFC 6710).
	Priority int8
	// Addresses is the sender's and those of all recipients, for who looks for one; none:
	// not told, or too many. Those of a message do not change, so that they are told once.
	Addresses []string
}

// maxAddresses bounds Addresses, in octets. A message to more is found by its file.
const maxAddresses = 4096

// AddressesOf is the addresses of a message.
func AddressesOf(env *envelope.Envelope) []string {
	list := make([]string, 1, 1+len(env.Recipients))
	list[0] = env.Sender.String()
	for i := range env.Recipients {
		list = append(list, env.Recipients[i].Address.String())
	}
	return list
}

// Tellable is the addresses if they are few enough to be told.
func Tellable(addresses []string) []string {
	n := 0
	for _, a := range addresses {
		n += 2 + len(a)
	}
	if n > maxAddresses {
		return nil
	}
	return addresses
}

// SenderShare stands for a sender where senders take turns: a number made of the address,
// which is not his alone.
type SenderShare uint32

// ShareOf is the share of the sender of a message.
func ShareOf(env *envelope.Envelope) SenderShare {
	h := fnv.New32a()
	_, _ = h.Write([]byte(env.Sender.String())) // it never fails
	return SenderShare(h.Sum32())
}

// Owner is a user id and one; 0 is nobody, so that what was forgotten belongs to
// no user and least of all to root.
type Owner uint32

// OwnerOf is whose a message is: that of the user who handed it in locally, as the
// kernel said. What came in by SMTP has none.
func OwnerOf(env *envelope.Envelope) Owner {
	if env.Source != envelope.FromLocal || env.Client.UID < 0 || env.Client.UID >= 1<<32-1 {
		return 0
	}
	return OwnerUID(uint32(env.Client.UID))
}

// OwnerUID is the owner with a user id.
func OwnerUID(uid uint32) Owner { return Owner(uid + 1) }

// EncodeTo appends the summary.
func (s *Summary) EncodeTo(e *wire.Encoder) {
	e.U64(uint64(s.ID))
	e.I64(s.Arrived)
	e.I64(s.LastAttempt)
	e.U32(s.Attempts)
	e.I64(s.Size)
	e.Bool(s.Bounce)
	e.U32(s.Waiting)
	e.String(s.NextHop)
	e.Bool(s.Busy)
	e.Bool(s.Ordered)
	e.U64(s.Order)
	e.U32(uint32(s.Owner))
	e.I64(s.Due)
	e.I64(s.GiveUp)
	e.U32(uint32(s.Sender))
	e.U8(uint8(s.Priority))
	e.Count(len(s.Addresses))
	for _, a := range s.Addresses {
		e.String(a)
	}
}

// DecodeFrom reads it.
func (s *Summary) DecodeFrom(d *wire.Decoder) {
	s.ID = queueid.ID(d.U64())
	s.Arrived = d.I64()
	s.LastAttempt = d.I64()
	s.Attempts = d.U32()
	s.Size = d.I64()
	s.Bounce = d.Bool()
	s.Waiting = d.U32()
	s.NextHop = d.String(maxName)
	s.Busy = d.Bool()
	s.Ordered = d.Bool()
	s.Order = d.U64()
	s.Owner = Owner(d.U32())
	s.Due = d.I64()
	s.GiveUp = d.I64()
	s.Sender = SenderShare(d.U32())
	s.Priority = int8(d.U8())
	if n := d.Count(maxAddresses, 4); n > 0 {
		s.Addresses = make([]string, n)
		for i := range s.Addresses {
			s.Addresses[i] = d.String(maxAddresses)
		}
	}
}

// Kind is KindFiled.
func (*Filed) Kind() uint16 { return KindFiled }

// EncodeTo appends the message.
func (m *Filed) EncodeTo(e *wire.Encoder) { m.Summary.EncodeTo(e) }

// DecodeFrom reads it.
func (m *Filed) DecodeFrom(d *wire.Decoder) { m.Summary.DecodeFrom(d) }

// FiledOK acknowledges.
type FiledOK struct{}

// Kind is KindFiledOK.
func (*FiledOK) Kind() uint16 { return KindFiledOK }

// EncodeTo appends nothing.
func (*FiledOK) EncodeTo(*wire.Encoder) {}

// DecodeFrom reads nothing.
func (*FiledOK) DecodeFrom(*wire.Decoder) {}

// Up releases what waits: one success is reason enough to try the others at once
// (paper, section 5).
type Up struct {
	NextHops []string
	IDs      []queueid.ID // of messages that wait for one address, or were put off
}

// maxUp bounds either list.
const maxUp = 10_000

// Kind is KindUp.
func (*Up) Kind() uint16 { return KindUp }

// EncodeTo appends the message.
func (m *Up) EncodeTo(e *wire.Encoder) {
	e.Count(len(m.NextHops))
	for _, hop := range m.NextHops {
		e.String(hop)
	}
	e.Count(len(m.IDs))
	for _, id := range m.IDs {
		e.U64(uint64(id))
	}
}

// DecodeFrom reads it.
func (m *Up) DecodeFrom(d *wire.Decoder) {
	m.NextHops = make([]string, d.Count(maxUp, 4))
	for i := range m.NextHops {
		m.NextHops[i] = d.String(maxName)
	}
	m.IDs = make([]queueid.ID, d.Count(maxUp, 8))
	for i := range m.IDs {
		m.IDs[i] = queueid.ID(d.U64())
	}
}

// UpOK acknowledges.
type UpOK struct{}

// Kind is KindUpOK.
func (*UpOK) Kind() uint16 { return KindUpOK }

// EncodeTo appends nothing.
func (*UpOK) EncodeTo(*wire.Encoder) {}

// DecodeFrom reads nothing.
func (*UpOK) DecodeFrom(*wire.Decoder) {}

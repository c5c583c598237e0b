package proto

import (
	"net/netip"
	"time"

	"filbert/pkg/wire"
)

// The arrow of sites that have come back: smtpd -> qmgr.
//
//	1. C: Turn      a client asks for the mail that waits for its domain (ETRN,
//	                RFC 1985); smtpd has decided that it may
//	2. S: Turned    what waits is due now, and how many messages that are
//
// Who may call: smtpd. It is the one program that strangers talk to, so this is all
// that it can say to qmgr: nothing is told of a message but the number, nothing is
// stopped, moved or held, and what a hold or a standing order keeps stays kept. One
// client is answered TurnTooSoon for a domain that it has asked for within TurnPause,
// and everybody when TurnsAtATime others have been, when qmgr has just spent much time on
// looking for others, or when all that is meant was asked for within TurnPause in whatever
// name: smtpd says who asks.

// Bounds of this arrow.
const (
	TurnPause    = time.Minute
	TurnsAtATime = 600
)

// Turn asks that what waits for a domain be tried now.
type Turn struct {
	Client     netip.Addr
	Domain     string // in lower case, A-labels
	Subdomains bool   // and for all below it
}

// Kind is KindTurn.
func (*Turn) Kind() uint16 { return KindTurn }

// EncodeTo appends the message.
func (m *Turn) EncodeTo(e *wire.Encoder) {
	text := ""
	if m.Client.IsValid() {
		text = m.Client.String()
	}
	e.String(text)
	e.String(m.Domain)
	e.Bool(m.Subdomains)
}

// DecodeFrom reads it.
func (m *Turn) DecodeFrom(d *wire.Decoder) {
	text := d.String(maxName)
	m.Domain = d.String(maxName)
	m.Subdomains = d.Bool()
	addr, err := netip.ParseAddr(text)
	if err != nil && text != "" {
		d.Fail("client address: %v", err)
	}
	m.Client = addr
}

// TurnState is what came of it.
type TurnState uint8

// The states.
const (
	TurnStarted TurnState = 1 // Count messages are due now
	TurnUnknown TurnState = 2 // the queue is still being read: at least Count are
	TurnTooSoon TurnState = 3 // asked already a moment ago
	TurnRefused TurnState = 4 // the configuration has no such thing any more
)

// Turned answers Turn.
type Turned struct {
	State TurnState
	Count uint32
	// UnderWay are messages that are being tried at this moment.
	UnderWay uint32
}

// Kind is KindTurned.
func (*Turned) Kind() uint16 { return KindTurned }

// EncodeTo appends the message.
func (m *Turned) EncodeTo(e *wire.Encoder) {
	e.U8(uint8(m.State))
	e.U32(m.Count)
	e.U32(m.UnderWay)
}

// DecodeFrom reads it.
func (m *Turned) DecodeFrom(d *wire.Decoder) {
	m.State = TurnState(d.U8())
	m.Count = d.U32()
	m.UnderWay = d.U32()
	if m.State < TurnStarted || m.State > TurnRefused {
		d.Fail("turn state %d", m.State)
	}
}

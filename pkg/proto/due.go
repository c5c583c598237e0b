package proto

import (
	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/queueid"
	"filbert/pkg/wire"
)

// The arrow of later attempts: qmgr -> dispatch.
//
//	1. C: Due       try the message deferred/XX/ID now, or end it
//	2. S: Settled   after the attempt: what is left of it
//
// Who may call: qmgr. It does not touch the message's files: dispatch alone
// knows, also after a restart of qmgr, whether an attempt is under way, and so it
// is dispatch that appends to the log, moves the message and removes it.

// DueAction is what is to be done.
type DueAction uint8

// The actions.
const (
	DueAttempt DueAction = 1 // try; failures that are temporary stay deferred
	DueFinal   DueAction = 2 // try; what is deferred again is given up, whatever the rules say
	DueBounce  DueAction = 3 // do not try: return it (administrator), Reason says why
	DueDelete  DueAction = 4 // do not try: remove it from deferred/ or hold/, tell nobody
	DueHold    DueAction = 5 // do not try: move it to hold/, Reason says who and why
	DueRelease DueAction = 6 // move it back
	// DueDrop: do not try; end the Recipients, in deferred/ or hold/, with no report:
	// their sender cancelled them, Reason says who. A message of which nobody is
	// left goes.
	DueDrop DueAction = 7
	// DueRedirect: do not try; the first of the Recipients, in deferred/ or hold/, has
	// the address To from now on, as Reason says who wants and why.
	DueRedirect DueAction = 8
)

// Due asks for an attempt.
type Due struct {
	ID     queueid.ID
	Action DueAction
	Reason string // DueBounce, DueHold, DueRelease, DueDrop: the words of who gave the order
	// WarnDelay: send a delay warning for what is deferred again.
	WarnDelay bool
	GiveUpAt  int64 // Unix seconds, for the warning
	// Recipients of DueDrop are their numbers in the message's envelope; of DueBounce
	// too, where there are any: then the others wait on.
	Recipients []uint32
	To         mailaddr.Address // DueRedirect
	// Now: by the administrator's order, whatever is known of hosts and addresses.
	Now bool
}

// Kind is KindDue.
func (*Due) Kind() uint16 { return KindDue }

// EncodeTo appends the message.
func (m *Due) EncodeTo(e *wire.Encoder) {
	e.U64(uint64(m.ID))
	e.U8(uint8(m.Action))
	encodeWords(e, m.Reason, maxWords)
	e.Bool(m.WarnDelay)
	e.I64(m.GiveUpAt)
	e.Count(len(m.Recipients))
	for _, n := range m.Recipients {
		e.U32(n)
	}
	m.To.EncodeTo(e)
	e.Bool(m.Now)
}

// DecodeFrom reads it.
func (m *Due) DecodeFrom(d *wire.Decoder) {
	m.ID = queueid.ID(d.U64())
	m.Action = DueAction(d.U8())
	m.Reason = d.String(maxWords)
	m.WarnDelay = d.Bool()
	m.GiveUpAt = d.I64()
	m.Recipients = make([]uint32, d.Count(envelope.MaxRecipients, 4))
	for i := range m.Recipients {
		m.Recipients[i] = d.U32()
	}
	m.To = mailaddr.DecodeFrom(d)
	m.Now = d.Bool()
	if m.Action < DueAttempt || m.Action > DueRedirect {
		d.Fail("due action %d", m.Action)
	}
}

// SettledState is what an attempt left.
type SettledState uint8

// The states.
const (
	SettledGone    SettledState = 1 // all recipients done, files removed
	SettledWaiting SettledState = 2 // still deferred, Summary is new
	SettledMissing SettledState = 3 // no such message
	SettledBusy    SettledState = 4 // dispatch is at its limits: ask again soon
	SettledCorrupt SettledState = 5 // could not be read; moved to corrupt/
	SettledMoved   SettledState = 6 // DueHold, DueRelease: it lies in the other queue now
)

// Settled is the result.
type Settled struct {
	State   SettledState
	Summary Summary
	// Warned: the delay warning went out.
	Warned bool
}

// Kind is KindSettled.
func (*Settled) Kind() uint16 { return KindSettled }

// EncodeTo appends the message.
func (m *Settled) EncodeTo(e *wire.Encoder) {
	e.U8(uint8(m.State))
	m.Summary.EncodeTo(e)
	e.Bool(m.Warned)
}

// DecodeFrom reads it.
func (m *Settled) DecodeFrom(d *wire.Decoder) {
	m.State = SettledState(d.U8())
	m.Summary.DecodeFrom(d)
	m.Warned = d.Bool()
	if m.State < SettledGone || m.State > SettledMoved {
		d.Fail("settled state %d", m.State)
	}
}

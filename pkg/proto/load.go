package proto

import (
	"time"

	"filbert/pkg/wire"
)

// The load of the machine, by which limits become less.
//
//	1. M: Load   how much of the limits is left
//	   D: Done
//
// master -> smtpd and dispatch, at each change and behind Ready: master alone may read
// /proc. One who is told nothing has all of the limits, so losing it costs no mail.

// Load tells of the limits.
type Load struct {
	Level uint8 // percent that is left, 1 to 100
}

// Kind is KindLoad.
func (*Load) Kind() uint16 { return KindLoad }

// EncodeTo appends the message.
func (m *Load) EncodeTo(e *wire.Encoder) { e.U8(m.Level) }

// DecodeFrom reads it.
func (m *Load) DecodeFrom(d *wire.Decoder) {
	if m.Level = d.U8(); m.Level < 1 || m.Level > 100 {
		d.Fail("level %d", m.Level)
	}
}

// LoadStatus is what the load of the machine leaves of the limits, in Status.
type LoadStatus struct {
	Measure string    `json:"measure"`           // "load" or "pressure"
	Value   float64   `json:"value"`             // when it was looked at last
	Level   int       `json:"level"`             // percent of the limits that is left
	Since   time.Time `json:"since,omitzero"`    // when Level changed
	Problem string    `json:"problem,omitempty"` // why nothing is known
}

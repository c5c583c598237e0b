package proto

import (
	"time"

	"filbert/pkg/wire"
)

// MoveClock tells a daemon how far its clock is ahead of the machine's, in an instance
// whose clock can be moved. A clock never goes back: an earlier word changes nothing.
type MoveClock struct {
	Ahead time.Duration
}

// Kind is KindMoveClock.
func (*MoveClock) Kind() uint16 { return KindMoveClock }

// EncodeTo appends the message.
func (m *MoveClock) EncodeTo(e *wire.Encoder) { e.I64(int64(m.Ahead)) }

// DecodeFrom reads it.
func (m *MoveClock) DecodeFrom(d *wire.Decoder) { m.Ahead = time.Duration(d.I64()) }

// ClockMoved acknowledges: what was due by then is under way.
type ClockMoved struct{}

// Kind is KindClockMoved.
func (*ClockMoved) Kind() uint16 { return KindClockMoved }

// EncodeTo appends nothing.
func (*ClockMoved) EncodeTo(*wire.Encoder) {}

// DecodeFrom reads nothing.
func (*ClockMoved) DecodeFrom(*wire.Decoder) {}

// ClockRequest moves the clock of a private instance ahead: POST /v1/clock on
// run/control/master, S: 200 ClockAnswer when all daemons have moved theirs; 422 where
// the configuration does not allow it.
type ClockRequest struct {
	By string `json:"by"` // "2h", "3 days", further than it was
}

// ClockAnswer is what the clock says: GET /v1/clock, S: 200.
type ClockAnswer struct {
	Now     time.Time     `json:"now"`
	Movable bool          `json:"movable"`
	Ahead   time.Duration `json:"ahead_ns"` // of the machine's clock
}

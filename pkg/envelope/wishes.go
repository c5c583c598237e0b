package envelope

import (
	"time"

	"filbert/pkg/wire"
)

// Priorities (RFC 6710, section 3): 0 is that of mail that states none.
const (
	LowestPriority  = -9
	HighestPriority = 9
)

// MaxWait is the longest time that FUTURERELEASE and DELIVERBY can name: nine digits of
// seconds (RFC 4865, section 3; RFC 2852, section 4).
const MaxWait = 999_999_999 * time.Second

// ByMode says what happens when the time of DELIVERBY is over (RFC 2852, section 4).
type ByMode uint8

// The modes.
const (
	ByNone   ByMode = 0 // no time was given
	ByReturn ByMode = 1 // R: the message is returned
	ByNotify ByMode = 2 // N: the sender is told, and it goes on
)

// DeliverBy is the BY parameter of MAIL (RFC 2852), as a moment of this machine's clock.
type DeliverBy struct {
	Mode  ByMode
	At    time.Time // microseconds; meaningless without a mode
	Trace bool      // T: the sender wants to hear of each server it is passed on to
}

// IsZero tells that nothing was asked for.
func (b *DeliverBy) IsZero() bool { return b.Mode == ByNone }

// IsOver tells whether the time that the sender gave is over.
func (b *DeliverBy) IsOver(now time.Time) bool { return !b.IsZero() && !now.Before(b.At) }

// Limit brings the next attempt (Unix milliseconds) and the moment of giving up (Unix
// seconds, 0 = not known) forward to the end of that time: somebody has to return the
// message then, or to tell its sender. told is when he was last told of a delay.
func (b *DeliverBy) Limit(next, giveUp int64, told, now time.Time) (int64, int64) {
	end := b.At.UnixMilli()
	switch {
	case b.Mode == ByReturn:
		if giveUp == 0 || b.At.Unix() < giveUp {
			giveUp = b.At.Unix()
		}
		return min(next, end), giveUp
	case b.Mode == ByNotify && b.At.After(now) && told.Before(b.At):
		return min(next, end), giveUp
	}
	return next, giveUp
}

// Wishes is what the sender asked for as to time. The zero value is nothing.
type Wishes struct {
	// Priority is -9 to 9 (RFC 6710).
	Priority int8
	// ReleaseAt is when the first attempt may be made (RFC 4865); zero = at once.
	ReleaseAt time.Time
	// HoldFor is the interval by which the sender named that; zero = he named the moment.
	// Reports tell what he wrote.
	HoldFor   time.Duration
	DeliverBy DeliverBy
}

// takesToCome is how much later than its MAIL a message may arrive: times count from the
// one, and are checked at the other.
const takesToCome = 24 * time.Hour

// Valid tells whether w is within its limits. arrived is when the message came.
func (w *Wishes) Valid(arrived time.Time) bool {
	near := func(t time.Time) bool { return t.Sub(arrived).Abs() <= MaxWait+takesToCome }
	return w.Priority >= LowestPriority && w.Priority <= HighestPriority && w.DeliverBy.Mode <= ByNotify &&
		(w.ReleaseAt.IsZero() || near(w.ReleaseAt)) && (w.DeliverBy.IsZero() || near(w.DeliverBy.At))
}

// EncodeTo appends the wishes.
func (w *Wishes) EncodeTo(e *wire.Encoder) {
	e.U8(uint8(w.Priority))
	encodeTime(e, w.ReleaseAt)
	e.U8(uint8(w.DeliverBy.Mode))
	encodeTime(e, w.DeliverBy.At)
	e.Bool(w.DeliverBy.Trace)
	e.U32(uint32(w.HoldFor / time.Second))
}

// DecodeFrom reads wishes; d says what was wrong.
func (w *Wishes) DecodeFrom(d *wire.Decoder) { w.decodeFrom(d, version) }

func (w *Wishes) decodeFrom(d *wire.Decoder, version uint8) {
	w.Priority = int8(d.U8())
	w.ReleaseAt = decodeTime(d)
	w.DeliverBy.Mode = ByMode(d.U8())
	w.DeliverBy.At = decodeTime(d)
	w.DeliverBy.Trace = d.Bool()
	if w.HoldFor = 0; version >= 4 {
		w.HoldFor = time.Duration(d.U32()) * time.Second
	}
	if w.HoldFor > MaxWait || w.Priority < LowestPriority || w.Priority > HighestPriority || w.DeliverBy.Mode > ByNotify {
		d.Fail("wish out of range")
	}
}

// encodeTime writes a moment, zero as zero: 1970 is none that anybody asks for.
func encodeTime(e *wire.Encoder, t time.Time) {
	if t.IsZero() {
		e.I64(0)
		return
	}
	e.I64(t.UnixMicro())
}

func decodeTime(d *wire.Decoder) time.Time {
	if us := d.I64(); us != 0 {
		return time.UnixMicro(us).UTC()
	}
	return time.Time{}
}

// Since is the moment from which a message is to be delivered: its arrival, or the
// release that its sender asked for. An administrator may have had it tried before that;
// first is the first attempt, zero if there was none.
func (v *Envelope) Since(first time.Time) time.Time {
	switch {
	case !v.ReleaseAt.After(v.Arrived):
		return v.Arrived
	case !first.IsZero() && first.Before(v.ReleaseAt):
		return first
	}
	return v.ReleaseAt
}

// IsHeld tells whether the message waits for the moment that its sender named. One that
// was tried, whoever wanted that, does so no more.
func (v *Envelope) IsHeld(first, now time.Time) bool { return first.IsZero() && v.ReleaseAt.After(now) }

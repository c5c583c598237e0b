package retry

import (
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

// Record is what is kept of a host or an address in the suite's memory.
type Record struct {
	State State
	Host  string   // its name, for people; "" of an address
	Hops  []string // the next hops for which a host was tried
}

// recordVersion is the first octet of a record. One of another version is
// forgotten, and learned again.
const recordVersion = 1

// MaxHops bounds the next hops of a record.
const MaxHops = 1000

// Marshal is the encoding of r.
func (r *Record) Marshal() []byte {
	var e wire.Encoder
	s := &r.State
	e.U8(recordVersion)
	for _, t := range []time.Time{s.Since, s.KindSince, s.Last, s.Next, s.GaveUp} {
		e.I64(milliOrZero(t))
	}
	e.U32(uint32(s.Attempts))
	e.String(string(s.Kind))
	e.U16(uint16(s.Code))
	for _, n := range []int{s.Status.Class, s.Status.Subject, s.Status.Detail} {
		e.U16(uint16(n))
	}
	e.String(s.Text.ForWire())
	e.String(r.Host)
	e.Count(min(len(r.Hops), MaxHops))
	for _, hop := range r.Hops[:min(len(r.Hops), MaxHops)] {
		e.String(hop)
	}
	return e.Buf
}

// UnmarshalRecord reads a record; false: it makes no sense.
func UnmarshalRecord(b []byte) (Record, bool) {
	var r Record
	d := wire.NewDecoder(b)
	if d.U8() != recordVersion {
		return r, false
	}
	s := &r.State
	for _, t := range []*time.Time{&s.Since, &s.KindSince, &s.Last, &s.Next, &s.GaveUp} {
		if ms := d.I64(); ms != 0 {
			*t = time.UnixMilli(ms)
		}
	}
	s.Attempts = int(d.U32())
	s.Kind = outcome.Kind(d.String(64))
	s.Code = int(d.U16())
	s.Status = smtp.Status{Class: int(d.U16()), Subject: int(d.U16()), Detail: int(d.U16())}
	s.Text = untrusted.FromWire(d.String(4096))
	r.Host = d.String(1024)
	r.Hops = make([]string, d.Count(MaxHops, 4))
	for i := range r.Hops {
		r.Hops[i] = d.String(1024)
	}
	return r, d.Finish() == nil && !s.IsZero()
}

func milliOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

package quirk

import (
	"time"

	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

// Seen is what one connection has shown of a server.
type Seen struct {
	Greeted    bool // EHLO was granted
	EHLO       Mark // it was not, and HELO was
	Offered    bool // STARTTLS was
	Secured    bool // TLS came about
	TLS        Mark // the handshake failed
	OutOfStep  Mark
	TooMany    Mark
	Took       int      // recipients before the one too many
	Extensions []string // sorted; of the last EHLO
	Size       int64
	Times      Times
}

// EncodeTo appends what was seen.
func (s *Seen) EncodeTo(e *wire.Encoder) {
	e.Bool(s.Greeted)
	e.Bool(s.Offered)
	e.Bool(s.Secured)
	for _, m := range []*Mark{&s.EHLO, &s.TLS, &s.OutOfStep, &s.TooMany} {
		m.encodeTo(e)
	}
	e.U32(uint32(s.Took))
	encodeExtensions(e, s.Extensions)
	e.I64(s.Size)
	s.Times.encodeTo(e)
}

// DecodeFrom reads it.
func (s *Seen) DecodeFrom(d *wire.Decoder) {
	s.Greeted, s.Offered, s.Secured = d.Bool(), d.Bool(), d.Bool()
	for _, m := range []*Mark{&s.EHLO, &s.TLS, &s.OutOfStep, &s.TooMany} {
		m.decodeFrom(d)
	}
	s.Took = int(d.U32())
	s.Extensions = decodeExtensions(d)
	s.Size = d.I64()
	s.Times.decodeFrom(d)
}

func (m *Mark) encodeTo(e *wire.Encoder) {
	e.U8(uint8(m.How))
	if m.How == HowNot {
		return
	}
	e.I64(milliOrZero(m.At))
	e.U16(uint16(m.Code))
	e.String(m.Text.Clip(maxText).ForWire())
}

func (m *Mark) decodeFrom(d *wire.Decoder) {
	if m.How = How(d.U8()); m.How > HowBroken {
		d.Fail("way %d of going wrong", m.How)
	}
	if m.How == HowNot {
		return
	}
	m.At = timeOrZero(d.I64())
	m.Code = int(d.U16())
	m.Text = untrusted.FromWire(d.String(maxText))
}

func encodeExtensions(e *wire.Encoder, list []string) {
	list = list[:min(len(list), MaxExtensions)]
	e.Count(len(list))
	for _, x := range list {
		e.String(x[:min(len(x), MaxKeyword)])
	}
}

// decodeExtensions takes keywords alone: they are shown to people as they are.
func decodeExtensions(d *wire.Decoder) []string {
	n := d.Count(MaxExtensions, 4)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		if list[i] = d.String(MaxKeyword); !IsKeyword(list[i]) {
			d.Fail("extension %q", list[i])
		}
	}
	return list
}

// IsKeyword tells whether a word can name an extension (RFC 5321, section 4.1.1.1), in
// upper case, and is of a length that is kept.
func IsKeyword(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && (c != '-' || i == 0) {
			return false
		}
	}
	return s != "" && len(s) <= MaxKeyword
}

func (t *Times) encodeTo(e *wire.Encoder) {
	for _, d := range t {
		e.U32(uint32(d.Milliseconds()))
	}
}

func (t *Times) decodeFrom(d *wire.Decoder) {
	for i := range t {
		t[i] = min(time.Duration(d.U32())*time.Millisecond, maxTime)
	}
}

func milliOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOrZero(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

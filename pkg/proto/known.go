package proto

import (
	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/wire"
)

// Known is what was known over the time of a host or an address that mail was given up
// for: the report says it in the language of who reads it. Since 0: nothing.
type Known struct {
	Kind   outcome.Kind
	Code   int
	Status smtp.Status
	Since  int64 // Unix seconds: since when it was that and nothing else
	// GaveUp is when mail was given up for it before, so that this message was tried
	// once; 0: it was not.
	GaveUp int64
}

func (k *Known) encodeTo(e *wire.Encoder) {
	encodeWords(e, string(k.Kind), maxName)
	e.U16(uint16(k.Code))
	encodeStatus(e, k.Status)
	e.I64(k.Since)
	e.I64(k.GaveUp)
}

func (k *Known) decodeFrom(d *wire.Decoder) {
	k.Kind = outcome.Kind(d.String(maxName))
	k.Code = int(d.U16())
	k.Status = decodeStatus(d)
	k.Since = d.I64()
	k.GaveUp = d.I64()
}

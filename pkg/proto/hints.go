package proto

import (
	"net/netip"

	"filbert/pkg/quirk"
	"filbert/pkg/wire"
)

// Hint is what is known of one host of a job, as far as something follows from it.
// smtp-client follows it where nothing is less safe or lost by that (pkg/quirk).
type Hint struct {
	Addr   netip.AddrPort // one of the job's; invalid: the transport's own socket or host
	Advice quirk.Advice
}

// HintFor is the advice for a host of the job; hosts without are as others.
func (m *RemoteJob) HintFor(addr netip.AddrPort) quirk.Advice {
	for i := range m.Hints {
		if m.Hints[i].Addr == addr {
			return m.Hints[i].Advice
		}
	}
	return quirk.Advice{}
}

func encodeHints(e *wire.Encoder, list []Hint) {
	e.Count(len(list))
	for _, h := range list {
		addr, _ := h.Addr.MarshalBinary()
		e.Bytes(addr)
		e.Bool(h.Advice.HELO)
		e.Bool(h.Advice.OneByOne)
		e.U32(uint32(h.Advice.MaxRecipients))
	}
}

func decodeHints(d *wire.Decoder) []Hint {
	n := d.Count(maxTried, 10)
	if n == 0 {
		return nil
	}
	list := make([]Hint, n)
	for i := range list {
		h := &list[i]
		if err := h.Addr.UnmarshalBinary(d.Bytes(64)); err != nil {
			d.Fail("host address: %v", err)
		}
		h.Advice = quirk.Advice{HELO: d.Bool(), OneByOne: d.Bool(), MaxRecipients: int(d.U32())}
	}
	return list
}

// encodeSeen appends what a server was seen to do, or that it is nothing new.
func encodeSeen(e *wire.Encoder, s *quirk.Seen) {
	e.Bool(s != nil)
	if s != nil {
		s.EncodeTo(e)
	}
}

func decodeSeen(d *wire.Decoder) *quirk.Seen {
	if !d.Bool() {
		return nil
	}
	s := new(quirk.Seen)
	s.DecodeFrom(d)
	return s
}

package proto

import (
	"net/netip"

	"filbert/pkg/wire"
)

// maxSources bounds RemoteJob.Sources: one for each family.
const maxSources = 2

func encodeSources(e *wire.Encoder, list []netip.Addr) {
	list = list[:min(len(list), maxSources)]
	e.Count(len(list))
	for _, a := range list {
		e.Bytes(a.AsSlice())
	}
}

func decodeSources(d *wire.Decoder) []netip.Addr {
	n := d.Count(maxSources, 4)
	if n == 0 {
		return nil
	}
	list := make([]netip.Addr, n)
	for i := range list {
		a, ok := netip.AddrFromSlice(d.Bytes(16))
		if list[i] = a; !ok {
			d.Fail("source address")
		}
	}
	return list
}

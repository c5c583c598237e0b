package dispatch

import (
	"strings"

	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/wire"
)

// fromMemory takes a notice of mtadb's: an administrator has it forget something, and
// what is known here must not outlive that. It is lost while mtadb is away, as is the
// order itself.
func (d *Dispatcher) fromMemory(kind uint16, payload []byte) {
	if kind != proto.KindForgot {
		return // of a newer mtadb
	}
	var m proto.Forgot
	dec := wire.NewDecoder(payload)
	if m.DecodeFrom(dec); dec.Finish() != nil {
		return
	}
	switch m.Of {
	case proto.MemoryQuirk:
		d.quirks.forget(&m)
	case proto.MemoryHost, proto.MemoryAddress:
		// Not on the connection's own loop: there may be many.
		d.wg.Go(func() { d.forgetFailings(&m) })
	}
}

// forgetFailings drops hosts and addresses that failed, and releases the mail that waits
// for them: nothing is known against them any more.
func (d *Dispatcher) forgetFailings(m *proto.Forgot) {
	is := func(key string) bool { return key == m.Key || m.Prefix && strings.HasPrefix(key, m.Key) }
	for _, k := range d.failings.keys(m.Of, is) {
		d.succeeded(k, queueid.ID(0))
	}
}

// keys are those of a kind that are meant.
func (s *failings) keys(of proto.MemoryKind, is func(key string) bool) []failKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []failKey
	for k := range s.byKey {
		if k.of == of && is(k.name) {
			list = append(list, k)
		}
	}
	return list
}

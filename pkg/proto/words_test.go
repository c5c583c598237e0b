package proto

import (
	"strings"
	"testing"

	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

// Words for people are cut when they are sent: what can't be decoded ends the
// connection, and all that is under way on it.
func TestLongWordsCanBeSent(t *testing.T) {
	long := strings.Repeat("x", 2<<20)
	for _, m := range []struct{ from, to ipc.Message }{
		{&Acceptance{Text: long}, &Acceptance{}},
		{&Capacity{Reason: long}, &Capacity{}},
		{&Due{Action: DueBounce, Reason: long}, &Due{}},
		{&ReportDone{Text: long}, &ReportDone{}},
		{&RouteAnswer{Trace: []Step{{Why: long}}}, &RouteAnswer{}},
		{&LocalDone{Outcome: outcome.Outcome{Class: outcome.Failed}, Output: untrusted.From(long)}, &LocalDone{}},
		{&Report{What: ReportFailure, Output: []untrusted.Text{untrusted.From(long)}}, &Report{}},
	} {
		if r, ok := m.from.(*Report); ok {
			r.Envelope.Source = 1
		}
		var e wire.Encoder
		m.from.EncodeTo(&e)
		d := wire.NewDecoder(e.Buf)
		m.to.DecodeFrom(d)
		if err := d.Finish(); err != nil {
			t.Errorf("%T: %v", m.from, err)
		}
	}
}

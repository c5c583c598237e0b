package proto

import (
	"strings"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
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

func TestWhatWasKnownTravelsWithAReport(t *testing.T) {
	sent := &Report{
		What: ReportFailure, GiveUpAt: 7, Envelope: envelope.Envelope{Source: envelope.FromSMTP},
		Known: []Known{{Kind: outcome.TimedOut, Status: smtp.Status{Class: 4, Subject: 4, Detail: 1}, Since: 5, GaveUp: 6}, {Code: 450}},
	}
	var e wire.Encoder
	sent.EncodeTo(&e)
	got := new(Report)
	d := wire.NewDecoder(e.Buf)
	got.DecodeFrom(d)
	if err := d.Finish(); err != nil || len(got.Known) != 2 || got.Known[0] != sent.Known[0] || got.Known[1] != sent.Known[1] || got.GiveUpAt != 7 {
		t.Errorf("%+v, %v", got, err)
	}
}

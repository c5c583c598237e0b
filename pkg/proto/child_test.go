package proto

import (
	"bytes"
	"testing"
	"time"

	"filbert/pkg/wire"
)

type childMessage interface {
	Kind() uint16
	EncodeTo(*wire.Encoder)
	DecodeFrom(*wire.Decoder)
}

func childMessages() []func() childMessage {
	return []func() childMessage{
		func() childMessage { return new(Start) },
		func() childMessage { return new(Ready) },
		func() childMessage { return new(Connect) },
		func() childMessage { return new(Connected) },
		func() childMessage { return new(Reconfigure) },
		func() childMessage { return new(Drain) },
		func() childMessage { return new(Board) },
		func() childMessage { return new(Load) },
		func() childMessage { return new(MoveClock) },
		func() childMessage { return new(Stats) },
		func() childMessage { return new(Turn) },
		func() childMessage { return new(Turned) },
	}
}

// FuzzChild decodes any bytes as each message of the arrow: what is accepted
// must encode to the same bytes.
func FuzzChild(f *testing.F) {
	for i, m := range []childMessage{
		&Start{Service: SMTPD, Settings: []byte("{}"), Listeners: []ListenerInfo{{ListenSMTP, "mx", ":25"}}, Separate: true},
		&Board{Rows: []BoardRow{{Phase: "data", Since: time.UnixMilli(5), Bytes: 7}}, Paces: []PaceRow{
			{Transport: "smtp", Destination: "x.example", Deliveries: 1, Allowed: 2, Most: 3, Rate: "4 per day", Used: 5, Held: "rate", Until: time.UnixMilli(9).UTC()},
		}},
		&Drain{Bound: time.Second},
		&Stats{CPU: time.Second, Figures: []Figure{{Name: FigureOpened, Count: 3, Time: time.Second}}},
		&Load{Level: 40},
	} {
		var e wire.Encoder
		m.EncodeTo(&e)
		f.Add(i, e.Buf)
	}
	makers := childMessages()
	f.Fuzz(func(t *testing.T, which int, in []byte) {
		m := makers[uint(which)%uint(len(makers))]()
		d := wire.NewDecoder(in)
		m.DecodeFrom(d)
		if d.Finish() != nil {
			return
		}
		var e wire.Encoder
		if m.EncodeTo(&e); !bytes.Equal(e.Buf, in) {
			t.Fatalf("%T: %x became %x", m, in, e.Buf)
		}
	})
}

func TestNoArrowLeadsWhereThePictureHasNone(t *testing.T) {
	for _, a := range []Arrow{
		{SMTPD, Dispatch}, {QMgr, SMTPD}, {SMTPD, LocalDeliver}, {SMTPClient, Cleanup},
		{Router, Dispatch}, {LocalDeliver, Cleanup}, {Cleanup, Cleanup}, {SMTPD, "nobody"}, {"", Cleanup},
	} {
		if MayCall(a.Caller, a.Callee) {
			t.Errorf("%s may call %s", a.Caller, a.Callee)
		}
	}
	if !MayCall(SMTPD, Cleanup) {
		t.Error("smtpd may not call cleanup")
	}
}

package outcome

import (
	"strings"
	"testing"

	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

// What can't be decoded ends the connection, and every job on it: a server or
// an alias that says too much must not be able to do that.
func TestOutcomeThatSaysTooMuchCanBeRead(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	o := Outcome{
		Class: Failed, Kind: Kind(long), Code: 550, Status: smtp.Status{Class: 5, Subject: 1, Detail: 1},
		Text: untrusted.From(long), Transport: long, Remote: long, RemoteIP: long, TLS: long, Relayed: true,
	}
	var e wire.Encoder
	o.EncodeTo(&e)
	d := wire.NewDecoder(e.Buf)
	var got Outcome
	got.DecodeFrom(d)
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
	if got.Class != Failed || got.Code != 550 || got.Status != o.Status || !got.Relayed || got.Text.Len() == 0 {
		t.Errorf("got %+v", got)
	}
}

func TestOutcomeWithoutAClassIsRefused(t *testing.T) {
	var e wire.Encoder
	new(Outcome).EncodeTo(&e)
	d := wire.NewDecoder(e.Buf)
	new(Outcome).DecodeFrom(d)
	if d.Finish() == nil {
		t.Error("taken")
	}
}

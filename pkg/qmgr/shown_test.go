package qmgr

import (
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/ledger"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/spool"
)

func TestCommandOfAnAliasIsShownByTheAddressThatWasWritten(t *testing.T) {
	r := newRig(t)
	list := mailaddr.MustParse("list@here.example")
	rc := envelope.Recipient{Address: list, Kind: envelope.TargetPipe, Target: "/bin/archive --key x", Lineage: []mailaddr.Address{list}}
	env := &envelope.Envelope{ID: 1, Source: envelope.FromSMTP, Arrived: noon, Size: 4, Recipients: []envelope.Recipient{rc}}
	line := spool.LineOf(noon, 0, ledger.KeyText(&rc), outcome.Outcome{Class: outcome.Deferred, Kind: outcome.Command})
	if err := r.q.spool.File(spool.Deferred, &spool.Message{ID: 1, Envelope: env.Marshal(), Content: []byte("x\r\n\r\n"), Log: []spool.LogLine{line}}); err != nil {
		t.Fatal(err)
	}
	r.q.loadAll(t.Context())
	items := r.listed("")
	if len(items) != 1 || items[0].Recipients[0].Address != "list@here.example" || items[0].Recipients[0].Target != rc.Target {
		t.Fatalf("%+v", items)
	}
	// By what is shown he can be taken off.
	r.say = func(*proto.Due) proto.Settled { return proto.Settled{State: proto.SettledGone} }
	if _, res := r.order("drop", proto.QueueOrder{All: true, Recipient: "list@here.example"}); res.Done != 1 {
		t.Errorf("%+v", res)
	}
}

package qmgr

import (
	"strings"
	"testing"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

func TestNobodyIsGivenWhatWasDeliveredToHimByARedirection(t *testing.T) {
	r := newRig(t)
	r.file(1, "a@example.org", "list@x.example", noon)
	line := spool.LineOf(noon.Add(time.Hour), 0, untrusted.From("member@y.example"), outcome.Outcome{Class: outcome.Delivered})
	if err := r.q.spool.AppendLog(spool.Deferred, 1, []spool.LogLine{line}); err != nil {
		t.Fatal(err)
	}
	r.q.loadAll(t.Context())
	r.say = func(*proto.Due) proto.Settled { return proto.Settled{State: proto.SettledWaiting} }
	redirect := func(to string) proto.QueueResult {
		_, res := r.order("redirect", proto.QueueOrder{All: true, Recipient: "list@x.example", To: to})
		return res
	}
	res := redirect("member@y.example")
	if res.Done != 0 || len(res.Errors) != 1 || !strings.Contains(res.Errors[0], "has had this message already") || len(r.dues) != 0 {
		t.Errorf("%+v, dispatch was asked for %+v", res, r.dues)
	}
	if e := r.q.sched.all.get(1); e.state != waiting {
		t.Errorf("state %d", e.state)
	}
	if res := redirect("other@y.example"); res.Done != 1 {
		t.Errorf("%+v", res)
	}
}

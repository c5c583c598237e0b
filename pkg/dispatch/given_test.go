package dispatch

import (
	"bytes"
	"strings"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
)

// What the sender may read of his mail goes by the address that he wrote.
func TestEveryAttemptIsToldOfTheAddressThatWasWritten(t *testing.T) {
	r := newRig(t)
	var log bytes.Buffer
	r.d.log = event.New(&log, "dispatch", event.Options{Direct: true})
	list := mailaddr.MustParse("list@x.example")
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		expanded := rc.Address == list
		if expanded {
			rc.Address, rc.Lineage = mailaddr.MustParse("member@y.example"), []mailaddr.Address{list}
		}
		return []proto.Leaf{{Recipient: rc, Transport: "smtp", NextHop: "y.example", Expanded: expanded}}
	}
	r.verdict["member@y.example"] = outcome.Defer(outcome.RcptRefused, statusBusy, "not now")
	f := r.accept("list@x.example")
	r.first(f)
	r.again(f.env.ID, proto.DueAttempt)
	r.again(f.env.ID, proto.DueBounce)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	told := 0
	for _, l := range lines {
		if strings.Contains(l, "to=<member@y.example>") {
			if told++; !strings.Contains(l, "orig=<list@x.example>") {
				t.Error(l)
			}
		}
	}
	if told != 3 {
		t.Errorf("told %d times:\n%s", told, log.String())
	}
}

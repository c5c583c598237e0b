package dispatch

import (
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
)

// What an alias leads to beside a mailbox has a state of its own.
func TestCommandThatFailsHoldsNoMailboxOfTheSameAddress(t *testing.T) {
	w := newFar(t)
	ann := mailaddr.MustParse("ann@x.example")
	pipe := envelope.Recipient{Address: ann, Kind: envelope.TargetPipe, Target: "/bin/false"}
	leaves := []proto.Leaf{{Recipient: pipe, Transport: "pipe", NextHop: "local", Expanded: true}}
	w.route = func(envelope.Recipient) []proto.Leaf { return leaves }
	w.verdict["/bin/false"] = outcome.Defer(outcome.Command, statusBusy, "it failed")
	w.arrive("ann@x.example")
	served := func() (n int) {
		for _, j := range w.locals {
			if j.Recipient.Kind == envelope.TargetAddress {
				n++
			}
		}
		return n
	}
	leaves = append(leaves, proto.Leaf{Recipient: envelope.Recipient{Address: ann}, Transport: "maildir", NextHop: "local", Expanded: true})
	w.arrive("ann@x.example")
	if got := served(); got != 1 {
		t.Errorf("the mailbox got %d of the second message", got)
	}
}

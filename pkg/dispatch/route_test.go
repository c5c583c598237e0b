package dispatch

import (
	"fmt"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
)

// list makes n members for an address.
func list(rc envelope.Recipient, n int) []proto.Leaf {
	out := make([]proto.Leaf, n)
	for i := range out {
		child := rc
		child.Address = mailaddr.MustParse(fmt.Sprintf("m%d-%s", i, rc.Address.String()))
		out[i] = proto.Leaf{Recipient: child, Expanded: true, Transport: "discard"}
	}
	return out
}

// A file under deferred/ holds as many recipients as an envelope may.
func TestMoreMembersThanAnEnvelopeHoldsWaitTheirTurn(t *testing.T) {
	r := newRig(t)
	const each = envelope.MaxRecipients/2 + 1
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		if rc.Address.Local() == "last" {
			return r.remoteRoute(rc)
		}
		return list(rc, each)
	}
	r.verdict["last@x.example"] = later
	f := r.accept("one@x.example", "two@x.example", "last@x.example")
	id := f.env.ID
	r.d.router = agent(func(req, reply ipc.Message) error {
		if len(req.(*proto.RouteQuery).Recipients) > 1 {
			reply.(*proto.RouteAnswer).TooMany = 2 * each
			return nil
		}
		return r.routes(req, reply)
	})
	got := r.first(f)
	if got.State != proto.SettledWaiting {
		t.Fatalf("state %d", got.State)
	}
	book := r.book(id) // fails the test if nobody can read it
	if len(book.States) > envelope.MaxRecipients {
		t.Errorf("%d recipients in one envelope", len(book.States))
	}
	delete(r.verdict, "last@x.example")
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone {
		t.Errorf("state %d, want gone: %+v", got.State, got.Summary)
	}
}

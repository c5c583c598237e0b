package dispatch

import (
	"fmt"
	"strings"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// A report has to fit a frame and a record of the journal.
func TestManyFailuresAreReportedInPieces(t *testing.T) {
	r := newRig(t)
	o := never
	o.Text = untrusted.From(strings.Repeat("no such user. ", 70))
	r.route = func(rc envelope.Recipient) []proto.Leaf { return []proto.Leaf{{Recipient: rc, Verdict: o}} }
	f := r.accept()
	for i := range 5000 {
		f.env.Recipients = append(f.env.Recipients, envelope.Recipient{Address: mailaddr.MustParse(fmt.Sprintf("a%d@x.example", i))})
	}
	r.bounces = func() proto.ReportDone {
		// The second piece can't be sent now: it alone is tried again.
		return proto.ReportDone{Done: len(r.reports) != 2}
	}
	got := r.first(f)
	told := 0
	for _, m := range r.reports {
		size := 0
		for i := range m.Outcomes {
			size += m.Outcomes[i].Text.Len()
		}
		if size > maxReported {
			t.Errorf("%d octets of text in one report", size)
		}
		told += len(m.Outcomes)
	}
	second := len(r.reports[1].Outcomes)
	if told != 5000 || got.Summary.Waiting != uint32(second) {
		t.Errorf("%d recipients in %d reports; %d wait, want %d", told, len(r.reports), got.Summary.Waiting, second)
	}
}

func TestOutputGoesWithItsRecipient(t *testing.T) {
	r := newRig(t)
	r.verdict["b@x.example"] = never
	f := r.accept("a@x.example", "b@x.example")
	r.d.routeAll(t.Context(), f)
	r.d.deliverAll(t.Context(), f)
	f.keepOutput(1, printed{text: untrusted.From("what it printed")})
	r.d.reportAll(t.Context(), f)
	if len(r.reports) != 1 || len(r.reports[0].Output) != 1 || !r.reports[0].Output[0].Equal("what it printed") {
		t.Errorf("reported %+v", r.reports)
	}
}

// expansion answers with a list or an alias of two.
func (r *rig) expansion(owner *mailaddr.Address, members ...string) {
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		var out []proto.Leaf
		for _, a := range members {
			child := rc
			child.Address, child.Lineage, child.ErrorsTo = mailaddr.MustParse(a), []mailaddr.Address{rc.Address}, owner
			if owner != nil {
				child.Notify = 0
			} else if len(members) > 1 {
				child.Notify &^= envelope.NotifySuccess
			}
			out = append(out, proto.Leaf{Recipient: child, Expanded: true, Transport: "smtp", NextHop: "x.example"})
		}
		return out
	}
}

func (r *rig) acceptNotify(n envelope.Notify) *flight {
	f := r.accept("list@example.org")
	f.env.Recipients[0].Notify = n
	f.env.EnvID = untrusted.From("QQ314159")
	f.env.Return = envelope.ReturnHeaders
	return f
}

// RFC 3461, section 5.2.7.2: an alias of several is reported as expanded, as
// its members no longer ask for a report of success.
func TestSuccessOfAnAliasOfSeveralIsExpanded(t *testing.T) {
	r := newRig(t)
	r.expansion(nil, "a@x.example", "b@x.example")
	r.first(r.acceptNotify(envelope.NotifySuccess | envelope.NotifyFailure))
	if len(r.reports) != 1 || r.reports[0].What != proto.ReportSuccess {
		t.Fatalf("reported %+v", r.reports)
	}
	m := r.reports[0]
	if len(m.Outcomes) != 1 || m.Outcomes[0].Class != outcome.Expanded || m.Envelope.Recipients[0].Address.String() != "list@example.org" {
		t.Errorf("reported %+v of %+v", m.Outcomes, m.Envelope.Recipients)
	}
}

// RFC 3461, section 5.2.7.3: to have reached the list is to be delivered.
func TestSuccessOfAListIsDelivered(t *testing.T) {
	owner := mailaddr.MustParse("owner-list@example.org")
	r := newRig(t)
	r.expansion(&owner, "a@x.example", "b@x.example")
	r.first(r.acceptNotify(envelope.NotifySuccess))
	if len(r.reports) != 1 || r.reports[0].Outcomes[0].Class != outcome.Delivered ||
		r.reports[0].Envelope.Sender.String() != "sender@example.org" ||
		r.reports[0].Envelope.Recipients[0].Address.String() != "list@example.org" {
		t.Fatalf("reported %+v", r.reports)
	}
}

func TestSuccessOfAnAliasOfOneIsItsMembers(t *testing.T) {
	r := newRig(t)
	r.expansion(nil, "a@x.example")
	r.first(r.acceptNotify(envelope.NotifySuccess))
	if len(r.reports) != 1 || r.reports[0].Outcomes[0].Class != outcome.Delivered ||
		r.reports[0].Envelope.Recipients[0].Address.String() != "a@x.example" {
		t.Fatalf("reported %+v", r.reports)
	}
}

func TestExpansionIsReportedOnceThoughMembersWait(t *testing.T) {
	r := newRig(t)
	r.expansion(nil, "a@x.example", "b@x.example")
	r.verdict["b@x.example"] = later
	f := r.acceptNotify(envelope.NotifySuccess)
	id := f.env.ID
	r.first(f)
	r.route = r.remoteRoute
	r.again(id, proto.DueAttempt)
	delete(r.verdict, "b@x.example")
	r.again(id, proto.DueAttempt)
	if len(r.reports) != 1 {
		t.Errorf("%d reports", len(r.reports))
	}
}

func TestLateExpansionIsReportedOnce(t *testing.T) {
	r := newRig(t)
	r.route = nil
	f := r.acceptNotify(envelope.NotifySuccess)
	id := f.env.ID
	r.first(f)
	r.expansion(nil, "a@x.example", "b@x.example")
	r.verdict["b@x.example"] = later
	r.again(id, proto.DueAttempt)
	r.again(id, proto.DueAttempt)
	delete(r.verdict, "b@x.example")
	r.again(id, proto.DueAttempt)
	if len(r.reports) != 1 || r.reports[0].Outcomes[0].Class != outcome.Expanded {
		t.Errorf("reported %+v", r.reports)
	}
}

func TestExpansionThatDidNotHappenIsNotReported(t *testing.T) {
	r := newRig(t)
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		return []proto.Leaf{{Recipient: rc, Verdict: later}}
	}
	r.first(r.acceptNotify(envelope.NotifySuccess))
	if len(r.reports) != 0 {
		t.Errorf("reported %+v", r.reports)
	}
}

// RFC 3461, section 5.2.7.3: what the sender asked for is no business of the
// members of a list, nor of its owner.
func TestParametersOfTheSenderEndAtTheList(t *testing.T) {
	owner := mailaddr.MustParse("owner-list@example.org")
	r := newRig(t)
	r.expansion(&owner, "a@x.example", "b@x.example")
	r.verdict["b@x.example"] = never
	r.first(r.acceptNotify(envelope.NotifyFailure))
	if len(r.jobs) != 1 || !r.jobs[0].EnvID.IsEmpty() || r.jobs[0].Return != envelope.ReturnUnstated {
		t.Errorf("sent as %+v", r.jobs)
	}
	if len(r.reports) != 1 || r.reports[0].Envelope.Sender != owner || !r.reports[0].Envelope.EnvID.IsEmpty() {
		t.Errorf("reported %+v", r.reports)
	}
}

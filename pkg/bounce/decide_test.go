package bounce

import (
	"testing"

	"filbert/pkg/dsn"
	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
)

var postmaster = mailaddr.MustParse("postmaster@mail.example.org")

func report(what proto.ReportKind, sender string, source envelope.Source, notify ...envelope.Notify) *proto.Report {
	m := &proto.Report{What: what, Envelope: envelope.Envelope{Source: source}}
	if sender != "" {
		m.Envelope.Sender = mailaddr.MustParse(sender)
	}
	for _, n := range notify {
		m.Envelope.Recipients = append(m.Envelope.Recipients, envelope.Recipient{Address: mailaddr.MustParse("x@example.net"), Notify: n})
		m.Outcomes = append(m.Outcomes, outcome.Outcome{Class: outcome.Failed})
	}
	return m
}

// RFC 3461, section 4.1.
func TestNotifyDecidesWhoIsReportedOn(t *testing.T) {
	ns := []envelope.Notify{0, envelope.NotifyNever, envelope.NotifyFailure, envelope.NotifyDelay, envelope.NotifySuccess}
	for what, want := range map[proto.ReportKind][]int{
		proto.ReportFailure: {0, 2},
		proto.ReportDelay:   {0, 3},
		proto.ReportSuccess: {4},
	} {
		d := decide(report(what, "a@example.org", envelope.FromSMTP, ns...), postmaster)
		if len(d.about) != len(want) {
			t.Errorf("report %d is about %v, want %v", what, d.about, want)
			continue
		}
		for i := range want {
			if d.about[i] != want[i] {
				t.Errorf("report %d is about %v, want %v", what, d.about, want)
			}
		}
	}
}

// RFC 5321, section 4.5.5.
func TestNullSenderIsNeverAnswered(t *testing.T) {
	for _, what := range []proto.ReportKind{proto.ReportFailure, proto.ReportDelay, proto.ReportSuccess} {
		if d := decide(report(what, "", envelope.FromSMTP, 0), postmaster); len(d.about) != 0 {
			t.Errorf("report %d to %v for a null sender", what, d.to)
		}
	}
}

func TestFailingReportGoesToThePostmasterOnce(t *testing.T) {
	m := report(proto.ReportFailure, "", envelope.FromBounce, envelope.NotifyNever)
	d := decide(m, postmaster)
	if d.what != dsn.Double || d.to != postmaster || len(d.about) != 1 {
		t.Fatalf("decided %+v, want the postmaster", d)
	}
	m.Envelope.Recipients[0].Address = postmaster
	if d := decide(m, postmaster); len(d.about) != 0 {
		t.Error("a report to the postmaster that failed was reported to the postmaster")
	}
	m.Envelope.Recipients[0].Address = mailaddr.MustParse("admin@example.org")
	m.Envelope.Recipients[0].Lineage = []mailaddr.Address{postmaster}
	if d := decide(m, postmaster); len(d.about) != 0 {
		t.Error("the postmaster's alias hides the loop")
	}
}

package dispatch

import (
	"testing"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/retry"
	"filbert/pkg/untrusted"
)

// A server's last words say nothing of the days before.
func TestReportOfWhoWasGivenUpHasWhatWasKnown(t *testing.T) {
	r := newRig(t)
	f := r.accept("a@x.example", "b@x.example")
	f.leaves = make([]proto.Leaf, 2)
	for i := range f.leaves {
		f.leaves[i].Recipient = f.env.Recipients[i]
	}
	o := outcome.Outcome{Class: outcome.Deferred, Kind: outcome.RcptRefused, Code: 450, Remote: "mx.x.example", Text: untrusted.From("450 not now")}
	f.outcomes = []outcome.Outcome{o, o}
	since := time.Unix(1000, 0)
	decision := retry.Decision{Over: true, Once: true, Failure: retry.FailureOf(&o), Since: since, GaveUp: since.Add(time.Hour)}
	r.d.follow(f, 0, &decision)
	r.d.follow(f, 1, &retry.Decision{Over: true}) // of our own making: nothing is kept
	r.d.report(t.Context(), f, proto.ReportFailure, []int{0, 1})
	if len(r.reports) != 1 {
		t.Fatalf("%d reports", len(r.reports))
	}
	known := r.reports[0].Known
	want := proto.Known{Kind: outcome.RcptRefused, Code: 450, Since: 1000, GaveUp: 1000 + 3600}
	if len(known) != 2 || known[0] != want || known[1] != (proto.Known{}) || !r.reports[0].Outcomes[0].Text.Equal("450 not now") {
		t.Errorf("%+v", known)
	}
}

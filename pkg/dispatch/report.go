package dispatch

import (
	"context"
	"slices"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// reportDeadline bounds one question to bounce, which includes cleanup's flush.
const reportDeadline = 5 * time.Minute

var statusDelivered = smtp.Status{Class: 2, Subject: 0, Detail: 0}

// reportAll tells senders what they asked to be told. A failure that could not
// be reported becomes a deferral: it is ours until the report is durable.
func (d *Dispatcher) reportAll(ctx context.Context, f *flight) {
	d.tell(ctx, f, f.those(func(i int) bool { return f.outcomes[i].Class == outcome.Delivered }))
	d.reportExpanded(ctx, f)
	if failed := f.those(func(i int) bool { return f.outcomes[i].Permanent() }); len(failed) > 0 {
		d.whileNoting(ctx, f, func() { d.report(ctx, f, proto.ReportFailure, failed) })
	}
	if f.due.WarnDelay {
		d.report(ctx, f, proto.ReportDelay, f.those(func(i int) bool { return wantsDelay(f, i) }))
	}
}

// those are the leaves of which something is so.
func (f *flight) those(is func(leaf int) bool) []int {
	var out []int
	for i := range f.leaves {
		if is(i) {
			out = append(out, i)
		}
	}
	return out
}

// wantsSuccess: RFC 3461, section 4.1 and 5.2: NOTIFY=SUCCESS was asked for and
// no later server will tell.
func wantsSuccess(f *flight, i int) bool {
	o := &f.outcomes[i]
	return wantsTrace(f, i) || o.Class == outcome.Delivered && !o.DSNPassed && !f.isTold(i) && f.leaves[i].Recipient.Notify.Has(envelope.NotifySuccess)
}

// wantsDelay: RFC 3461, section 4.1: a recipient without NOTIFY, or with DELAY.
func wantsDelay(f *flight, i int) bool {
	n := f.leaves[i].Recipient.Notify
	return f.outcomes[i].Temporary() && (n == 0 || n.Has(envelope.NotifyDelay))
}

// wantsAfter: the sender was told that this recipient waits, and does not know yet
// that it is over. bounce knows whether the site tells that.
func wantsAfter(f *flight, i int) bool {
	n := f.leaves[i].Recipient.Notify
	return f.book != nil && f.book.Warned > 0 && !f.isTold(i) && (n == 0 || n.Has(envelope.NotifyDelay))
}

// report sends one report for each sender among the chosen leaves: the
// message's own, and the owners of lists it was expanded by.
func (d *Dispatcher) report(ctx context.Context, f *flight, what proto.ReportKind, leaves []int) {
	bySender := map[mailaddr.Address][]int{}
	var order []mailaddr.Address
	for _, i := range leaves {
		sender := f.env.Sender
		if to := f.leaves[i].Recipient.ErrorsTo; to != nil && !sender.IsNull() {
			sender = *to
		}
		if _, ok := bySender[sender]; !ok {
			order = append(order, sender)
		}
		bySender[sender] = append(bySender[sender], i)
	}
	for _, sender := range order {
		for _, piece := range pieces(f, bySender[sender]) {
			d.reportTo(ctx, f, what, sender, piece)
		}
	}
}

// maxReported bounds what one report tells, in octets: it has to fit a frame,
// and one record of a small journal.
const maxReported = 128 << 10

// pieces splits the leaves that are to be reported on.
func pieces(f *flight, leaves []int) [][]int {
	var out [][]int
	size := 0
	for _, i := range leaves {
		// Fields, words around them, the text twice.
		cost := 1024 + 2*f.outcomes[i].Text.Len() + f.outputOf(i).text.Len()
		if len(out) == 0 || size+cost > maxReported {
			out, size = append(out, nil), 0
		}
		last := len(out) - 1
		out[last] = append(out[last], i)
		size += cost
	}
	return out
}

func (d *Dispatcher) reportTo(ctx context.Context, f *flight, what proto.ReportKind, sender mailaddr.Address, leaves []int) {
	req, printed := reportOf(f, what, sender), false
	for _, i := range leaves {
		req.Envelope.Recipients = append(req.Envelope.Recipients, f.leaves[i].Recipient)
		req.Outcomes = append(req.Outcomes, asReported(f, what, i))
		req.Known = append(req.Known, f.knownOf(i))
		p := f.outputOf(i)
		req.Output, req.Words = append(req.Output, p.text), append(req.Words, p.words)
		printed = printed || !p.text.IsEmpty()
	}
	if !printed {
		req.Output, req.Words = nil, nil
	}
	text, done := d.askBounce(ctx, f, req)
	if done {
		f.warned = f.warned || what == proto.ReportDelay
		return
	}
	if what != proto.ReportFailure {
		return // a warning or a confirmation that is lost costs no mail
	}
	for _, i := range leaves {
		was := f.outcomes[i]
		f.outcomes[i] = outcome.Defer(outcome.Internal, statusInternal,
			"failed for good (%s), but the report could not be sent yet: %s", was.Status.String(), text)
	}
}

// reportOf begins a report to sender. What the sender of the message asked of
// reports is no business of a list's owner (RFC 3461, section 5.2.7.3).
func reportOf(f *flight, what proto.ReportKind, sender mailaddr.Address) *proto.Report {
	env := *f.env
	if sender != env.Sender {
		env.Sender, env.EnvID, env.Return = sender, untrusted.Text{}, envelope.ReturnUnstated
		env.DeliverBy, env.ReleaseAt = envelope.DeliverBy{}, time.Time{}
	}
	env.Recipients = nil
	return &proto.Report{What: what, Envelope: env, GiveUpAt: f.due.GiveUpAt, Content: f.content}
}

// askBounce reports whether the report is safe, or why not.
func (d *Dispatcher) askBounce(ctx context.Context, f *flight, req *proto.Report) (why string, done bool) {
	ctx, cancel := context.WithTimeout(ctx, reportDeadline)
	defer cancel()
	var answer proto.ReportDone
	if err := d.bounce.Call(ctx, req, &answer, f.files()...); err != nil {
		d.log.Emit(event.TroubleOf(f.env.ID, "report to the sender", err))
		return err.Error(), false
	}
	return answer.Text, answer.Done
}

// reportExpanded confirms to the sender what became of a recipient that stands
// for others who were not told to confirm it themselves (RFC 3461, section
// 5.2.7): an alias of several was expanded, a list was reached.
func (d *Dispatcher) reportExpanded(ctx context.Context, f *flight) {
	if f.expansionTold {
		return
	}
	f.expansionTold = true
	ends := f.expansions()
	var parents []int
	for parent, end := range ends {
		if end != 0 && f.env.Recipients[parent].Notify.Has(envelope.NotifySuccess) {
			parents = append(parents, parent)
		}
	}
	for some := range slices.Chunk(parents, maxReported/1024) {
		req := reportOf(f, proto.ReportSuccess, f.env.Sender)
		for _, parent := range some {
			req.Envelope.Recipients = append(req.Envelope.Recipients, f.env.Recipients[parent])
			req.Outcomes = append(req.Outcomes, outcome.Outcome{Class: ends[parent], Status: statusDelivered})
		}
		_, _ = d.askBounce(ctx, f, req) // a confirmation that is lost costs no mail
	}
}

// expansions tells of each recipient of the flight what to confirm of it, 0 for
// nothing. One that is expanded late is expanded again until all of its members
// are served, and confirmed then.
func (f *flight) expansions() []outcome.Class {
	ends := make([]outcome.Class, len(f.env.Recipients))
	none := make([]bool, len(f.env.Recipients))
	for i := range f.leaves {
		l := &f.leaves[i]
		switch {
		case !l.Expanded, l.Recipient.Notify.Has(envelope.NotifySuccess),
			f.origin == fromDeferred && f.outcomes[i].Temporary():
			none[l.Parent] = true
		case l.Recipient.ErrorsTo != nil:
			ends[l.Parent] = outcome.Delivered
		case ends[l.Parent] == 0:
			ends[l.Parent] = outcome.Expanded
		}
	}
	for parent := range ends {
		if none[parent] {
			ends[parent] = 0
		}
	}
	return ends
}

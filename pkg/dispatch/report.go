package dispatch

import (
	"context"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
)

// reportDeadline bounds one question to bounce, which includes cleanup's flush.
const reportDeadline = 5 * time.Minute

var statusDelivered = smtp.Status{Class: 2, Subject: 0, Detail: 0}

// reportAll tells senders what they asked to be told. A failure that could not
// be reported becomes a deferral: it is ours until the report is durable.
func (d *Dispatcher) reportAll(ctx context.Context, f *flight) {
	d.report(ctx, f, proto.ReportFailure, func(i int) bool { return f.outcomes[i].Permanent() })
	d.report(ctx, f, proto.ReportSuccess, func(i int) bool { return wantsSuccess(f, i) })
	if f.due.WarnDelay {
		d.report(ctx, f, proto.ReportDelay, func(i int) bool { return wantsDelay(f, i) })
	}
}

// wantsSuccess: RFC 3461, section 4.1 and 5.2: NOTIFY=SUCCESS was asked for and
// no later server will tell.
func wantsSuccess(f *flight, i int) bool {
	o := &f.outcomes[i]
	return o.Class == outcome.Delivered && !o.DSNPassed && f.leaves[i].Recipient.Notify.Has(envelope.NotifySuccess)
}

// wantsDelay: RFC 3461, section 4.1: a recipient without NOTIFY, or with DELAY.
func wantsDelay(f *flight, i int) bool {
	n := f.leaves[i].Recipient.Notify
	return f.outcomes[i].Temporary() && (n == 0 || n.Has(envelope.NotifyDelay))
}

// report sends one report for each sender among the chosen leaves: the
// message's own, and the owners of lists it was expanded by.
func (d *Dispatcher) report(ctx context.Context, f *flight, what proto.ReportKind, chosen func(int) bool) {
	bySender := map[mailaddr.Address][]int{}
	var order []mailaddr.Address
	for i := range f.leaves {
		if !chosen(i) {
			continue
		}
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
		d.reportTo(ctx, f, what, sender, bySender[sender])
	}
}

func (d *Dispatcher) reportTo(ctx context.Context, f *flight, what proto.ReportKind, sender mailaddr.Address, leaves []int) {
	env := *f.env
	env.Sender = sender
	env.Recipients = make([]envelope.Recipient, len(leaves))
	req := proto.Report{What: what, Envelope: env, GiveUpAt: f.due.GiveUpAt, Content: f.content}
	for n, i := range leaves {
		req.Envelope.Recipients[n] = f.leaves[i].Recipient
		req.Outcomes = append(req.Outcomes, f.outcomes[i])
		if f.output != nil {
			req.Output = append(req.Output, f.output[i])
		}
	}
	ctx, cancel := context.WithTimeout(ctx, reportDeadline)
	defer cancel()
	var done proto.ReportDone
	err := d.bounce.Call(ctx, &req, &done, f.files()...)
	if err == nil && done.Done {
		f.warned = f.warned || what == proto.ReportDelay
		return
	}
	text := done.Text
	if err != nil {
		text = err.Error()
		d.log.Emit(event.TroubleOf(f.env.ID, "report to the sender", err))
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

package smtpd

import (
	"context"
	"os"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
)

// verifyPatience bounds the wait for router. It is far below the five minutes
// that a client waits for the reply to RCPT (RFC 5321, section 4.5.3.2.3).
const verifyPatience = 45 * time.Second

// caller is the part of ipc.Client that asking router needs.
type caller interface {
	Call(ctx context.Context, req, reply ipc.Message, files ...*os.File) error
}

// mustVerify tells whether a recipient is looked up before it is taken.
func (s *session) mustVerify(to mailaddr.Address) bool {
	v := &s.site.verify
	if isPostmaster(to) || s.relay && !v.TrustedClients {
		return false
	}
	if s.site.local.Match(to.Domain()) {
		return v.LocalRecipients == "route"
	}
	return v.RemoteRecipients == "route"
}

// lookUp asks router about a recipient.
func (d *dialogue) lookUp(a action) action {
	d.phase("verify")
	if !d.session.site.local.Match(a.rcpt.To.Domain()) {
		// The DNS may take its time, and the replies to what came before must
		// not wait with it. An error shows again at the next read.
		_ = d.flush()
	}
	ctx, cancel := context.WithTimeout(d.srv.ctx, verifyPatience)
	defer cancel()
	query := proto.RouteQuery{
		Sender:     d.session.tx.mail.From,
		Recipients: []envelope.Recipient{{Address: d.session.site.rewritten(a.rcpt.To, d.session.peer)}},
	}
	var answer proto.RouteAnswer
	if err := d.srv.router.Call(ctx, &query, &answer); err != nil {
		answer.Leaves = []proto.Leaf{{Verdict: outcome.Defer(outcome.Internal,
			smtp.Status{Class: 4, Subject: 4, Detail: 3}, "the recipient can't be looked up at the moment")}}
	}
	return d.session.lookedUp(*a.rcpt, answer.Leaves)
}

// lookedUp is told what router made of a recipient. One that will certainly
// fail is refused; about one that may, the configuration says.
func (s *session) lookedUp(p smtp.RcptParams, leaves []proto.Leaf) action {
	failed, unsure := judgeLeaves(leaves)
	switch {
	case failed != nil:
		s.tx.refused++
		a := refuse(550, failed.Status.Subject, failed.Status.Detail, failed.Text.ForReply())
		a.to = &p.To
		return s.settle(a)
	case unsure != nil && s.site.verify.WhenUnsure == "defer":
		s.tx.refused++
		a := refuse(450, unsure.Status.Subject, unsure.Status.Detail, unsure.Text.ForReply())
		a.to = &p.To
		return s.settle(a)
	}
	return s.settle(s.addRecipient(p))
}

// judgeLeaves finds out whether all that a recipient leads to fails, or whether
// some of it is not known. A list with one bad member is a good recipient.
func judgeLeaves(leaves []proto.Leaf) (failed, unsure *outcome.Outcome) {
	for i := range leaves {
		v := &leaves[i].Verdict
		switch v.Class {
		case outcome.Failed:
			failed = v
		case outcome.Deferred:
			unsure = v
		default:
			return nil, nil
		}
	}
	if unsure != nil {
		return nil, unsure
	}
	return failed, nil
}

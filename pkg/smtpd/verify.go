package smtpd

import (
	"context"
	"os"
	"strings"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/rewrite"
	"filbert/pkg/smtp"
)

// Bounds of the waits for router. All are far below the five minutes that a
// client waits for the reply to RCPT (RFC 5321, section 4.5.3.2.3).
const (
	// verifyPatience is for questions that need the DNS.
	verifyPatience = 45 * time.Second
	// localPatience is for questions to directors, which read files and tables.
	localPatience = 10 * time.Second
	// calloutSlack is what a call-out may take beyond verify.callout_timeout: to find
	// out where to call.
	calloutSlack = 10 * time.Second
	// lookupPatience is for one key of a lookup.
	lookupPatience = 20 * time.Second
)

// maxVerified is how many leaves of one recipient are looked at. A list with more is
// taken as a good one: each client that names it would cost us its weight in memory.
const maxVerified = 1000

// caller is the part of ipc.Client that asking router needs.
type caller interface {
	Call(ctx context.Context, req, reply ipc.Message, files ...*os.File) error
}

// inquiry is what router is asked of an address: whether mail for it would be
// taken.
type inquiry struct {
	query    proto.RouteQuery
	patience time.Duration
	quick    bool // the answer needs nobody outside
}

// purpose is what a switch of [verify] asks for.
func purpose(mode string) proto.Verify {
	switch mode {
	case "route":
		return proto.VerifyRoute
	case "callout":
		return proto.VerifyCallout
	}
	return proto.VerifyOff
}

// consider decides about a recipient: whether the client may send to it,
// whether the sender is one, whether there is such a recipient. It begins anew each
// time that something has been found out, and so asks each question once.
func (s *session) consider(p *smtp.RcptParams) action {
	if a, stop := s.meant(p); stop {
		return a
	}
	may, err := s.maySendTo(p.To)
	switch {
	case err != nil:
		return ask(err, p)
	case !may:
		s.tx.refused++
		a := refuse(550, 7, 1, "Relaying denied")
		a.to = &p.To
		return a
	}
	if a, stop := s.checkSender(p); stop {
		return a
	}
	if isPostmaster(p.To) {
		return s.addRecipient(*p)
	}
	if s.verifiesNobody() {
		return s.addRecipient(*p)
	}
	local, err := s.isLocal(p.To)
	if err != nil {
		return ask(err, p)
	}
	mode := s.site.verify.RemoteRecipients
	if local {
		mode = s.site.verify.LocalRecipients
	}
	what := purpose(mode)
	if what == proto.VerifyOff {
		return s.addRecipient(*p)
	}
	if exempt, err := s.exempt(); err != nil {
		return ask(err, p)
	} else if exempt {
		return s.addRecipient(*p)
	}
	to, err := s.rewritten(rewrite.EnvelopeRecipients, p.To)
	if err != nil {
		return ask(err, p)
	}
	return action{step: askRouter, rcpt: p, inquiry: s.inquire(what, s.tx.mail.From, to, local)}
}

// verifiesNobody tells whether no recipient is verified, whosever it is, as far as that
// is known: then the lookups that say whose it is are not needed.
func (s *session) verifiesNobody() bool {
	v := &s.site.verify
	if s.relay == mayRelay && !v.TrustedClients {
		return true
	}
	return purpose(v.LocalRecipients) == proto.VerifyOff && purpose(v.RemoteRecipients) == proto.VerifyOff
}

// exempt tells whether nothing is verified for the client: one's own users are
// not refused but get a report in plain words.
func (s *session) exempt() (bool, error) {
	if s.site.verify.TrustedClients {
		return false, nil
	}
	return s.mayRelay()
}

// inquire words the question about an address.
func (s *session) inquire(what proto.Verify, from, about mailaddr.Address, local bool) inquiry {
	q := inquiry{
		query: proto.RouteQuery{
			Sender:     from,
			Recipients: []envelope.Recipient{{Address: about}},
			Verify:     what,
			Most:       maxVerified,
			Origin: proto.Origin{
				Source: envelope.FromSMTP, Client: s.peer, Listener: s.site.port.Name, Size: s.tx.mail.Size,
			},
		},
		patience: verifyPatience,
	}
	switch {
	case what == proto.VerifyCallout:
		q.patience = s.site.verify.CalloutTimeout.D() + calloutSlack
	case local:
		q.patience, q.quick = localPatience, true
	}
	return q
}

// inquire asks router.
func (d *dialogue) inquire(q *inquiry) []proto.Leaf {
	d.phase("verify")
	if !q.quick {
		// The DNS and other servers may take their time, and the replies to what
		// came before must not wait with them. An error shows again at the next read.
		_ = d.flush()
	}
	ctx, cancel := context.WithTimeout(d.srv.ctx, q.patience)
	defer cancel()
	var answer proto.RouteAnswer
	if err := d.srv.router.Call(ctx, &q.query, &answer); err != nil {
		return []proto.Leaf{{Verdict: outcome.Defer(outcome.Internal,
			smtp.Status{Class: 4, Subject: 4, Detail: 3}, "the address can't be looked up at the moment")}}
	}
	return answer.Leaves
}

// lookedUp is told what router made of a recipient. One that will certainly
// fail is refused; about one that may, the configuration says.
func (s *session) lookedUp(p *smtp.RcptParams, leaves []proto.Leaf) action {
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
	return s.settle(s.addRecipient(*p))
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

// forPostmaster tells mail that is never refused for its sender (RFC 5321,
// section 4.5.1): who is refused elsewhere has to be able to say so.
func (s *session) forPostmaster(to mailaddr.Address) (bool, error) {
	if !strings.EqualFold(to.Local(), "postmaster") {
		return false, nil
	}
	return s.isLocal(to)
}

package smtpd

import (
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/rewrite"
	"filbert/pkg/smtp"
)

// senderVerdict is what was found out about the sender of a transaction: at the
// first recipient that the client may send to, so that who only tries to relay
// costs nothing; and once, so that a hundred recipients cost one question.
type senderVerdict struct {
	done    bool
	refusal *smtp.Reply // nil: he is good, or taken on trust
}

// senderCheck is what [verify] wants to be known of a sender.
type senderCheck struct {
	what   proto.Verify
	local  bool
	refuse bool // by own_domains, without a question
}

// checkSender decides about the sender. stop is false when the recipient is to be
// considered further.
func (s *session) checkSender(p *smtp.RcptParams) (a action, stop bool) {
	from, known := s.tx.mail.From, &s.tx.senderIs
	if from.IsNull() || !s.site.checksSenders() {
		return action{}, false
	}
	spared, err := s.forPostmaster(p.To)
	switch {
	case err != nil:
		return ask(err, p), true
	case spared:
		return action{}, false
	case known.done:
		return s.refuseSender(p)
	}
	check, err := s.senderCheck(from)
	switch {
	case err != nil:
		return ask(err, p), true
	case check.refuse:
		*known = senderVerdict{done: true, refusal: refuse(550, 7, 1,
			"Mail from this domain is taken only from its own users; send it through your own mail server or where you may relay").reply}
		return s.refuseSender(p)
	case check.what == proto.VerifyOff:
		known.done = true
		return action{}, false
	}
	about, err := s.rewritten(rewrite.EnvelopeSender, from)
	if err != nil {
		return ask(err, p), true
	}
	// A report to him would come from the null sender: that is what is asked for.
	return action{step: askSender, rcpt: p, inquiry: s.inquire(check.what, mailaddr.Address{}, about, check.local)}, true
}

// checksSenders tells whether there can be anything to check.
func (e *site) checksSenders() bool {
	return e.verify.Senders != "off" || e.verify.OwnDomains != "accept"
}

// senderCheck finds out what is to be known of a sender. own_domains is for
// clients that may not relay: for the others it would refuse one's own users.
func (s *session) senderCheck(from mailaddr.Address) (senderCheck, error) {
	v := &s.site.verify
	relay, err := s.mayRelay()
	if err != nil || relay && !v.TrustedClients {
		return senderCheck{}, err
	}
	local, err := s.isLocal(from)
	c := senderCheck{what: purpose(v.Senders), local: local}
	if own := local && !relay; own && v.OwnDomains == "verify" && c.what == proto.VerifyOff {
		c.what = proto.VerifyRoute
	} else if own && v.OwnDomains == "refuse" {
		c.refuse = true
	}
	return c, err
}

// senderLookedUp is told what router made of the sender, and goes on with the
// recipient.
func (s *session) senderLookedUp(p *smtp.RcptParams, leaves []proto.Leaf) action {
	failed, unsure := judgeLeaves(leaves)
	s.tx.senderIs = senderVerdict{done: true}
	switch {
	case failed != nil:
		s.tx.senderIs.refusal = badSender(failed)
	case unsure != nil && s.site.verify.WhenUnsure == "defer":
		s.tx.senderIs.refusal = refuse(450, unsure.Status.Subject, unsure.Status.Detail,
			"The sender's address can't be verified at the moment, try again later: "+unsure.Text.ForReply()).reply
	}
	return s.settle(s.consider(p))
}

// badSender is the refusal of a sender to whom no report could be sent. The codes
// are those for senders (RFC 3463, section 3.2; RFC 7505, section 4.2): what
// router said is worded for recipients.
func badSender(v *outcome.Outcome) *smtp.Reply {
	subject, detail := 1, 7
	switch v.Kind {
	case outcome.NoDomain, outcome.NoMX:
		detail = 8
	case outcome.NullMX:
		subject, detail = 7, 27
	}
	return refuse(550, subject, detail,
		"No report could be sent to the sender's address; correct it in your mail program: "+v.Text.ForReply()).reply
}

// refuseSender is the answer to a recipient once the sender was looked up. stop is
// false when he is good.
func (s *session) refuseSender(p *smtp.RcptParams) (a action, stop bool) {
	if s.tx.senderIs.refusal == nil {
		return action{}, false
	}
	s.tx.refused++
	return action{reply: s.tx.senderIs.refusal, to: &p.To}, true
}

package smtpd

import (
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// ehlo greets, and forgets a transaction (RFC 5321, section 4.1.4). A bad one
// changes nothing (section 4.1.1.1).
func (s *session) ehlo(arg untrusted.Text) action {
	name, bad := smtp.ParseHello(arg)
	if bad != nil {
		return action{reply: bad}
	}
	s.greeted(name)
	s.esmtp = true
	if s.offersTurn() {
		return action{reply: s.site.ehloAt(s.site.ehloTurn, s.now())}
	}
	return action{reply: s.site.ehloAt(s.site.ehlo, s.now())}
}

func (s *session) helo(arg untrusted.Text) action {
	name, bad := smtp.ParseHello(arg)
	if bad != nil {
		return action{reply: bad}
	}
	s.greeted(name)
	s.esmtp = false
	return action{reply: s.site.helo}
}

func (s *session) greeted(name untrusted.Text) {
	s.reset()
	s.state = ready
	s.hello = name
}

// extensions are those whose parameters may be used.
func (s *session) extensions() smtp.Extensions {
	var ext smtp.Extensions
	if s.esmtp {
		ext = offered
		if s.site.mostHeld() > 0 {
			ext |= smtp.ExtFutureRelease
		}
	}
	if s.site.port.Qualify != "" {
		ext |= smtp.BareAddresses
	}
	return ext
}

// mail begins a transaction.
func (s *session) mail(arg untrusted.Text) action {
	p, bad := smtp.ParseMail(arg, s.extensions())
	if bad != nil {
		return action{reply: bad}
	}
	if p.From, bad = s.site.qualify(p.From); bad != nil {
		return action{reply: bad}
	}
	if s.site.tooBig(0, p.Size) {
		return refuse(552, 3, 4, "Message too big") // RFC 1870, section 6.1
	}
	switch r := s.room(); {
	case r.suspended && !s.site.port.Submission:
		// Not at the greeting: many a client takes a host that hangs up on it for one that
		// is down, and counts that against all mail for it. A 451 is about this message.
		return refuse(451, 3, 2, "Not taking mail at the moment, try again later")
	case !r.up:
		return refuse(451, 3, 0, "Queue is not available, try again later")
	case !r.accepting || p.Size > r.free:
		return refuse(452, 3, 1, "Insufficient system storage") // RFC 5321, section 4.2.3
	}
	wishes, lowered, bad := s.wishes(&p)
	if bad != nil {
		return action{reply: bad}
	}
	s.tx = &transaction{mail: p, wishes: wishes}
	s.state = haveSender
	return senderOK(&wishes, lowered)
}

// rcpt adds a recipient, if it is one that this client may send to.
func (s *session) rcpt(arg untrusted.Text) action {
	ext := s.extensions()
	if !s.tx.mail.SMTPUTF8 {
		ext &^= smtp.ExtSMTPUTF8
	}
	p, bad := smtp.ParseRcpt(arg, ext)
	if bad != nil {
		s.tx.refused++
		return action{reply: bad}
	}
	if !isPostmaster(p.To) {
		if p.To, bad = s.site.qualify(p.To); bad != nil {
			s.tx.refused++
			return action{reply: bad}
		}
	}
	if len(s.tx.recipients) >= s.maxRecipients() {
		return s.tooManyRecipients()
	}
	s.forget()
	return s.consider(&p)
}

func (s *session) addRecipient(p smtp.RcptParams) action {
	s.tx.add(p)
	s.state = haveRecipient
	return accept(1, 5, "Recipient ok")
}

// maxRecipients: a server must take at least 100 (RFC 5321, section 4.5.3.1.8).
func (s *session) maxRecipients() int { return max(smtp.MinRecipients, s.site.limits.Recipients) }

// tooManyRecipients keeps those before (RFC 5321, section 4.5.3.1.10). A client
// that goes on and on does not understand.
func (s *session) tooManyRecipients() action {
	s.tx.overflow++
	if s.tx.overflow > s.maxRecipients() {
		return hang(421, 4, 7, 0, "Too many recipients")
	}
	s.fruitless-- // it is counted by itself
	return refuse(452, 5, 3, "Too many recipients")
}

// data asks for the content.
func (s *session) data(untrusted.Text) action {
	return action{step: readContent, reply: smtp.NewReply(354, smtp.Status{}, "Go on, end with a dot")}
}

// bdat takes a chunk. Where one can't be taken its octets must still be read:
// they would be commands otherwise (RFC 3030, section 2). That is why its
// sequence is checked here, after its size.
func (s *session) bdat(arg untrusted.Text) action {
	size, last, bad := smtp.ParseBDAT(arg)
	if bad != nil {
		// How many octets follow nobody knows: there is no way on.
		return action{step: hangUp, reply: bad}
	}
	switch {
	case s.state == strange || s.state == broken || s.state == ready:
		return s.badChunk(size, smtp.MoreChunks, s.outOfSequence("BDAT"))
	case !s.esmtp:
		return s.badChunk(size, last, refuse(503, 5, 1, "CHUNKING was not offered"))
	case s.state == haveSender:
		return s.badChunk(size, last, s.outOfSequence("BDAT"))
	case s.site.tooBig(s.tx.size, size):
		return s.badChunk(size, last, refuse(552, 3, 4, "Message too big"))
	}
	if size == 0 && !last {
		s.fruitless++
	}
	s.tx.size += size
	s.state = haveChunks
	return action{step: readChunk, size: size, last: last}
}

// badChunk ends the transaction, if there is one, and throws the chunk away.
// After the last chunk the message has ended and the session goes on; after
// any other the client has to say RSET, because it may have sent more chunks
// already and we would not know whose they are.
func (s *session) badChunk(size int64, last smtp.LastChunk, why action) action {
	why.from = s.tx.sender()
	s.reset()
	if s.state == ready && !last {
		s.state = broken
	}
	if size > s.site.maxDiscard()-s.discarded {
		why.step = hangUp
		return why
	}
	s.discarded += size
	why.step, why.size = discardChunk, size
	return why
}

// chunkRead is told how reading a chunk went: nil, or why the message is
// refused. The chunk itself has been read to its end. After the last chunk
// session.ended is told instead.
func (s *session) chunkRead(problem *smtp.Reply) action {
	if problem == nil {
		return s.settle(accept(0, 0, "Chunk ok"))
	}
	from := s.tx.sender()
	s.reset()
	s.state = broken
	a := s.settle(action{reply: problem})
	a.from = from
	return a
}

func (s *session) rset(untrusted.Text) action {
	s.reset()
	return accept(0, 0, "Ok")
}

func (s *session) noop(untrusted.Text) action { return accept(0, 0, "Ok") }

func (s *session) quit(untrusted.Text) action {
	s.reset()
	return hang(221, 2, 0, 0, "Bye")
}

// vrfy says nothing about users (RFC 5321, sections 3.5.3 and 7.3).
func (s *session) vrfy(arg untrusted.Text) action {
	if arg.IsEmpty() {
		return refuse(501, 5, 4, "Address wanted")
	}
	return action{reply: smtp.NewReply(252, smtp.Status{Class: 2, Subject: 5, Detail: 0}, "Send it mail and see")}
}

func (s *session) help(untrusted.Text) action {
	return action{reply: smtp.NewReply(214, smtp.Status{Class: 2, Subject: 0, Detail: 0},
		"Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT",
		"See RFC 5321")}
}

// unimplemented is for commands that we know and do not have.
func (s *session) unimplemented(untrusted.Text) action {
	return refuse(502, 5, 1, "Command not implemented")
}

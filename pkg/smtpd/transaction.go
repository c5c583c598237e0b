package smtpd

import (
	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
	"filbert/pkg/smtp"
)

// transaction is all that belongs to one message: what MAIL and RCPT said, and
// the content as far as it is here. A session has at most one, and drops it
// whole (session.reset) when the message has ended in whatever way.
//
// Invariant: there is a transaction exactly in the states haveSender,
// haveRecipient and haveChunks.
type transaction struct {
	mail       smtp.MailParams
	wishes     envelope.Wishes
	recipients []envelope.Recipient
	refused    int // recipients refused for what they are
	overflow   int // recipients refused because there were too many

	senderIs senderVerdict // looked up at the first recipient

	size    int64   // of content, as far as BDAT has announced it
	content content // nil before the first octet
}

// content is where the text of a message goes; package state of nobody but
// the dialogue that fills it. The session only ever gives it up.
type content interface {
	// abandon makes it as if nothing had been sent. It may be called after the
	// end, and then does nothing.
	abandon()
}

// add takes one recipient.
func (t *transaction) add(p smtp.RcptParams) {
	t.recipients = append(t.recipients, envelope.Recipient{
		Address:  p.To,
		Notify:   envelope.Notify(p.Notify),
		OrigType: p.ORcpt.Type,
		Orig:     p.ORcpt.Addr,
	})
}

// sender is for log lines.
func (t *transaction) sender() *mailaddr.Address {
	if t == nil {
		return nil
	}
	from := t.mail.From
	return &from
}

// envelope is what cleanup is told of the message.
func (s *session) envelope() envelope.Envelope {
	t := s.tx
	return envelope.Envelope{
		Source:     envelope.FromSMTP,
		Sender:     t.mail.From,
		Recipients: t.recipients,
		Body:       envelope.Body(t.mail.Body),
		UTF8:       t.mail.SMTPUTF8,
		Return:     envelope.Return(t.mail.Ret),
		EnvID:      t.mail.EnvID,
		Wishes:     t.wishes,
		Client: envelope.Client{
			Addr:  s.peer,
			HELO:  s.hello,
			Proto: message.Session{Extended: s.esmtp, UTF8: t.mail.SMTPUTF8}.With(),
			UID:   -1,
			Port:  s.site.port.Name,
		},
	}
}

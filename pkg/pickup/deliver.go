package pickup

import (
	"fmt"
	"slices"
	"strings"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// deliver takes one message from standard input.
func (p *pickup) deliver() error {
	o := p.opts
	rcpts, err := operandRecipients(o.operands)
	if err != nil {
		return err
	}
	if len(rcpts) == 0 && !o.fromHeader {
		// Before the message is read: somebody may be typing it.
		return fail(exUsage, "no recipients: name them, or say -t to take them from the header")
	}
	c := p.newContent()
	defer c.close()
	if err := c.collect(p.in, o.dots); err != nil {
		return err
	}
	h, err := scanHeader(c)
	if err != nil {
		return err
	}
	if o.fromHeader {
		more, err := headerRecipients(h)
		if err != nil {
			return err
		}
		if rcpts = append(rcpts, more...); len(rcpts) == 0 {
			return fail(exUsage, "no recipients in the header (To, Cc, Bcc), nothing was sent")
		}
	}
	sender := p.sender(h)
	m := p.submission(sender, rcpts)
	if err := o.hold.wish(&m.Envelope.Wishes, p.now()); err != nil {
		return err
	}
	finishHeader(c, h, p.from(h, sender))
	return p.stop.finally(func() error { return p.report(p.handIn(m, c)) })
}

// operandRecipients reads the addresses of the command line, each word a list as
// in a header field.
func operandRecipients(words []string) ([]mailaddr.Address, error) {
	var all []mailaddr.Address
	for _, w := range words {
		list, err := mailaddr.ParseList(untrusted.From(w))
		if err != nil {
			return nil, fail(exDataErr, "recipient %s: %v", untrusted.From(w).ForTerminal(), err)
		}
		for _, e := range list {
			all = append(all, e.Address)
		}
	}
	if len(all) > envelope.MaxRecipients {
		return nil, fail(exDataErr, "more than %d recipients", envelope.MaxRecipients)
	}
	return all, nil
}

// sender is -f, for rmail that of the "From " line, else the caller's address.
func (p *pickup) sender(h message.Header) mailaddr.Address {
	if p.opts.sender != nil {
		return *p.opts.sender
	}
	if p.opts.mode == modeRmail && len(h.Fields) > 0 && h.Fields[0].Kind == message.KindMboxFrom {
		if a, ok := mboxSender(string(h.Raw(h.Fields[0]))); ok {
			return a
		}
	}
	return p.own()
}

// own is the caller's address, without a domain. A login name that no address
// can have gives way to the number.
func (p *pickup) own() mailaddr.Address {
	for _, local := range []string{p.user.login, fmt.Sprintf("#%d", p.user.uid)} {
		if a, err := mailaddr.New(local, ""); err == nil {
			return a
		}
	}
	return mailaddr.Address{}
}

// mboxSender reads "From sender date [remote from host]", as UUCP wrote it.
func mboxSender(line string) (mailaddr.Address, bool) {
	words := strings.Fields(strings.TrimPrefix(line, ">"))
	if len(words) < 2 {
		return mailaddr.Address{}, false
	}
	a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(strings.Trim(words[1], "<>")))
	if err != nil {
		return mailaddr.Address{}, words[1] == "<>"
	}
	if n := len(words); a.Domain() == "" && n > 4 && words[n-3] == "remote" && words[n-2] == "from" {
		if q, err := a.WithDomain(words[n-1]); err == nil {
			return q, true
		}
	}
	return a, true
}

// from is the From field to add, "" where there is one or no name to say.
// cleanup adds one without a name.
func (p *pickup) from(h message.Header, sender mailaddr.Address) string {
	if h.HasField("From") || p.opts.gateway {
		return ""
	}
	name := p.opts.fullName
	if name == "" && p.opts.sender == nil {
		if name = p.fullName; name == "" {
			name = p.user.name
		}
	}
	if name == "" {
		return ""
	}
	if sender.IsNull() {
		sender = mailaddr.MustParse("MAILER-DAEMON")
	}
	return fromField(name, p.site.qualify(sender))
}

// submission is what cleanup is asked for. Bare addresses are still bare.
func (p *pickup) submission(sender mailaddr.Address, rcpts []mailaddr.Address) *proto.Submission {
	o := p.opts
	m := &proto.Submission{Complete: !o.gateway}
	v := &m.Envelope
	v.Source = envelope.FromLocal
	v.Sender = sender
	v.Body, v.Return, v.EnvID = o.body, o.ret, untrusted.From(o.envID)
	v.Client = envelope.Client{Proto: message.WithLocal, Login: p.user.login, UID: int64(p.user.uid)}
	for _, a := range rcpts {
		v.Recipients = append(v.Recipients, envelope.Recipient{Address: a, Notify: o.notify})
	}
	return m
}

// complete qualifies the envelope's addresses, keeps each recipient once, and says
// whether any of them needs SMTPUTF8. Text in the header alone does not ask for
// it: that would keep a job's mail with one raw character from servers that would
// take it.
func (s *site) complete(v *envelope.Envelope) {
	v.Sender = s.qualify(v.Sender)
	v.UTF8 = v.UTF8 || v.Sender.NeedsUTF8()
	seen := make(map[mailaddr.Address]bool, len(v.Recipients))
	once := v.Recipients[:0]
	for _, r := range v.Recipients {
		r.Address = s.qualify(r.Address)
		if seen[r.Address] {
			continue
		}
		seen[r.Address] = true
		v.UTF8 = v.UTF8 || r.Address.NeedsUTF8()
		once = append(once, r)
	}
	v.Recipients = once
}

// handIn brings a message to safety: with cleanup, or in maildrop/ when cleanup
// cannot take it now. The answer's code is 250 in both cases, its id is zero in
// the latter.
//
// Requires: it runs within a step.
func (p *pickup) handIn(m *proto.Submission, c *content) (*proto.Acceptance, error) {
	later := *m
	later.Envelope.Recipients = slices.Clone(m.Envelope.Recipients)
	p.site.complete(&m.Envelope)
	if p.site.sure {
		later = *m
	}
	answer, err := p.submit(m, c.section())
	if err == nil && !passes(answer) {
		return answer, nil
	}
	// No answer may also mean that only the answer was lost. Then the message is
	// sent twice, which is better than never.
	if err := p.drop(&later, c); err != nil {
		return nil, err
	}
	return &proto.Acceptance{Code: 250, Status: smtp.Status{Class: 2}, Text: "Kept until the mail system is up"}, nil
}

// passes tells a refusal after which the message is worth keeping: a temporary
// one, but for a full disk, which is the one that we would keep it on.
func passes(a *proto.Acceptance) bool {
	full := a.Code == 452 || a.Status.Subject == 3 && a.Status.Detail == 1
	return a.Code/100 == 4 && !full
}

// report turns the answer into what a program of the command line gets.
func (p *pickup) report(a *proto.Acceptance, err error) error {
	switch {
	case err != nil:
		return err
	case a.Code/100 != 2:
		return refusal(a)
	case p.opts.verbose && a.ID.IsZero():
		fmt.Fprintln(p.out, "The message is kept until the mail system is up.")
	case p.opts.verbose:
		fmt.Fprintf(p.out, "The message is %s (\"mtactl trace %s\").\n", a.ID, a.ID)
	}
	return nil
}

// refusal is the exit status of an answer other than 250.
func refusal(a *proto.Acceptance) error {
	status := exUnavailable
	switch {
	case a.Code/100 != 5:
		status = exTempFail
	case a.Status.Subject == 1: // RFC 3463, section 3.2: addresses
		status = exNoUser
	case a.Status.Subject == 6 || a.Status.Subject == 3 && a.Status.Detail == 4: // content; too big
		status = exDataErr
	case a.Status.Subject == 7: // policy
		status = exNoPerm
	}
	return fail(status, "not accepted: %d %s %s", a.Code, a.Status, untrusted.From(a.Text).ForTerminal())
}

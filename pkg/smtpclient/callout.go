package smtpclient

import (
	"context"
	"errors"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
)

// Limits of call-outs. They have places of their own: those who wait for
// deliveries must not wait for strangers who guess addresses, nor the reverse.
const (
	maxCallOuts = 100
	callOutTime = 30 * time.Second // where the question names no time
	mostCallOut = 5 * time.Minute
)

// A callOut asks the servers of a domain whether they would take mail for one
// recipient, by the beginning of a dialogue that never gets to DATA.
type callOut struct {
	client *Client
	q      *proto.CalloutQuery
	answer proto.CalloutAnswer
	end    time.Time
}

// CallOut asks. The answer is Delivered or Failed only when a server has said so
// of the recipient.
func (c *Client) CallOut(ctx context.Context, q *proto.CalloutQuery) proto.CalloutAnswer {
	allowed := min(time.Duration(q.Timeout)*time.Millisecond, mostCallOut)
	if allowed <= 0 {
		allowed = callOutTime
	}
	o := &callOut{client: c, q: q, end: time.Now().Add(allowed)}
	ctx, cancel := context.WithDeadline(ctx, o.end)
	defer cancel()
	select {
	case c.callOuts <- struct{}{}:
		defer func() { <-c.callOuts }()
		o.run(ctx)
	case <-ctx.Done():
		o.answer.Outcome = outcome.Defer(outcome.Busy, statusOf(outcome.Busy), "too many call-outs are under way")
	}
	if o.answer.Outcome.Transport == "" {
		o.answer.Outcome.Transport = q.Transport
	}
	return o.answer
}

// run asks one server after the other until one has an answer.
func (o *callOut) run(ctx context.Context) {
	r := (*o.client.routes.Load())[o.q.Transport]
	if r == nil {
		o.unknown(outcome.Defer(outcome.Internal, statusOf(outcome.Internal), "transport %q is not one of SMTP or LMTP here", o.q.Transport))
		return
	}
	targets, err := r.targets(o.q.Hosts, r.login)
	if err != nil {
		o.unknown(outcome.Defer(outcome.Internal, statusOf(outcome.Internal), "%v", err))
		return
	}
	for i := range targets {
		if o.server(ctx, &targets[i], len(targets)-1-i) || ctx.Err() != nil {
			return
		}
	}
}

// unknown is why nothing was found out: whatever the class of what was said, it
// was not said of the recipient.
func (o *callOut) unknown(out outcome.Outcome) {
	out.Class, out.Status.Class = outcome.Deferred, 4
	o.answer = proto.CalloutAnswer{Outcome: out}
}

// server asks one server; others more could be asked after it. It reports
// whether these have nothing to add.
func (o *callOut) server(ctx context.Context, t *target, others int) (done bool) {
	if others > 0 {
		// One that swallows packets must leave time for the next.
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, time.Now().Add(time.Until(o.end)/2))
		defer cancel()
	}
	for want := anySession; ; want = newSession {
		s, kept, f := o.client.session(ctx, t, want, o.end)
		if f != nil {
			o.unknown(f.out)
			return false
		}
		done, acknowledged, f := o.converse(s)
		died := f != nil && s.dead
		o.client.pool.give(s)
		if f == nil {
			return done
		}
		if !died || !kept || acknowledged || want == newSession {
			o.unknown(f.out)
			return false
		}
	}
}

// converse is the dialogue with one server. It reports whether the answer is
// here, whether the server has acknowledged anything, and a failure of the
// session.
func (o *callOut) converse(s *session) (done, acknowledged bool, f *failure) {
	s.row.Set("call-out", "", s.label)
	s.uses++
	p, why := o.plan(s)
	if why != nil {
		s.sign(why)
		o.answer.Outcome = *why
		return true, true, nil
	}
	if s.reset {
		if _, f := o.say(s, "RSET\r\n", stepReset); f != nil {
			return false, false, f
		}
	}
	s.reset = false
	v, f := o.say(s, string(p.appendMail(nil)), stepMail)
	switch {
	case f != nil:
		return false, false, f
	case !v.granted:
		// Of the sender, or of us. Another server may say more if this was for
		// the moment.
		o.unknown(v.out)
		return v.out.Class == outcome.Failed, true, nil
	}
	s.reset = true // until RSET is answered
	done, f = o.recipients(s, &p)
	if f == nil && !s.dead {
		o.forget(s)
	}
	return done, true, f
}

// plan is how the addresses are written for this server; an outcome where they
// can't be.
func (o *callOut) plan(s *session) (plan, *outcome.Outcome) {
	q := o.q
	utf8 := q.Sender.NeedsUTF8() || q.Recipient.NeedsUTF8() || q.Random.NeedsUTF8()
	p := plan{sender: q.Sender, utf8: utf8 && s.caps.Extensions.Has(smtp.ExtSMTPUTF8)}
	for _, a := range []mailaddr.Address{q.Sender, q.Recipient} {
		if why := p.reachable(a, s.label); why != nil {
			return p, why
		}
	}
	return p, nil
}

// recipients asks for the one that nobody can have, and for the one in question.
func (o *callOut) recipients(s *session, p *plan) (done bool, f *failure) {
	all := false
	if q := o.q; !q.Random.IsNull() && p.reachable(q.Random, s.label) == nil {
		v, f := o.say(s, string(p.appendTo(nil, q.Random)), stepRcpt)
		if f != nil {
			return false, f
		}
		all = v.granted
	}
	v, f := o.say(s, string(p.appendTo(nil, o.q.Recipient)), stepRcpt)
	if f != nil {
		return false, f
	}
	o.answer = proto.CalloutAnswer{Outcome: v.out, AcceptsAll: all}
	return true, nil
}

// say sends one command and judges the reply. A reply that ends the session is
// a failure.
func (o *callOut) say(s *session, command string, what step) (ruling, *failure) {
	r, f := s.ask(command, what)
	if f != nil {
		return ruling{}, f
	}
	v := judge(what, r)
	s.sign(&v.out)
	if v.over {
		s.dead = true
		return v, &failure{out: v.out, cause: errOver}
	}
	return v, nil
}

var errOver = errors.New("the server has ended the session, or lost count")

// forget ends the transaction, so that the server does not wait for its DATA.
// The answer is known by now, and no trouble here changes it.
func (o *callOut) forget(s *session) {
	if v, f := o.say(s, "RSET\r\n", stepReset); f == nil && v.granted {
		s.reset = false
		return
	}
	s.dead = true
}

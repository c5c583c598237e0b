package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// A delivery is one job on its way.
type delivery struct {
	client  *Client
	job     *proto.RemoteJob
	content content
	end     time.Time
	traits  traits
	route   *route
	outs    []outcome.Outcome // by recipient; Class 0: still owed
	site    outcome.Outcome   // why the last server did not do
	stop    bool              // no other server is to be asked
	most    int               // recipients a server took before it hung up on the rest; 0: none did
	tried   []proto.HostTried

	convertible *bool // known once it was asked for
}

// prepare looks at the job before any server does.
func (d *delivery) prepare(ctx context.Context, r *route, files []*os.File) ([]target, error) {
	var err error
	if r == nil {
		return nil, fmt.Errorf("transport %q is not one of SMTP or LMTP here", d.job.Transport)
	}
	d.route = r
	if d.content, err = contentOf(&d.job.Content, files); err != nil {
		return nil, err
	}
	d.end = time.Now().Add(r.to.job + time.Duration(d.content.size/jobRate)*time.Second)
	d.traits.lmtp = r.conf.IsLMTP()
	if err := d.leave(ctx); err != nil {
		return nil, err
	}
	if err := d.findUTF8(); err != nil {
		return nil, err
	}
	var lines newlines
	if err := lines.check(d.content.inline); err != nil || lines.finish() != nil {
		d.settleAll(outcome.Fail(outcome.Content, smtp.Status{Class: 5, Subject: 6, Detail: 0}, "%v", errBareNewline))
	}
	who := r.login
	if c := d.job.Credentials; c != nil && c.Username != "" {
		who = loginOf(c.Username, c.Password)
	}
	targets, err := r.targets(d.job.Hosts, who)
	for i := range targets {
		targets[i].from = d.job.Sources
	}
	return targets, err
}

// findUTF8 finds out whether the message is internationalized (RFC 6531): it
// was asked for, and something in envelope or header needs it.
func (d *delivery) findUTF8() error {
	t := &d.traits
	header := false
	if d.job.UTF8 && d.job.Has8Bit {
		var err error
		if header, err = d.content.headerHas8Bit(); err != nil {
			return err
		}
	}
	sender := d.job.Sender
	t.needsUTF8 = header || sender.NeedsUTF8() && asciiAddress(sender).NeedsUTF8()
	t.wantsUTF8 = header || sender.NeedsUTF8()
	for i := range d.job.Recipients {
		t.wantsUTF8 = t.wantsUTF8 || d.job.Recipients[i].Address.NeedsUTF8()
	}
	return nil
}

// left is the number of recipients who are still owed an outcome.
func (d *delivery) left() int {
	n := 0
	for i := range d.outs {
		if d.outs[i].Class == 0 {
			n++
		}
	}
	return n
}

func (d *delivery) settleAll(o outcome.Outcome) {
	for i := range d.outs {
		if d.outs[i].Class == 0 {
			d.outs[i] = o
		}
	}
}

// finish gives everybody an outcome: who is still without has that of the last
// server.
func (d *delivery) finish() []outcome.Outcome {
	if d.site.Class == 0 {
		d.site = outcome.Defer(outcome.Internal, statusOf(outcome.Internal), "no server was tried")
	}
	d.settleAll(d.site)
	for i := range d.outs {
		d.outs[i].Transport = d.job.Transport
	}
	return d.outs
}

// try gives one server its chance. A kept session that turns out to be dead
// before the server has acknowledged anything of this message costs nothing
// but a second try on a fresh one: it says nothing of the server. One that
// hung up on too many recipients is tried with fewer, once.
func (d *delivery) try(ctx context.Context, t *target) {
	for want := anySession; ; want = newSession {
		if ctx.Err() != nil {
			d.stop, d.site = true, stopping()
			return
		}
		s, kept, f := d.client.session(ctx, t, want, d.end)
		d.tell(t, s, f)
		if f != nil {
			d.note(t, f)
			d.fail(f)
			return
		}
		most := d.most
		acknowledged, f := d.converse(ctx, s)
		died := f != nil && s.dead
		s.seen = nil // it was told
		d.client.pool.give(s)
		if f != nil {
			d.note(t, f)
			if errors.Is(f, errHELOAlone) {
				t.advice.HELO = false
				continue
			}
		}
		stale := died && kept && !acknowledged && want == anySession
		if !stale && d.most == most {
			d.fail(f)
			return
		}
	}
}

// tell keeps whether a server could be used, for those who come after. What stood
// in the way on our side says nothing of it.
func (d *delivery) tell(t *target, s *session, f *failure) {
	h := proto.HostTried{Addr: t.addr, Name: t.name}
	if f == nil {
		h.Seen = s.seen
	} else {
		h.Seen = f.seen
		if h.Failure = f.out; f.out.Class != outcome.Deferred || f.out.Kind == outcome.Busy || f.out.Kind == outcome.Internal {
			return
		}
	}
	if n := len(d.tried); n > 0 && d.tried[n-1].Addr == h.Addr {
		d.tried[n-1] = h // a kept session was dead: the fresh one tells
		return
	}
	d.tried = append(d.tried, h)
}

func stopping() outcome.Outcome {
	return outcome.Defer(outcome.Internal, statusOf(outcome.Internal), "the delivery was called off before it began")
}

// fail takes over why a server did not do. A loop is final: the next server
// would only send it round once more.
func (d *delivery) fail(f *failure) {
	if f == nil {
		return
	}
	d.site = f.out
	d.stop = d.stop || f.out.Class == outcome.Failed
}

// note tells those who debug.
func (d *delivery) note(t *target, f *failure) {
	if d.client.log.Debugging() {
		d.client.log.Emit(event.NoteOf(d.job.ID, "attempt", untrusted.From(t.label()+": "+f.Error())))
	}
}

// converse makes as many transactions on s as the recipients need. It reports
// whether the server has acknowledged anything of the last, and a failure when
// some are left for another server.
func (d *delivery) converse(ctx context.Context, s *session) (acknowledged bool, f *failure) {
	defer s.cutOff(ctx)()
	d.traits.host = s.label
	d.traits.now = time.Now()
	p, why := fit(d.job, &s.caps, d.traits)
	if f := d.enough(s, &p, why); f != nil {
		return false, f
	}
	p.pipeline = p.pipeline && !s.target.advice.OneByOne
	if why == nil && p.convert {
		why = d.convert()
	}
	if why != nil {
		d.settleAll(*why)
		return true, nil
	}
	for {
		t := d.begin(s, p)
		if len(t.rcpts) == 0 {
			return true, nil
		}
		f = d.run(ctx, s, t)
		d.sawTooMany(t)
		d.collect(s, t)
		if t.over {
			d.sawOutOfStep(s, &t.site)
		}
		switch {
		case f != nil:
			return t.mailOK, f
		case t.site.Class != 0:
			return t.mailOK, &failure{out: t.site}
		}
	}
}

// convert finds out whether the message can be made 7-bit.
func (d *delivery) convert() *outcome.Outcome {
	if d.convertible == nil {
		ok, err := d.content.convertible()
		if err != nil {
			d.stop = true
			o := outcome.Defer(outcome.Internal, statusOf(outcome.Internal), "%v", err)
			return &o
		}
		d.convertible = &ok
	}
	if *d.convertible {
		return nil
	}
	return refuse(smtp.Status{Class: 5, Subject: 6, Detail: 3},
		"%s takes 7-bit content only (no 8BITMIME), and the message cannot be converted", d.traits.host)
}

// begin prepares the next transaction on s: those still owed, as many as the
// server takes at once.
func (d *delivery) begin(s *session, p plan) *transaction {
	t := &s.tx
	*t = transaction{plan: p, reset: s.reset, rcpts: t.rcpts[:0], queue: t.queue[:0]}
	most := s.target.route.conf.MaxRecipients
	for _, n := range []int{s.caps.LimitsRcpts, s.target.advice.MaxRecipients, s.most, d.most} {
		if n > 0 {
			most = min(most, n)
		}
	}
	for i := range d.outs {
		if d.outs[i].Class != 0 {
			continue
		}
		to := &d.job.Recipients[i]
		if why := p.reachable(to.Address, d.traits.host); why != nil {
			d.outs[i] = *why
			continue
		}
		if len(t.rcpts) == most {
			break
		}
		t.rcpts = append(t.rcpts, rcpt{index: i, to: to})
	}
	return t
}

// collect takes over what the transaction has settled. Whom the server found
// one too many goes into the next one at once (RFC 5321, section 4.5.3.1.10),
// if this one got anywhere: else he waits like others who are deferred.
//
// A server that counts each one too many as an error and hangs up when it has
// enough of them would do so at every attempt: nobody would ever be delivered
// to. What it accepted until then is what it is given next.
func (d *delivery) collect(s *session, t *transaction) {
	s.uses++
	s.reset = t.leftOpen()
	s.dead = s.dead || t.over
	s.sign(&t.site)
	again := t.accepted > 0 && t.ended && !t.over
	fewer := false
	for i := range t.rcpts {
		r := &t.rcpts[i]
		if r.accepted && r.out.Class == outcome.Deferred {
			again = false // the disk is full, or the like
		}
		fewer = fewer || r.tooMany
	}
	if fewer = fewer && s.dead && !t.ended && t.accepted > 0 && d.most == 0; fewer {
		d.most = t.accepted
	}
	for i := range t.rcpts {
		r := &t.rcpts[i]
		switch {
		case r.tooMany && again:
			s.most = t.accepted
		case r.tooMany && fewer:
		case r.out.Class != 0:
			s.sign(&r.out)
			d.outs[r.index] = r.out
		}
		r.to = nil
	}
}

package dispatch

import (
	"context"
	"slices"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/retry"
	"filbert/pkg/smtp"
)

const (
	// busyPause is the wait where our own limits stood in the way.
	busyPause = 2 * time.Second
	// orderedPause is the wait where a standing order did, at most.
	orderedPause = 6 * time.Hour
)

// sender is senderOf as an address.
func (f *flight) sender(i int) mailaddr.Address {
	if to := f.leaves[i].Recipient.ErrorsTo; to != nil && !f.env.Sender.IsNull() {
		return *to
	}
	return f.env.Sender
}

// learnHosts takes in what the servers of a job did.
func (d *Dispatcher) learnHosts(f *flight, j *job, tried []proto.HostTried) {
	if f.wasAborted() {
		return // who broke off was not the server
	}
	first := j.leaves[0]
	for n := range tried {
		h := &tried[n]
		k := d.hostKeyOf(f, first, h.Addr, j.sources)
		if h.Ready() {
			d.succeeded(k, f.env.ID)
			continue
		}
		if d.limits.throttled(j.dest, &h.Failure) {
			continue // it takes mail, though less at a time
		}
		host := hostOf(f.leaves[first].Hosts, h)
		fail := retry.FailureOf(&h.Failure)
		if fail.Own() {
			continue // it was not asked
		}
		subject := d.subject(f, first, &host)
		d.failings.change(k, func(st *failing) {
			st.state = d.rules.Load().Fail(subject, st.state, fail, d.now(), d.dice())
			st.host, st.probe = label(&host), time.Time{}
			if st.hops == nil {
				st.hops = map[string]struct{}{}
			}
			if len(st.hops) < maxHops {
				st.hops[j.nextHop] = struct{}{}
			}
		})
	}
}

// hostOf is the host of the route that was tried.
func hostOf(hosts []proto.Host, h *proto.HostTried) proto.Host {
	for i := range hosts {
		if sameServer(hosts[i].Addr, h.Addr) {
			return hosts[i]
		}
	}
	return proto.Host{Name: h.Name, Addr: h.Addr}
}

// learn takes in what became of a leaf that was attempted, and decides what
// follows; tried are the servers of a remote job, and without a job it is a local one.
func (d *Dispatcher) learn(f *flight, i int, j *job, tried []proto.HostTried) {
	o := &f.outcomes[i]
	to := &f.leaves[i].Recipient
	if o.Class == outcome.Delivered {
		if !d.failings.none() {
			d.succeeded(addressKey(to), f.env.ID)
			d.succeeded(pairKey(to.Address, f.sender(i)), f.env.ID)
		}
		return
	}
	if !o.Temporary() || f.wasAborted() || o.Kind == outcome.Busy || o.Kind == outcome.Ordered || o.Kind == outcome.Aborted {
		return
	}
	fail := retry.FailureOf(o)
	var decision retry.Decision
	switch {
	case fail.Own():
		decision = d.rules.Load().JudgeAlone(d.subject(f, i, nil), fail, f.message(), d.now(), d.dice())
		decision.Over = decision.Over && d.now().After(decision.GiveUp.Add(ownGrace))
	case j != nil && d.limits.throttled(j.dest, o):
		decision = d.judgeThrottled(f, i, j.dest)
	case ofHost(o, tried):
		decision = d.judgeHosts(f, i, j, tried)
	case j != nil:
		decision = d.judgeAddress(f, i, pairKey(to.Address, f.sender(i)), fail)
	default:
		decision = d.judgeAddress(f, i, addressKey(to), fail)
	}
	d.follow(f, i, &decision)
}

// ofHost tells whether an outcome is what the last server did to everybody, and not
// what it said of one sender and recipient.
func ofHost(o *outcome.Outcome, tried []proto.HostTried) bool {
	n := len(tried)
	return n > 0 && !tried[n-1].Ready() && tried[n-1].Failure.Kind == o.Kind && tried[n-1].Failure.Code == o.Code
}

// judgeAddress is the decision by the state of an address, which has failed.
func (d *Dispatcher) judgeAddress(f *flight, i int, k failKey, fail retry.Failure) (decision retry.Decision) {
	subject := d.subject(f, i, nil)
	d.failings.change(k, func(st *failing) {
		st.state, decision = d.rules.Load().Decide(subject, st.state, f.message(), fail, d.now(), d.dice())
	})
	d.failings.waitsFor(k, f.env.ID)
	return decision
}

// judgeHosts is the decision by the states of all hosts that a leaf has: those that
// were tried, and those that were left out as they were not due.
func (d *Dispatcher) judgeHosts(f *flight, i int, j *job, tried []proto.HostTried) retry.Decision {
	l := &f.leaves[i]
	hosts := slices.Clone(l.Hosts)
	for n := range tried {
		if !slices.ContainsFunc(hosts, func(h proto.Host) bool { return sameServer(h.Addr, tried[n].Addr) }) {
			hosts = append(hosts, proto.Host{Name: tried[n].Name, Addr: tried[n].Addr})
		}
	}
	var list []retry.Decision
	var keys []failKey
	for h := range hosts {
		k := d.hostKeyOf(f, i, hosts[h].Addr, j.sources)
		s := d.failings.state(k)
		if s.IsZero() || slices.Contains(keys, k) {
			continue // not tried: more than one job takes
		}
		list = append(list, d.rules.Load().Judge(d.subject(f, i, &hosts[h]), &s, f.message(), d.now()))
		keys = append(keys, k)
		d.failings.waitsFor(k, f.env.ID)
	}
	if slices.ContainsFunc(tried, func(h proto.HostTried) bool { return h.Ready() }) {
		// It has talked to us, and put the message off: no machine of which we know
		// that it takes no mail.
		list = append(list, d.rules.Load().JudgeAlone(d.subject(f, i, nil), retry.Failure{}, f.message(), d.now(), d.dice()))
	}
	decision := retry.Combine(list)
	if decision.Over {
		for _, k := range keys {
			d.failings.change(k, func(st *failing) { st.state.GiveUp(d.now()) })
		}
	}
	return decision
}

// follow does with a leaf what was decided.
func (d *Dispatcher) follow(f *flight, i int, decision *retry.Decision) {
	if !decision.Over {
		c := f.courseOf(i)
		c.next, c.giveUp = decision.Next.UnixMilli(), decision.GiveUp.UnixMilli()
		return
	}
	o := &f.outcomes[i]
	// Delivery time expired (RFC 3463, section 3.5). What the server said, with its
	// code, stays beside it.
	o.Class, o.Kind = outcome.Failed, outcome.Expired
	o.Status = smtp.Status{Class: 5, Subject: 4, Detail: 7}
	if o.Remote == "" { // else they are the server's words, which the report quotes
		o.Text = o.Text.Plus(" - " + decision.Why)
	}
	f.keepKnown(i, decision)
}

// keepKnown keeps for the report what was known of who was given up. Whoever reads that we
// have tried for a minute has to be told why no longer.
func (f *flight) keepKnown(i int, decision *retry.Decision) {
	if decision.Since.IsZero() {
		return
	}
	was := &decision.Failure
	k := proto.Known{Kind: was.Kind, Code: was.Code, Status: was.Status, Since: decision.Since.Unix()}
	if decision.Once {
		k.GaveUp = decision.GaveUp.Unix()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = make([]proto.Known, len(f.leaves))
	}
	f.known[i] = k
}

func (f *flight) knownOf(i int) proto.Known {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		return proto.Known{}
	}
	return f.known[i]
}

// learnRoutes is learn for what router could not answer for the moment.
func (d *Dispatcher) learnRoutes(f *flight) {
	if f.due.Action == proto.DueBounce {
		return
	}
	for i := range f.leaves {
		if f.leaves[i].Verdict.Class != 0 && !f.isPutOff(i) {
			d.learn(f, i, nil, nil)
		}
	}
}

// succeeded forgets a failure, and releases what waits for that (paper, section 5).
func (d *Dispatcher) succeeded(k failKey, by queueid.ID) {
	st := d.failings.clear(k)
	if st == nil {
		return
	}
	d.figures.releases.Add(1)
	up := &proto.Up{}
	for hop := range st.hops {
		up.NextHops = append(up.NextHops, hop)
	}
	for id := range st.waits {
		if id != by {
			up.IDs = append(up.IDs, id)
		}
	}
	if len(up.NextHops)+len(up.IDs) > 0 {
		d.wg.Go(func() { d.tellUp(up) })
	}
}

// tellUp may fail: what waits is then tried when it is due.
func (d *Dispatcher) tellUp(up *proto.Up) {
	ctx, cancel := context.WithTimeout(d.ctx, tellDeadline)
	defer cancel()
	if err := d.qmgr.Call(ctx, up, &proto.UpOK{}); err != nil {
		d.log.Emit(event.TroubleOf(0, "release what waits for a host", err))
	}
}

// due is when the first of the waiting leaves is due, and when the last of them is
// given up.
func (d *Dispatcher) due(f *flight, now time.Time) (next, giveUp int64) {
	for i := range f.outcomes {
		o := &f.outcomes[i]
		if !o.Temporary() {
			continue
		}
		c := *f.courseOf(i)
		switch {
		case o.Kind == outcome.Busy && !c.putOff:
			c.next = now.Add(busyPause).UnixMilli()
		case o.Kind == outcome.Ordered: // qmgr knows how long the order lasts
			c.next = now.Add(orderedPause).UnixMilli()
		case c.next == 0: // what failed for good, and could not be reported
			decision := d.rules.Load().JudgeAlone(d.subject(f, i, nil), retry.FailureOf(o), f.message(), now, d.dice())
			c.next, c.giveUp = max(decision.Next.UnixMilli(), now.Add(busyPause).UnixMilli()), decision.GiveUp.UnixMilli()
		}
		if next == 0 || c.next < next {
			next = c.next
		}
		giveUp = max(giveUp, c.giveUp)
	}
	return next, giveUp
}

// allPutOff tells whether nothing was tried, as nothing was due.
func (f *flight) allPutOff() bool {
	for i := range f.outcomes {
		if !f.isPutOff(i) {
			return false
		}
	}
	return len(f.outcomes) > 0
}

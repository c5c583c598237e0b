package dispatch

import (
	"fmt"
	"net/netip"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/retry"
	"filbert/pkg/smtp"
)

// course is what the retry rules have said of a leaf.
type course struct {
	next, giveUp int64 // Unix milliseconds; 0: nothing was said
	putOff       bool  // nothing was tried, as its host or address is not due
}

// courseOf is leaf i's, to be changed. Jobs run side by side, each with leaves of
// its own.
func (f *flight) courseOf(i int) *course {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.courses == nil {
		f.courses = make([]course, len(f.leaves))
	}
	return &f.courses[i]
}

func (f *flight) isPutOff(i int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.courses != nil && f.courses[i].putOff
}

func (f *flight) subject(i int, host *proto.Host) retry.Subject {
	l := &f.leaves[i]
	s := retry.Subject{Address: l.Recipient.Address.String(), Domain: l.Recipient.Address.Domain(), Sender: f.senderOf(i)}
	if len(l.Hosts) > 0 {
		s.MX = retry.MX(l.Hosts[0].MX)
	}
	if host != nil {
		s.Host, s.MX = host.Name, retry.MX(host.MX)
	}
	return s
}

// senderOf is whom the server of leaf i hears of.
func (f *flight) senderOf(i int) string {
	if to := f.leaves[i].Recipient.ErrorsTo; to != nil && !f.env.Sender.IsNull() {
		return to.String()
	}
	if f.env.Sender.IsNull() {
		return ""
	}
	return f.env.Sender.String()
}

func (f *flight) message() retry.Message {
	return retry.Message{Arrived: f.since(), Attempts: f.attempt}
}

// consult puts off the leaves whose address, or all of whose hosts, are not due:
// first attempts too (paper, section 15: "subject to retry data").
func (d *Dispatcher) consult(f *flight) {
	if d.failings.none() || f.due.Now || f.due.Action == proto.DueBounce {
		return
	}
	transports := d.settings.Load().Transports
	for i := range f.leaves {
		l := &f.leaves[i]
		if l.Verdict.Class != 0 {
			continue
		}
		remote := isRemote(transports[l.Transport].Driver)
		o, until := d.addressWaits(f, i, remote)
		if o == nil && remote {
			_, o, until = d.usable(f, i, justLook, nil)
		}
		if o != nil {
			// A verdict keeps the leaf out of all jobs.
			f.outcomes[i], l.Verdict = *o, *o
			if remote {
				d.figures.spared.Add(1)
			}
			d.putOff(f, i, until)
		}
	}
}

// addressWaits tells whether a leaf has to wait for its address's sake.
func (d *Dispatcher) addressWaits(f *flight, i int, remote bool) (*outcome.Outcome, time.Time) {
	to := &f.leaves[i].Recipient
	keys := []failKey{addressKey(to)}
	if remote {
		keys = append(keys, pairKey(to.Address, f.sender(i)))
	}
	now := d.now()
	for _, k := range keys {
		s := d.failings.state(k)
		if s.IsZero() {
			continue
		}
		if leave, until := d.rules.Load().May(d.subject(f, i, nil), &s, f.message(), now); leave == retry.Wait {
			d.failings.waitsFor(k, f.env.ID)
			o := waitText(&s, "", until)
			return &o, until
		}
	}
	return nil, time.Time{}
}

// look says what usable is asked for.
type look uint8

const (
	justLook look = 0
	toTry    look = 1 // an attempt follows
)

// usable leaves out the hosts of a leaf that are not due for what comes from the source
// addresses that were chosen, if they were. When none is left, it says
// what is known of the one that is due first.
func (d *Dispatcher) usable(f *flight, i int, what look, chosen []netip.Addr) (hosts []proto.Host, why *outcome.Outcome, until time.Time) {
	l := &f.leaves[i]
	if d.failings.none() || f.due.Now {
		return l.Hosts, nil, time.Time{}
	}
	all := l.Hosts
	if len(all) == 0 {
		all = []proto.Host{{Name: l.NextHop}} // the transport's own
	}
	held := make([]bool, len(all))
	n := 0
	for h := range all {
		k := d.hostKeyOf(f, i, all[h].Addr, chosen)
		s, end, wait := d.ask(f, i, &all[h], k, what)
		if held[h] = wait; !wait {
			continue
		}
		n++
		d.failings.waitsFor(k, f.env.ID)
		if why == nil || end.Before(until) {
			o := waitText(&s, label(&all[h]), end)
			why, until = &o, end
		}
	}
	switch {
	case n == 0:
		return l.Hosts, nil, time.Time{}
	case n == len(all):
		return nil, why, until
	}
	for h := range all {
		if !held[h] {
			hosts = append(hosts, all[h])
		}
	}
	return hosts, nil, time.Time{}
}

// ask tells whether a host has to be left alone. Of those who come when it is due,
// the first is enough to find out whether it is back; the others wait for what it
// finds.
func (d *Dispatcher) ask(f *flight, i int, host *proto.Host, k failKey, what look) (s retry.State, until time.Time, wait bool) {
	rules := d.rules.Load()
	if rules.Asks() {
		if known := d.failings.state(k); known.IsZero() {
			return s, until, false // nothing to ask anybody for
		}
	}
	subject, now := d.subject(f, i, host), d.now()
	d.failings.mu.Lock()
	defer d.failings.mu.Unlock()
	st := d.failings.getLocked(k)
	if st == nil {
		return s, until, false
	}
	leave, until := rules.May(subject, &st.state, f.message(), now)
	switch {
	case leave == retry.Wait:
		return st.state, until, true
	case leave != retry.Probe:
		return s, until, false
	case st.probe.After(now) && st.probe.Sub(now) <= time.Minute:
		return st.state, st.probe, true
	}
	if what == toTry {
		st.probe = now.Add(rules.Soon(subject, &st.state))
	}
	return s, until, false
}

// putOff notes that leaf i waits without having been tried. Those who were put off
// until one moment come a little behind it, when the first has found out.
func (d *Dispatcher) putOff(f *flight, i int, until time.Time) {
	c := f.courseOf(i)
	behind := min(time.Second, until.Sub(d.now())/10)
	c.putOff = true
	c.next = until.Add(max(0, time.Duration(d.dice()*float64(behind)))).UnixMilli()
}

var statusNoAnswer = smtp.Status{Class: 4, Subject: 4, Detail: 1}

// waitText is why nothing was tried, in plain words.
func waitText(s *retry.State, label string, until time.Time) outcome.Outcome {
	status := s.Status
	if status.Class != 4 {
		status = statusNoAnswer
	}
	if label != "" {
		label += ": "
	}
	return outcome.Defer(s.Kind, status, "%s%s; it is tried again at %s", label, s.Words(), until.Format("15:04:05 on 2 January"))
}

// label names a host in a text.
func label(h *proto.Host) string {
	if h.Addr == (netip.AddrPort{}) {
		return h.Name
	}
	if h.Name == "" || h.Name[0] == '[' {
		return h.Addr.String()
	}
	return fmt.Sprintf("%s[%s]", h.Name, h.Addr.Addr())
}

package router

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"filbert/pkg/callout"
	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

const (
	// maxCallouts bounds the call-outs for what one recipient leads to. A list is a
	// good recipient as soon as one member is; after so many bad ones the rest is
	// taken on trust.
	maxCallouts = 4
	// probeLocal begins the local part of an address that nobody can have: whoever
	// finds it in his log shall see what it was for.
	probeLocal = "no-such-user-"
	// calloutDeadline is where the configuration names none.
	calloutDeadline = 30 * time.Second
)

// Caller asks the servers of a domain whether they would take mail for an
// address. Agents are one.
type Caller interface {
	Callout(ctx context.Context, q *proto.CalloutQuery) (*proto.CalloutAnswer, error)
}

var (
	statusNoMailbox = smtp.Status{Class: 5, Subject: 1, Detail: 1}
	errNoCaller     = errors.New("there is nobody who calls out")
)

// newCallouts is the memory of call-outs. It outlives rules: what another server
// said is as true after a reload as before.
func newCallouts(s *settings.Settings) *callout.Memory { return callout.New(calloutLimits(s)) }

func calloutLimits(s *settings.Settings) callout.Limits {
	v := &s.Verify
	return callout.Limits{KeepYes: v.CalloutKeepYes.D(), KeepNo: v.CalloutKeepNo.D(), PerDomain: v.CalloutsPerDomain}
}

// verifier is one query's way to other servers.
type verifier struct {
	rules  *rules
	memory *callout.Memory
	caller Caller
	trace  *trace
}

// verifyLeaves asks other servers about the leaves that lead to them, and makes
// what they refuse a verdict. A recipient with a leaf that is good without that
// needs no call-out.
func (r *rules) verifyLeaves(ctx context.Context, memory *callout.Memory, caller Caller, leaves []proto.Leaf, t *trace) {
	v := &verifier{rules: r, memory: memory, caller: caller, trace: t}
	t.at(0)
	byParent := make(map[int][]int)
	var parents []int
	for i := range leaves {
		p := leaves[i].Parent
		if byParent[p] == nil {
			parents = append(parents, p)
		}
		byParent[p] = append(byParent[p], i)
	}
	for _, p := range parents {
		v.recipient(ctx, leaves, byParent[p])
	}
}

// recipient verifies the leaves of one, until one is good.
func (v *verifier) recipient(ctx context.Context, leaves []proto.Leaf, at []int) {
	var ask []int
	for _, i := range at {
		switch l := &leaves[i]; {
		case v.asks(l):
			ask = append(ask, i)
		case !l.Verdict.Permanent() && !l.Verdict.Temporary():
			return
		}
	}
	for n, i := range ask {
		if n == maxCallouts {
			v.trace.note("call-out: %d servers had no good news, the other %d addresses are taken on trust", n, len(ask)-n)
			return
		}
		if v.leaf(ctx, &leaves[i]) {
			return
		}
	}
}

// asks tells whether a leaf leads to a server that can be asked. One that we log in
// to is there to take everything: its word would prove nothing.
func (v *verifier) asks(l *proto.Leaf) bool {
	if l.Verdict.Class != 0 || l.Recipient.Kind != envelope.TargetAddress || l.Credentials != nil {
		return false
	}
	t, ok := v.rules.settings.Transports[l.Transport]
	switch {
	case !ok || t.Username != "":
		return false
	case t.IsLMTP():
		return len(l.Hosts) > 0 || t.Socket != "" || t.Host != ""
	}
	return t.Driver == "smtp" && len(l.Hosts) > 0
}

// leaf verifies one leaf. It is true when the leaf is good.
func (v *verifier) leaf(ctx context.Context, l *proto.Leaf) bool {
	q := callout.Question{Address: l.Recipient.Address, Transport: l.Transport, Servers: serversOf(l.Hosts)}
	a, err := v.askCounted(ctx, l, q)
	if err != nil {
		a.Outcome = outcome.Defer(outcome.Busy, statusTimeout, "%v", err)
	}
	switch {
	case a.Outcome.Class == outcome.Failed:
		l.Verdict = refusedBy(&a.Outcome, l)
	case a.Outcome.Class != outcome.Delivered:
		l.Verdict = unsureOf(&a.Outcome, l)
	}
	v.explain(l, a)
	return l.Verdict.Class == 0
}

func (v *verifier) ask(ctx context.Context, l *proto.Leaf, q callout.Question) (callout.Answer, error) {
	if v.memory == nil || v.caller == nil {
		return callout.Answer{}, errNoCaller
	}
	v.rules.world.awaitRecall(ctx)
	limit := v.rules.settings.Verify.CalloutTimeout.D()
	if limit <= 0 {
		limit = calloutDeadline
	}
	return v.memory.Ask(ctx, q, v.rules.world.Now, func(ctx context.Context, p callout.Probe) (callout.Answer, error) {
		// Beyond what smtp-client may take, for the way there and back.
		ctx, cancel := context.WithTimeout(ctx, limit+limit/10)
		defer cancel()
		query := &proto.CalloutQuery{
			Transport: l.Transport, NextHop: l.NextHop, Hosts: l.Hosts,
			Recipient: l.Recipient.Address, Timeout: limit.Milliseconds(),
		}
		if p == callout.WithProbe {
			query.Random = nobodyAt(l.Recipient.Address)
		}
		a, err := v.caller.Callout(ctx, query)
		if err != nil {
			return callout.Answer{}, fmt.Errorf("ask smtp-client: %w", err)
		}
		return callout.Answer{Outcome: a.Outcome, AcceptsAll: a.AcceptsAll}, nil
	})
}

// nobodyAt is an address of the same domain that nobody can have; the null address
// where none can be made.
func nobodyAt(a mailaddr.Address) mailaddr.Address {
	nobody, err := a.WithLocal(probeLocal + strings.ToLower(rand.Text()))
	if err != nil {
		return mailaddr.Address{}
	}
	return nobody
}

// serversOf names hosts in an order that does not change: they were shuffled. It is
// their names that count, since addresses come and go with the DNS.
func serversOf(hosts []proto.Host) string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = fmt.Sprintf("%s:%d", strings.ToLower(h.Name), h.Addr.Port())
		if h.Name == "" {
			names[i] = h.Addr.String()
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

// refusedBy is the verdict of another server, in its words.
func refusedBy(said *outcome.Outcome, l *proto.Leaf) outcome.Outcome {
	status := said.Status
	if status.Class != 5 || status.Subject == 0 {
		status = statusNoMailbox
	}
	return outcome.Outcome{
		Class: outcome.Failed, Kind: said.Kind, Code: said.Code, Status: status, Transport: l.Transport,
		Text: untrusted.From(fmt.Sprintf("the mail server %s does not take mail for %s: ", serverName(said, l), l.Recipient.Address)).
			Plus(said.Text.ForReply()),
	}
}

// unsureOf is the verdict when nothing was found out.
func unsureOf(said *outcome.Outcome, l *proto.Leaf) outcome.Outcome {
	status := said.Status
	if status.Class != 4 || status.Subject == 0 {
		status = statusTimeout
	}
	return outcome.Outcome{
		Class: outcome.Deferred, Kind: said.Kind, Code: said.Code, Status: status, Transport: l.Transport,
		Text: untrusted.From(fmt.Sprintf("the mail server %s can't say at the moment whether it takes mail for %s: ", serverName(said, l), l.Recipient.Address)).
			Plus(said.Text.ForReply()),
	}
}

func serverName(said *outcome.Outcome, l *proto.Leaf) string {
	switch {
	case said.Remote != "":
		return untrusted.From(said.Remote).ForReply()
	case len(l.Hosts) > 0 && l.Hosts[0].Name != "":
		return l.Hosts[0].Name
	case l.NextHop != "":
		return "for " + l.NextHop
	}
	return "behind " + l.Transport
}

// explain tells what a call-out said, and what that proves.
func (v *verifier) explain(l *proto.Leaf, a callout.Answer) {
	if !v.trace.on() {
		return
	}
	when := "asked now"
	if a.Remembered {
		when = "remembered"
	}
	switch {
	case l.Verdict.Class != 0:
		v.trace.note("call-out (%s): %s", when, l.Verdict.Text.ForReply())
	case a.AcceptsAll:
		v.trace.note("call-out (%s): the mail server %s takes mail for any address, which proves nothing of %s",
			when, serverName(&a.Outcome, l), l.Recipient.Address)
	default:
		v.trace.note("call-out (%s): the mail server %s takes mail for %s", when, serverName(&a.Outcome, l), l.Recipient.Address)
	}
}

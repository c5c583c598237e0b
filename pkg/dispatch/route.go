package dispatch

import (
	"context"
	"errors"
	"slices"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
)

const (
	// routeDeadline bounds one question to router; router's own deadline for
	// the DNS is shorter.
	routeDeadline = 90 * time.Second
	// routeBatch is the most recipients of one question.
	routeBatch = 1000
)

var (
	statusInternal = smtp.Status{Class: 4, Subject: 3, Detail: 0}
	statusBusy     = smtp.Status{Class: 4, Subject: 3, Detail: 2}
)

// routeAll fills in the flight's leaves and the verdicts that router gave
// itself. A router that is away defers what it could not answer.
func (d *Dispatcher) routeAll(ctx context.Context, f *flight) {
	if f.due.Action == proto.DueBounce {
		f.leaves = leavesAsTheyAre(f)
		for range f.leaves {
			f.outcomes = append(f.outcomes, outcome.Fail(outcome.Returned,
				smtp.Status{Class: 5, Subject: 7, Detail: 1}, "returned by the administrator: %s", f.due.Reason))
		}
		return
	}
	n := len(f.env.Recipients)
	if n > freeLeaves && d.takeRoom(ctx, f, n) != nil {
		f.deferAll(0, n, noRoom())
		n = 0
	}
	for at := 0; at < n; at += routeBatch {
		d.routeSome(ctx, f, at, min(at+routeBatch, n))
	}
	d.reroute(ctx, f)
	f.forgetServedChildren()
	d.leaveOutServed(f)
	f.outcomes = make([]outcome.Outcome, len(f.leaves))
	for i := range f.leaves {
		f.outcomes[i] = f.leaves[i].Verdict
	}
}

// routeSome adds the leaves of some recipients. What router refuses to answer at
// once, as the lists among them have too many members, is asked in halves.
func (d *Dispatcher) routeSome(ctx context.Context, f *flight, from, to int) {
	leaves, err := d.askRouter(ctx, f, from, to)
	switch {
	case errors.Is(err, errNoRoom):
		f.deferAll(from, to, noRoom())
	case errors.Is(err, errTooMany) && to-from > 1:
		half := (from + to) / 2
		d.routeSome(ctx, f, from, half)
		d.routeSome(ctx, f, half, to)
	case err != nil:
		f.deferAll(from, to, outcome.Defer(outcome.Internal, statusInternal, "the router did not answer: %v", err))
	case len(f.leaves)+len(leaves)+len(f.env.Recipients)-to > envelope.MaxRecipients:
		// Nobody could read the file that all of them were written to.
		f.deferAll(from, to, noRoom())
	default:
		f.leaves = append(f.leaves, leaves...)
	}
}

// errTooMany: one answer does not hold the leaves.
var errTooMany = errors.New("more leaves than an answer holds")

// askRouter gives the leaves of some recipients. Where they are many it first
// hears how many, and makes room.
func (d *Dispatcher) askRouter(ctx context.Context, f *flight, from, to int) ([]proto.Leaf, error) {
	query := proto.RouteQuery{Sender: f.env.Sender, Recipients: f.env.Recipients[from:to], Most: freeLeaves, Origin: proto.OriginOf(f.env)}
	answer, err := d.askOnce(ctx, &query)
	if err == nil && answer.TooMany > 0 {
		n := int(answer.TooMany)
		if n > envelope.MaxRecipients {
			return nil, errTooMany
		}
		if err := d.takeRoom(ctx, f, n); err != nil {
			return nil, err
		}
		query.Most = uint32(n)
		answer, err = d.askOnce(ctx, &query)
	}
	switch {
	case err != nil:
		return nil, err
	case answer.TooMany > 0:
		return nil, errNoRoom // it has grown meanwhile
	case !answersAll(answer.Leaves, to-from):
		return nil, errIncomplete
	}
	for i := range answer.Leaves {
		answer.Leaves[i].Parent += from
	}
	return answer.Leaves, nil
}

func (d *Dispatcher) askOnce(ctx context.Context, query *proto.RouteQuery) (*proto.RouteAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, routeDeadline)
	defer cancel()
	answer := new(proto.RouteAnswer)
	err := d.router.Call(ctx, query, answer)
	var refused *ipc.RemoteError
	if errors.As(err, &refused) {
		return nil, errors.Join(errTooMany, err) // too many octets, most likely
	}
	return answer, err
}

// roomPatience bounds the wait for room, which holds a flight.
const roomPatience = time.Minute

// takeRoom has room for n leaves of a flight; run gives it back.
func (d *Dispatcher) takeRoom(ctx context.Context, f *flight, n int) error {
	if f.room > 0 {
		if !d.room.tryTake(n) {
			return errNoRoom
		}
		f.room += n
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	err := d.room.take(ctx, n)
	if err == nil {
		f.room = n
	}
	return err
}

func noRoom() outcome.Outcome {
	return outcome.Defer(outcome.Busy, statusBusy, "%v", errNoRoom)
}

// deferAll puts recipients off as they are.
func (f *flight) deferAll(from, to int, why outcome.Outcome) {
	for i := from; i < to; i++ {
		f.leaves = append(f.leaves, proto.Leaf{Parent: i, Recipient: f.env.Recipients[i], Verdict: why})
	}
}

// answersAll tells whether each of n recipients has a leaf. A router that
// forgets one must not make us forget it too.
func answersAll(leaves []proto.Leaf, n int) bool {
	seen := make([]bool, n)
	for i := range leaves {
		p := leaves[i].Parent
		if p < 0 || p >= n {
			return false
		}
		seen[p] = true
	}
	for _, ok := range seen {
		if !ok {
			return false
		}
	}
	return true
}

// forgetServedChildren drops the leaves that an earlier attempt served.
func (f *flight) forgetServedChildren() {
	if f.book == nil {
		return
	}
	f.leaves = slices.DeleteFunc(f.leaves, func(l proto.Leaf) bool {
		return l.Expanded && f.book.ServedChild(&f.env.Recipients[l.Parent], &l.Recipient)
	})
}

func leavesAsTheyAre(f *flight) []proto.Leaf {
	leaves := make([]proto.Leaf, len(f.env.Recipients))
	for i := range leaves {
		leaves[i] = proto.Leaf{Parent: i, Recipient: f.env.Recipients[i]}
	}
	return leaves
}

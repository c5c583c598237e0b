package dispatch

import (
	"context"
	"slices"
	"time"

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
			f.outcomes = append(f.outcomes, outcome.Fail(outcome.Cancelled,
				smtp.Status{Class: 5, Subject: 7, Detail: 1}, "returned by the administrator: %s", f.due.Reason))
		}
		return
	}
	for at := 0; at < len(f.env.Recipients); at += routeBatch {
		d.routeSome(ctx, f, at, min(at+routeBatch, len(f.env.Recipients)))
	}
	f.forgetServedChildren()
	f.outcomes = make([]outcome.Outcome, len(f.leaves))
	for i := range f.leaves {
		f.outcomes[i] = f.leaves[i].Verdict
	}
}

func (d *Dispatcher) routeSome(ctx context.Context, f *flight, from, to int) {
	ctx, cancel := context.WithTimeout(ctx, routeDeadline)
	defer cancel()
	query := proto.RouteQuery{Sender: f.env.Sender, Recipients: f.env.Recipients[from:to]}
	var answer proto.RouteAnswer
	err := d.router.Call(ctx, &query, &answer)
	if err == nil && !answersAll(answer.Leaves, to-from) {
		err = errIncomplete
	}
	if err != nil {
		for i := from; i < to; i++ {
			f.leaves = append(f.leaves, proto.Leaf{
				Parent:    i,
				Recipient: f.env.Recipients[i],
				Verdict:   outcome.Defer(outcome.Internal, statusInternal, "the router did not answer: %v", err),
			})
		}
		return
	}
	for _, leaf := range answer.Leaves {
		leaf.Parent += from
		f.leaves = append(f.leaves, leaf)
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

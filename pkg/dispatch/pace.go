package dispatch

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/pace"
	"filbert/pkg/proto"
	"filbert/pkg/retry"
	"filbert/pkg/untrusted"
)

// shortWait is how long a job waits for its turn by a rate without being filed.
const shortWait = 5 * time.Second

// takePlace is limits.take for a job, with the wait for a turn that is near.
func (d *Dispatcher) takePlace(ctx context.Context, f *flight, j *job) error {
	end := d.limits.now().Add(shortWait)
	for {
		err := d.limits.take(ctx, j.dest, f.urgency(d.now()), f.env.Priority)
		var held *heldError
		if !errors.As(err, &held) || !held.short || held.until.After(end) || !d.waitUntil(ctx, held.until) || f.wasAborted() {
			return err
		}
	}
}

// waitUntil is false when nothing more is to begin.
func (d *Dispatcher) waitUntil(ctx context.Context, until time.Time) bool {
	turn := d.clock.NewTimer(until.Sub(d.limits.now()))
	defer turn.Stop()
	select {
	case <-turn.C:
		return true
	case <-ctx.Done():
	case <-d.work.Done():
	}
	return false
}

// urgency: what an administrator has tried now, and what is old enough to be given up
// and so has to be tried to come to an end, is not kept by a pause.
func (f *flight) urgency(now time.Time) urgency {
	if f.due.Now || f.due.GiveUpAt != 0 && now.Unix() >= f.due.GiveUpAt {
		return pressing
	}
	return usual
}

// withoutPlace is what becomes of a job that got no place. Nothing was tried: no server
// has failed, and no attempt counts.
func (d *Dispatcher) withoutPlace(f *flight, j *job, err error) {
	var held *heldError
	kind := outcome.Internal
	if errors.Is(err, errBusy) || errors.Is(err, errTooLate) || errors.As(err, &held) {
		kind = outcome.Busy
	}
	f.setAll(j, outcome.Defer(kind, statusBusy, "%v", err))
	if held == nil {
		return
	}
	for _, i := range j.leaves {
		d.putOff(f, i, held.until)
		f.courseOf(i).giveUp = d.judgePace(f, i).GiveUp.UnixMilli()
	}
}

// judgePace is the decision on a leaf whose destination takes mail, though not now. How
// old the message is counts alone, and so do the rules for every failure.
func (d *Dispatcher) judgePace(f *flight, i int) retry.Decision {
	return d.rules.Load().JudgeAlone(d.subject(f, i, nil), retry.Failure{Kind: outcome.Busy}, f.message(), d.now(), d.dice())
}

// judgeThrottled is the decision on a leaf by whose server the destination was paused.
func (d *Dispatcher) judgeThrottled(f *flight, i int, key destKey) retry.Decision {
	decision := d.judgePace(f, i)
	if until := d.limits.pausedUntil(key); until.Before(decision.GiveUp) {
		decision.Next, decision.Final = until, false
	}
	return decision
}

// learnPace takes in how the servers of a job liked its pace.
func (d *Dispatcher) learnPace(f *flight, j *job, done *proto.RemoteDone, began time.Time) {
	if f.wasAborted() {
		return // who broke off was not the server
	}
	d.limits.learn(j.dest, func(p *pace.Policy, s *pace.State, now time.Time) {
		switch reply := throttling(p, done); {
		case reply != nil:
			words := untrusted.From(strconv.Itoa(reply.Code) + " " + reply.Text.ForTerminal())
			s.Paused(p, words, now)
		case tooFast(done):
			s.Failed(p, began, now)
		case worked(done):
			s.Succeeded(p)
		}
	})
}

// throttling is the first reply that asks for less.
func throttling(p *pace.Policy, done *proto.RemoteDone) *outcome.Outcome {
	for i := range done.Tried {
		if o := &done.Tried[i].Failure; p.Throttled(o) {
			return o
		}
	}
	for i := range done.Outcomes {
		if o := &done.Outcomes[i]; p.Throttled(o) {
			return o
		}
	}
	return nil
}

// failedConnection are the failures that fewer deliveries at once may cure.
var failedConnection = []outcome.Kind{
	outcome.Refused, outcome.TimedOut, outcome.Unreachable, outcome.LostConnection, outcome.Greeting,
}

// tooFast tells whether a connection failed, or was closed by a server that has too
// many (421, RFC 5321, section 3.8). A host that failed where another took the message
// is left to the retry rules.
func tooFast(done *proto.RemoteDone) bool {
	return slices.ContainsFunc(done.Outcomes, func(o outcome.Outcome) bool {
		return o.Class != outcome.Delivered && (o.Code == 421 || slices.Contains(failedConnection, o.Kind))
	}) || slices.ContainsFunc(done.Tried, func(h proto.HostTried) bool { return h.Failure.Code == 421 })
}

// worked tells whether a server was ready for the message, whatever it said of it.
func worked(done *proto.RemoteDone) bool {
	n := len(done.Tried)
	return n > 0 && done.Tried[n-1].Ready() ||
		slices.ContainsFunc(done.Outcomes, func(o outcome.Outcome) bool { return o.Class == outcome.Delivered })
}

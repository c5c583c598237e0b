package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// jobDeadline is far beyond every agent's own time-outs: it only ends the wait
// for an agent that hangs.
const jobDeadline = 4 * time.Hour

var errIncomplete = errors.New("an answer without an outcome for each recipient")

// deliverAll does the jobs of the flight side by side.
func (d *Dispatcher) deliverAll(ctx context.Context, f *flight) {
	jobs := group(f.leaves, f.env.Sender, d.settings.Load().Transports)
	d.settlePlaces(f, jobs)
	if len(jobs) == 1 {
		d.deliver(ctx, f, &jobs[0])
		return
	}
	limits := d.settings.Load().Limits
	l := newLanes(jobs, limits.PerDestination)
	// A message to thousands of mailboxes must not become thousands of
	// goroutines that all wait: as many as could get a place are enough.
	most := max(1, min(limits.Deliveries, len(jobs)))
	ended := make(chan int, most)
	f.remember()
	n := d.newNotes(ctx, f)
	var unfinished atomic.Int64
	unfinished.Store(int64(len(jobs)))
	for left, running := len(jobs), 0; left > 0; {
		for running < most {
			i, ok := l.next()
			if !ok {
				break
			}
			running++
			go func() {
				d.deliver(ctx, f, &jobs[i])
				if unfinished.Add(-1) > 0 { // the last is settled now, or see jotRest
					d.jot(f, jobs[i].leaves)
				}
				ended <- i
			}()
		}
		select {
		case i := <-ended:
			running--
			left--
			l.ended(i)
			n.add(&jobs[i])
			if left > 0 { // if a note was being written when it was served
				d.jot(f, jobs[i].leaves)
			}
		case <-n.due:
			n.write()
		case failed := <-n.written:
			n.wrote(failed)
		}
	}
	n.end()
}

// deliver does one job and ends what is not to be tried again.
func (d *Dispatcher) deliver(ctx context.Context, f *flight, j *job) {
	d.attemptJob(ctx, f, j)
	f.endOnce(j)
}

// endOnce makes a failure of what configuration has tried once only. Our own
// trouble is not meant by that: nothing was tried. What was abandoned is as aborted says.
func (f *flight) endOnce(j *job) {
	if f.wasAborted() {
		return
	}
	for _, i := range j.leaves {
		o := &f.outcomes[i]
		if !f.leaves[i].Once || !o.Temporary() || f.isPutOff(i) || o.Kind == outcome.Internal || o.Kind == outcome.Busy {
			continue
		}
		o.Class, o.Status.Class = outcome.Failed, 5
		const why = "not tried again, as is configured for this address (retry = false)"
		if o.Text.IsEmpty() {
			o.Text = untrusted.From(why)
		} else {
			o.Text = o.Text.Plus(" - " + why)
		}
	}
}

// attemptJob does one job within the limits and keeps each leaf's outcome. No two
// jobs share a leaf, so the slices need no lock.
func (d *Dispatcher) attemptJob(ctx context.Context, f *flight, j *job) {
	if f.wasAborted() {
		return // aborted says what became of it
	}
	if err := d.takePlaceInTime(ctx, f, j); err != nil {
		d.withoutPlace(f, j, err)
		return
	}
	defer d.limits.give(j.dest)
	ctx, cancel := context.WithTimeout(ctx, jobDeadline)
	defer cancel()

	driver := d.settings.Load().Transports[j.transport].Driver
	switch {
	case driver == "":
		f.setAll(j, outcome.Defer(outcome.Internal, statusInternal,
			"transport %q is not configured", j.transport))
	case driver == "discard":
		f.setAll(j, outcome.Outcome{Class: outcome.Delivered, Status: statusDelivered, Transport: j.transport})
	case j.remote:
		d.deliverRemote(ctx, f, j)
	default:
		d.deliverLocal(ctx, f, j)
	}
}

func (d *Dispatcher) deliverRemote(ctx context.Context, f *flight, j *job) {
	first := &f.leaves[j.leaves[0]]
	hosts, why, until := d.usable(f, j.leaves[0], toTry, j.sources)
	if why != nil {
		d.figures.spared.Add(len(j.leaves))
		f.setAll(j, *why)
		for _, i := range j.leaves {
			d.putOff(f, i, until)
		}
		return
	}
	req := proto.RemoteJob{
		ID: f.env.ID, Sender: j.sender, Transport: j.transport, NextHop: j.nextHop, Hosts: hosts,
		Body: f.env.Body, UTF8: f.env.UTF8,
		Has8Bit: f.env.Has8Bit, LongLine: f.env.LongLine, Edit: first.Edit, Credentials: first.Credentials,
		Priority: f.env.Priority, Sources: j.sources, Content: f.content,
		Hints: d.hints(first, j.transport, hosts),
	}
	if !j.list { // RFC 3461, section 5.2.7.3
		req.Return, req.EnvID, req.By = f.env.Return, f.env.EnvID, d.machineTime(f.env.DeliverBy)
	}
	for _, i := range j.leaves {
		req.Recipients = append(req.Recipients, f.leaves[i].Recipient)
	}
	d.figures.attempted.Add(len(j.leaves))
	var done proto.RemoteDone
	began := d.limits.now()
	err := d.remote.Call(ctx, &req, &done, f.files()...)
	if err == nil && len(done.Outcomes) != len(j.leaves) {
		err = errIncomplete
	}
	if err != nil {
		f.setAll(j, outcome.Defer(outcome.Internal, statusInternal, "%s", fmt.Sprintf("smtp-client did not answer: %v", err)))
		return
	}
	d.learnPace(f, j, &done, began)
	d.learnHosts(f, j, done.Tried)
	d.learnQuirks(f, j, done.Tried)
	for n, i := range j.leaves {
		f.outcomes[i] = done.Outcomes[n]
		f.outcomes[i].Transport = j.transport
		d.learn(f, i, j, done.Tried)
	}
}

func (d *Dispatcher) deliverLocal(ctx context.Context, f *flight, j *job) {
	i := j.leaves[0]
	leaf := &f.leaves[i]
	req := proto.LocalJob{
		ID: f.env.ID, Sender: j.sender, Recipient: leaf.Recipient, Transport: j.transport,
		User: leaf.User, Detail: leaf.Detail, Edit: leaf.Edit, Content: f.content,
	}
	if !d.isCommand(leaf, j.transport) {
		var end context.CancelFunc
		ctx, end = f.untilWritten(ctx)
		defer end()
	}
	var done proto.LocalDone
	if err := d.local.Call(ctx, &req, &done, f.files()...); err != nil {
		f.setAll(j, outcome.Defer(outcome.Internal, statusInternal, "local-deliver did not answer: %v", err))
		return
	}
	f.outcomes[i] = done.Outcome
	f.outcomes[i].Transport = j.transport
	d.learn(f, i, nil, nil)
	if !done.Output.IsEmpty() {
		f.keepOutput(i, d.printedBy(j.transport, &done))
	}
}

// isCommand tells whether local-deliver runs a command for a leaf.
func (d *Dispatcher) isCommand(l *proto.Leaf, transport string) bool {
	switch l.Recipient.Kind {
	case envelope.TargetPipe:
		return true
	case envelope.TargetFile:
		return false
	}
	return d.settings.Load().Transports[transport].Driver == "pipe"
}

// printed is what a command printed.
type printed struct {
	text  untrusted.Text
	words bool // for the sender, from this site
}

// printedBy tells of what a command printed whether it is meant for the sender. The
// agent has cut it already; it is not ours to rely on that.
func (d *Dispatcher) printedBy(transport string, done *proto.LocalDone) printed {
	t := d.settings.Load().Transports[transport]
	p := printed{text: done.Output, words: t.Returns == "report" && done.Outcome.Permanent()}
	if most := t.MaxOutput.Bytes(); most > 0 && int64(p.text.Len()) > most {
		p.text = p.text.Clip(int(most))
	}
	return p
}

// keepOutput keeps what a command printed, for the report.
func (f *flight) keepOutput(leaf int, p printed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.output == nil {
		f.output = make([]printed, len(f.leaves))
	}
	f.output[leaf] = p
}

func (f *flight) outputOf(leaf int) printed {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.output == nil {
		return printed{}
	}
	return f.output[leaf]
}

func (f *flight) setAll(j *job, o outcome.Outcome) {
	for _, i := range j.leaves {
		f.outcomes[i] = o
	}
}

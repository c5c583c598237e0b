package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/inquiry"
	"filbert/pkg/message"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/rewrite"
	"filbert/pkg/smtp"
)

const (
	// lookupPatience bounds the waits of one message for all its lookups, which
	// mostly take milliseconds: its place among the deliveries is wanted.
	lookupPatience = 60 * time.Second
	// maxLookups bounds the keys that one message may ask for: its header can
	// name thousands of addresses.
	maxLookups = 2000
	// maxRewriteLines bounds what one message may write into the log.
	maxRewriteLines = 100
)

// rewriting is what the rules of the transport do to one message.
type rewriting struct {
	set   rewrite.Set
	log   *event.Log // nil: nobody wants to know
	job   *proto.RemoteJob
	lines int
	utf8  bool // an address came in that only RFC 6531 can carry
}

// rewrite puts header and envelope of d.job, which is a copy of ours, through
// the rules; head is the header as it is now, and the result as it is then. A
// lookup that can't be asked is an error: to go on without it would show the
// world what it was meant not to see.
func (d *delivery) rewrite(ctx context.Context, head []byte) ([]byte, error) {
	w := &rewriting{set: d.route.rewrites, job: d.job}
	if d.client.tellRewrites.Load() || d.client.log.Debugging() {
		w.log = d.client.log
	}
	if len(w.set.Lookups()) > 0 {
		w.set = w.set.Asking(inquiry.New(ctx, d.client.router, inquiry.Limits{Patience: lookupPatience, Keys: maxLookups, Values: 1}).Ask)
	}
	head, err := w.header(head, d.route.header)
	if err != nil {
		return nil, err
	}
	if err := w.envelope(); err != nil {
		return nil, err
	}
	d.job.UTF8 = d.job.UTF8 || w.utf8
	return head, nil
}

func (w *rewriting) header(head []byte, lim message.Limits) ([]byte, error) {
	h, err := message.Scan(head, lim)
	if err != nil {
		return nil, err
	}
	return w.set.Header(h, head, lim.Octets, w.note)
}

// envelope rewrites sender and recipients. These keep their places: an outcome
// is for a place in the job, whatever the address has become.
func (w *rewriting) envelope() (err error) {
	if !w.set.Envelope() {
		return nil
	}
	if w.job.Sender, err = w.set.Apply(rewrite.EnvelopeSender, w.job.Sender, w.note); err != nil {
		return fmt.Errorf("envelope sender: %w", err)
	}
	w.job.Recipients = slices.Clone(w.job.Recipients)
	for i := range w.job.Recipients {
		r := &w.job.Recipients[i]
		if r.Address, err = w.set.Apply(rewrite.EnvelopeRecipients, r.Address, w.note); err != nil {
			return fmt.Errorf("envelope recipients: %w", err)
		}
	}
	return nil
}

// note tells the log.
func (w *rewriting) note(s rewrite.Step) {
	switch s.Verdict {
	case rewrite.Changed:
		w.utf8 = w.utf8 || has8Bit(s.New.Local())
	case rewrite.Failed, rewrite.Endless:
	default:
		return
	}
	if w.lines++; w.log == nil || w.lines > maxRewriteLines {
		return
	}
	ev := event.RewrittenOf(w.job.ID)
	ev.Rule, ev.Source, ev.Old, ev.New, ev.Why = s.Rule, s.Source, s.Old, s.New, s.Why
	w.log.Emit(ev)
}

// unchangeable is the outcome for a message whose header is too big to be
// changed as the administrator wants it; nil for other errors.
func unchangeable(err error) *outcome.Outcome {
	if !errors.Is(err, message.ErrHeaderTooBig) && !errors.Is(err, rewrite.ErrTooBig) {
		return nil
	}
	return refuse(smtp.Status{Class: 5, Subject: 6, Detail: 0}, "%v: it cannot be changed as this transport wants it", err)
}

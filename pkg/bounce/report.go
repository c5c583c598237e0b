package bounce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"filbert/pkg/dsn"
	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// submitDeadline bounds the wait for cleanup.
const submitDeadline = 2 * time.Minute

var errNoContent = errors.New("a report request without content")

// handle makes one report, in a goroutine of its own.
func (b *Bounce) handle(ctx context.Context, call *ipc.Call) {
	defer call.CloseFiles()
	var m proto.Report
	if err := call.Decode(&m); err != nil {
		return
	}
	row := b.board.Start()
	defer row.End()
	row.Set("reporting", m.Envelope.ID.String(), "")
	done := b.report(ctx, call, &m)
	call.Reply(&done)
}

func (b *Bounce) report(ctx context.Context, call *ipc.Call, m *proto.Report) proto.ReportDone {
	if m.What == proto.ReportAfter && !b.site.Load().Reports.DeliveredAfterWarning {
		return proto.ReportDone{Done: true}
	}
	postmaster := b.postmaster()
	d := decide(m, postmaster)
	if len(d.about) == 0 {
		b.tell(m, d, 0)
		return proto.ReportDone{Done: true}
	}
	returned, full, err := b.returned(call, m)
	if err != nil {
		return later(err)
	}
	if d.isNews() && !wasPromised(m) && isAutomatic(returned) {
		d.about = nil
		b.tell(m, d, 0)
		return proto.ReportDone{Done: true}
	}
	req := b.request(m, d, returned)
	req.Full = full
	for {
		got, err := b.submit(ctx, d.to, m.Envelope.Priority, dsn.Compose(req))
		refused := errors.Is(err, ipc.ErrTooBig) || err == nil && got.Code >= 500
		switch {
		case refused && lessen(req):
			continue
		case refused:
			// cleanup will never take this report: to try for ever would keep the
			// message for ever.
			b.log.Emit(event.TroubleOf(m.Envelope.ID, "submit a report", refusal(got, err)))
			return proto.ReportDone{Done: true}
		case err != nil:
			return later(err)
		case got.Code == 250:
			b.tell(m, d, got.ID)
			return proto.ReportDone{Done: true, Sent: true}
		}
		return proto.ReportDone{Code: got.Code, Status: got.Status, Text: got.Text}
	}
}

// lessen leaves out of a report what the sender can do without, the largest
// first, and reports whether there was any.
func lessen(r *dsn.Request) bool {
	switch {
	case r.Full:
		r.Full, r.Returned = false, headerOf(r.Returned)
	case r.Returned != nil || hasDetail(r):
		r.Returned = nil
		for i := range r.Output {
			if !isWords(r, i) {
				r.Output[i] = untrusted.Text{}
			}
		}
	default:
		return false
	}
	return true
}

// hasDetail tells whether there is output that is only a detail, and not what this
// site has to say.
func hasDetail(r *dsn.Request) bool {
	for i := range r.Output {
		if !r.Output[i].IsEmpty() && !isWords(r, i) {
			return true
		}
	}
	return false
}

func isWords(r *dsn.Request, i int) bool { return i < len(r.Words) && r.Words[i] }

func refusal(got *proto.Acceptance, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("refused: %d %s %s", got.Code, got.Status, got.Text)
}

func later(err error) proto.ReportDone {
	return proto.ReportDone{Code: 451, Status: smtp.Status{Class: 4, Subject: 3}, Text: untrusted.From(err.Error()).ForReply()}
}

func (b *Bounce) request(m *proto.Report, d decision, returned []byte) *dsn.Request {
	s := b.site.Load()
	env := m.Envelope
	env.Recipients = nil
	req := &dsn.Request{
		What: d.what, Hostname: s.Hostname, Contact: s.Contact(), To: d.to, Now: b.now(),
		Envelope: &env, Returned: returned,
	}
	if m.GiveUpAt != 0 {
		req.GiveUpAt = time.Unix(m.GiveUpAt, 0)
	}
	for _, i := range d.about {
		env.Recipients = append(env.Recipients, m.Envelope.Recipients[i])
		req.Outcomes = append(req.Outcomes, m.Outcomes[i])
		var out untrusted.Text
		if i < len(m.Output) {
			out = m.Output[i]
		}
		req.Output = append(req.Output, out)
		req.Words = append(req.Words, i < len(m.Words) && m.Words[i])
		req.Known = append(req.Known, knownOf(m, i))
	}
	s.speak(req, d.to)
	return req
}

// knownOf is what was known of recipient i of a request.
func knownOf(m *proto.Report, i int) dsn.Known {
	if i >= len(m.Known) || m.Known[i].Since == 0 {
		return dsn.Known{}
	}
	k := &m.Known[i]
	known := dsn.Known{Kind: k.Kind, Code: k.Code, Status: k.Status, Since: time.Unix(k.Since, 0)}
	if k.GaveUp != 0 {
		known.GaveUp = time.Unix(k.GaveUp, 0)
	}
	return known
}

// returned is what the report brings back: all of a small message that failed,
// else its header (RFC 3461, section 4.3: RET asks, the site bounds).
func (b *Bounce) returned(call *ipc.Call, m *proto.Report) (text []byte, full bool, err error) {
	limit := b.site.Load().Reports.MaxReturned.Bytes()
	full = m.What == proto.ReportFailure && m.Envelope.Return != envelope.ReturnHeaders && m.Content.Size <= limit
	most := m.Content.Size
	if !full {
		most = min(most, b.site.Load().Limits.HeaderSize.Bytes()+4096)
	}
	text = m.Content.Inline
	if m.Content.InFile() {
		if len(call.Files) != 1 {
			return nil, false, errNoContent
		}
		text, err = io.ReadAll(io.NewSectionReader(call.Files[0], m.Content.Offset, most))
		if err != nil {
			return nil, false, fmt.Errorf("read the message to return: %w", err)
		}
	}
	if full {
		return text, true, nil
	}
	return headerOf(text), false, nil
}

// headerOf is the header of a message, whatever state it is in.
func headerOf(text []byte) []byte {
	if h, err := message.Scan(text, message.DefaultLimits()); err == nil {
		return text[:h.End]
	}
	if i := bytes.Index(text, []byte("\r\n\r\n")); i >= 0 {
		return text[:i+2]
	}
	return nil
}

// submit hands the report to cleanup, with a null sender and NOTIFY=NEVER, so
// that nobody ever answers it (RFC 3461, section 6.2).
func (b *Bounce) submit(ctx context.Context, to mailaddr.Address, priority int8, text []byte) (*proto.Acceptance, error) {
	ctx, cancel := context.WithTimeout(ctx, submitDeadline)
	defer cancel()
	sub := &proto.Submission{
		Complete: true,
		Envelope: envelope.Envelope{
			Source:     envelope.FromBounce,
			Recipients: []envelope.Recipient{{Address: to, Notify: envelope.NotifyNever}},
			Client:     envelope.Client{Proto: "local", Login: "MAILER-DAEMON", UID: -1},
			UTF8:       to.NeedsUTF8(),
			// News of urgent mail is urgent (RFC 6710, section 4.6).
			Wishes: envelope.Wishes{Priority: priority},
		},
		Content: proto.Content{Inline: text, Size: int64(len(text))},
	}
	var got proto.Acceptance
	if err := b.cleanup.Call(ctx, sub, &got); err != nil {
		return nil, fmt.Errorf("submit a report: %w", err)
	}
	return &got, nil
}

var names = map[dsn.What]string{
	dsn.Failure: "failure", dsn.Delay: "delay", dsn.Success: "success", dsn.Double: "double", dsn.After: "after",
}

// tell logs what was done about a request.
func (b *Bounce) tell(m *proto.Report, d decision, report queueid.ID) {
	ev := event.BouncedOf(m.Envelope.ID)
	ev.What, ev.To, ev.Count, ev.Report = names[d.what], d.to, len(d.about), report
	if len(d.about) == 0 {
		ev.What, ev.To, ev.Count = "none-due", m.Envelope.Sender, len(m.Envelope.Recipients)
	}
	b.log.Emit(ev)
}

// postmaster is where failing reports go.
func (b *Bounce) postmaster() mailaddr.Address {
	s := b.site.Load()
	if a, err := mailaddr.Parse(untrusted.From(s.Postmaster)); err == nil {
		return a
	}
	a, err := mailaddr.New("postmaster", s.Hostname)
	if err != nil {
		return mailaddr.Address{}
	}
	return a
}

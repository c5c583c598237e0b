package cleanup

import (
	"context"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/journal"
	"filbert/pkg/message"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// submission is one message on its way from the frame to the answer.
type submission struct {
	call *ipc.Call
	env  *envelope.Envelope
	fill completion
	// text is the whole message with our fields in front; nil when it is large.
	text []byte
	// large content lies in file, incoming/ID.
	file *journal.LargeFile
	size int64
	// messageID is for the log.
	messageID untrusted.Text
	rewriting rewriting
}

// handle takes one call on the read loop. Small messages go through to the
// commit without waiting; a large one is read from its pipe by a goroutine, and one
// whose addresses must be looked up waits in a goroutine for that.
func (c *Cleanup) handle(ctx context.Context, call *ipc.Call) {
	var req proto.Submission
	if err := call.Decode(&req); err != nil {
		return // Decode closed the connection: its peer does not speak our language
	}
	s := &submission{call: call, env: &req.Envelope}
	if req.Complete {
		s.fill = completeHeader
	}
	c.identify(s)
	s.rewriting = c.rewritingOf(s.env)
	asks := s.rewriting.asks()
	if asks {
		c.asking(ctx, &s.rewriting)
	}
	if r := c.checkEnvelope(s.env); r != nil {
		c.refuse(s, r)
		return
	}
	if !req.Content.InFile() {
		call.CloseFiles()
		if !asks {
			c.takeSmall(s, req.Content.Inline)
			return
		}
		// The connection's other messages do not wait with it.
		c.running.Go(func() { c.takeSmall(s, req.Content.Inline) })
		return
	}
	if len(call.Files) != 1 {
		_ = call.Violation(errNoPipe)
		return
	}
	pipe := call.Files[0]
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		defer pipe.Close()
		c.takeLarge(ctx, s, pipe)
	}()
}

// identify puts what the kernel and master say of the submitter in place of
// what the envelope claims.
func (c *Cleanup) identify(s *submission) {
	v := s.env
	v.ID = 0
	switch s.call.Caller {
	case "smtpd":
		v.Source = envelope.FromSMTP
		v.Client.UID = -1
	case "bounce":
		v.Source = envelope.FromBounce
		v.Client.UID = -1
	default: // the path socket: pickup
		v.Source = envelope.FromLocal
		// No client of the network: whoever got hold of the drop group could
		// put the blame on one.
		v.Client = envelope.Client{Proto: message.WithLocal, Login: v.Client.Login, UID: v.Client.UID}
		if drained := s.call.Peer.UID == c.ownUID && v.Client.UID >= 0; !drained {
			v.Client.UID = int64(s.call.Peer.UID)
		}
		// pickup --drain runs as ourselves and hands in what others left in
		// maildrop/; it took the user from the owner of the file.
	}
	v.Arrived = arrival(c.now())
	v.ID = c.nextID(v.Arrived)
}

// takeSmall checks and completes a message that came inside its frame.
func (c *Cleanup) takeSmall(s *submission, text []byte) {
	h, r := c.checkHeader(s.env, text)
	if r != nil {
		c.refuse(s, r)
		return
	}
	s.noteMessageID(h)
	add := c.complete(s.env, h, s.fill)
	if text, r = c.rewriteHeader(s, h, text); r != nil {
		c.refuse(s, r)
		return
	}
	var seen message.CheckContent
	_, _ = seen.Write(text)
	if r := c.checkContent(s.env, &seen); r != nil {
		c.refuse(s, r)
		return
	}
	if add, r = c.rewriteAdded(s, add); r != nil {
		c.refuse(s, r)
		return
	}
	s.text = append(add, text...)
	s.size = int64(len(s.text))
	c.accept(s)
}

func (s *submission) noteMessageID(h message.Header) {
	if f, ok := h.First("Message-ID"); ok {
		s.messageID = h.Value(f)
	}
}

// refuse answers with why not, and logs it.
func (c *Cleanup) refuse(s *submission, r *refusal) {
	c.discard(s)
	if r.code == 452 {
		// After the discard: one message that is too large for what is left
		// must not make the disk look full to all others.
		c.capacity.update()
	}
	s.call.Reply(r.acceptance())
	ev := event.Refused{
		Client: clientName(s.env), Port: s.env.Client.Port, Stage: "content",
		From: &s.env.Sender, Code: r.code, Why: untrusted.From(r.text),
	}
	if len(s.env.Recipients) > 0 {
		ev.To = &s.env.Recipients[0].Address
	}
	c.log.Emit(ev)
}

// discard removes what lies on disk of a message that is not accepted.
func (c *Cleanup) discard(s *submission) {
	if s.file == nil {
		return
	}
	if err := s.file.Discard(); err != nil {
		c.log.Emit(event.TroubleOf(s.env.ID, "remove a refused message", err))
	}
	s.file = nil
}

func clientName(v *envelope.Envelope) string {
	if v.Client.Addr.IsValid() {
		return v.Client.Addr.String()
	}
	return v.Client.Login
}

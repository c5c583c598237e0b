package cleanup

import (
	"errors"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/journal"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
)

// accept commits a checked and completed message and answers its submitter
// when it is on stable storage.
func (c *Cleanup) accept(s *submission) {
	if r := c.rewriteEnvelope(s); r != nil {
		c.refuse(s, r)
		return
	}
	if r := c.addCopies(s); r != nil {
		c.refuse(s, r)
		return
	}
	s.env.Size = s.size
	rec := journal.Record{
		ID:       s.env.ID,
		Envelope: s.env.Marshal(),
		Content:  s.text,
		Internal: s.env.Source == envelope.FromBounce,
	}
	if s.file != nil {
		large, err := s.file.Seal()
		if err != nil {
			c.refuse(s, c.noRoom("flush a large message", err))
			return
		}
		rec.Large = large
	}
	c.journal.CommitAsync(rec, func(ref journal.Ref, err error) {
		// Answering takes the committer's time, which the next flush waits for;
		// the rest is done beside it.
		c.committed <- commitResult{s, ref, err}
	})
}

type commitResult struct {
	s   *submission
	ref journal.Ref
	err error
}

// answerAll is a goroutine that answers submitters in the order of the flushes.
func (c *Cleanup) answerAll() {
	for r := range c.committed {
		if r.err != nil {
			c.refuse(r.s, c.noRoom("commit a message", r.err))
			continue
		}
		c.accepted(r.s, r.ref)
	}
}

// accepted is reached only after the flush: from this line on the message is
// ours, and a power cut can't take it from us.
func (c *Cleanup) accepted(s *submission, ref journal.Ref) {
	s.call.Reply(&proto.Acceptance{
		ID: s.env.ID, Code: 250, Status: smtp.Status{Class: 2, Subject: 0, Detail: 0},
		Text: "Ok: queued as " + s.env.ID.String(),
	})
	c.log.Emit(event.Received{Envelope: s.env, MessageID: s.messageID})
	c.tellRewrites(&s.rewriting)
	attempt := &proto.Attempt{Ref: ref, Envelope: *s.env, Content: proto.Content{Inline: s.text, Size: s.size}}
	if s.file == nil {
		c.handover.give(attempt, nil)
		return
	}
	file, err := s.file.OpenRead()
	if err = errors.Join(err, s.file.Close()); err != nil {
		c.log.Emit(event.TroubleOf(s.env.ID, "open a large message for dispatch", err))
		c.handover.miss()
		return
	}
	c.handover.give(attempt, file.OS())
}

// noRoom makes the temporary refusal for an error of the disk, and logs what
// the administrator must know.
func (c *Cleanup) noRoom(doing string, err error) *refusal {
	switch {
	case errors.Is(err, journal.ErrFull):
		return temporary(452, 3, 1, "Insufficient system storage, try again later")
	case errors.Is(err, journal.ErrTooLarge):
		return permanent(552, 3, 4, "Too many recipients or too large an envelope")
	}
	c.log.Emit(event.TroubleOf(0, doing, err))
	return temporary(451, 3, 0, "Local error in processing, try again later")
}

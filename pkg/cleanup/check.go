package cleanup

import (
	"bytes"
	"errors"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/message"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
)

// refusal is an answer other than 250.
type refusal struct {
	code   int
	status smtp.Status
	text   string
}

func (r *refusal) Error() string { return r.text }

func permanent(code, subject, detail int, text string) *refusal {
	return &refusal{code, smtp.Status{Class: 5, Subject: subject, Detail: detail}, text}
}

func temporary(code, subject, detail int, text string) *refusal {
	return &refusal{code, smtp.Status{Class: 4, Subject: subject, Detail: detail}, text}
}

// checkEnvelope holds the submitter to the limits that smtpd and pickup also
// know: nothing is trusted because it comes from inside.
func (c *Cleanup) checkEnvelope(v *envelope.Envelope) *refusal {
	switch {
	case len(v.Recipients) == 0:
		return permanent(554, 5, 1, "No valid recipients")
	case v.Source == envelope.FromSMTP && len(v.Recipients) > max(smtp.MinRecipients, c.settings.Load().Limits.Recipients):
		return temporary(452, 5, 3, "Too many recipients")
	case !v.Valid(v.Arrived):
		return permanent(554, 5, 4, "A time or priority is out of range")
	case v.ReleaseAt.Sub(v.Arrived) > c.mostHeld(v):
		return permanent(554, 5, 4, "The message can't be held for so long")
	}
	for i := range v.Recipients {
		r := &v.Recipients[i]
		if r.Address.IsNull() {
			return permanent(553, 1, 3, "A recipient without an address")
		}
		if r.Kind != envelope.TargetAddress || r.ErrorsTo != nil || len(r.Lineage) != 0 || r.Target != "" || r.User != "" {
			// Only router makes these: a submitter that sends one is lying.
			return permanent(554, 3, 0, "A submitted recipient must be an address")
		}
	}
	return nil
}

// mostHeld is how long a message may be held that came in where this one did (RFC 4865,
// section 4). Who has a shell here may hold his mail himself.
func (c *Cleanup) mostHeld(v *envelope.Envelope) time.Duration {
	switch v.Source {
	case envelope.FromLocal:
		return envelope.MaxWait
	case envelope.FromBounce:
		return 0
	}
	var most time.Duration
	for _, l := range c.settings.Load().Listen {
		if l.Name == v.Client.Port {
			most = max(most, l.FutureRelease.D())
		}
	}
	return most
}

// checkHeader scans the header at the front of text and holds it to the limits.
func (c *Cleanup) checkHeader(v *envelope.Envelope, text []byte) (message.Header, *refusal) {
	s := c.settings.Load()
	limits := message.Limits{Fields: s.Limits.HeaderFields, Octets: int(s.Limits.HeaderSize)}
	if h, err := message.Scan(firstLine(text), limits); err == nil && isHeadless(h) {
		v.Hops = 1
		return h, nil
	}
	h, err := message.Scan(text, limits)
	if errors.Is(err, message.ErrHeaderTooBig) {
		return h, permanent(552, 3, 4, "Message header too large")
	}
	if err != nil {
		return h, permanent(554, 6, 0, "Message header can't be read")
	}
	v.Hops = h.CountReceived() + 1
	if v.Hops > s.Limits.Hops {
		// RFC 5321, section 6.3: a large number of Received fields is a loop.
		return h, permanent(554, 4, 6, "Too many hops: mail is looping")
	}
	return h, nil
}

// firstLine is the first line of text with its line end.
func firstLine(text []byte) []byte {
	if i := bytes.Index(text, []byte("\r\n")); i >= 0 {
		return text[:i+2]
	}
	return text
}

// isHeadless tells whether a message has no header: it begins with a line that is
// neither a field nor what mailboxes put in front of one, and so with its body.
func isHeadless(h message.Header) bool {
	return len(h.Fields) > 0 && h.Fields[0].Kind == message.KindJunk
}

// checkContent judges what CheckContent saw of the whole message.
func (c *Cleanup) checkContent(v *envelope.Envelope, seen *message.CheckContent) *refusal {
	switch {
	case seen.BareCR() || seen.BareLF():
		// RFC 5321, section 2.3.8: CR and LF only together, as a line end.
		return permanent(550, 6, 0, "Message has a bare CR or LF")
	case !seen.EndsInLine():
		return permanent(550, 6, 0, "Message does not end in a line end")
	case seen.Size() > c.settings.Load().Limits.MessageSize.Bytes():
		return permanent(552, 3, 4, "Message too large")
	}
	v.Has8Bit = seen.EightBit()
	v.LongLine = seen.LongestLine() > 998 // RFC 5321, section 4.5.3.1.6
	return nil
}

func (r *refusal) acceptance() *proto.Acceptance {
	return &proto.Acceptance{Code: r.code, Status: r.status, Text: r.text}
}

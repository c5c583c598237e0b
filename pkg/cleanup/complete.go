package cleanup

import (
	"strconv"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/message"
	"filbert/pkg/untrusted"
)

// complete gives the fields that go in front of the message: Received, and, if
// fill asks for it, those of RFC 5322, section 3.6 that are not there.
func (c *Cleanup) complete(v *envelope.Envelope, h message.Header, fill completion) []byte {
	hostname := c.settings.Load().Hostname
	trace := message.Trace{
		Helo:     v.Client.HELO,
		PeerName: v.Client.Name,
		PeerAddr: v.Client.Addr,
		By:       hostname,
		With:     v.Client.Proto,
		ID:       v.ID,
		Time:     v.Arrived.Local(),
		Priority: v.Priority,
	}
	if v.Source != envelope.FromSMTP {
		trace.With, trace.User = message.WithLocal, untrusted.From(v.Client.Login)
	}
	if v.Source == envelope.FromLocal {
		// The name is what the submitting program says, the number what the
		// kernel says: whoever got hold of the drop group could invent the first.
		trace.UserID = strconv.FormatInt(v.Client.UID, 10)
	}
	if len(v.Recipients) == 1 {
		trace.For = v.Recipients[0].Address
	}
	add := message.Received(trace)
	if fill == completeHeader {
		add = c.fillIn(add, v, h)
	}
	if isHeadless(h) {
		// The body must not become header behind our fields, least of all a
		// first line with a blank in front, which would continue the last one.
		add = append(add, "\r\n"...)
	}
	return add
}

// fillIn adds the fields that must be in every message.
func (c *Cleanup) fillIn(add []byte, v *envelope.Envelope, h message.Header) []byte {
	hostname := c.settings.Load().Hostname
	if !h.HasField("Date") {
		add = appendField(add, "Date", message.FormatDate(v.Arrived.Local()))
	}
	if !h.HasField("Message-ID") {
		add = appendField(add, "Message-ID", message.MessageID(v.ID, hostname, v.Arrived))
	}
	if !h.HasField("From") {
		add = appendField(add, "From", c.authorOf(v))
	}
	return add
}

// completion says whether missing fields are added: only for one's own users
// (RFC 6409, section 8); a relay changes nothing but the trace.
type completion uint8

const (
	traceOnly      completion = 0
	completeHeader completion = 1
)

func (c *Cleanup) authorOf(v *envelope.Envelope) string {
	if v.Sender.IsNull() {
		return "MAILER-DAEMON@" + c.settings.Load().Hostname
	}
	return v.Sender.String()
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, '\r', '\n')
}

// arrival is the time that is kept: microseconds, as the envelope encodes it.
func arrival(now time.Time) time.Time { return now.UTC().Truncate(time.Microsecond) }

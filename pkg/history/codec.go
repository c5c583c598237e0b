package history

import (
	"encoding/binary"
	"errors"
	"time"

	"filbert/pkg/queueid"
)

// ErrDamaged means that bytes are no list of events.
var ErrDamaged = errors.New("not a list of events")

// known are the words that take one byte. The numbers are on disk: words are
// only ever added at the end.
var known = [...]string{
	"", // 0: the word follows
	"received", "delivered", "deferred", "failed", "expanded", "finished", "filed", "reported", "refused",
	"held", "released", "retried", "bounced", "deleted", "rewritten", "corrupt", "trouble",
	"cleanup", "dispatch", "smtpd", "bounce", "qmgr", "master", "router", "smtp-client", "local-deliver",
	"from", "nrcpt", "size", "client", "proto", "port", "login", "uid", "msgid",
	"to", "orig", "target", "via", "host", "ip", "tls", "code", "status", "kind", "n", "took", "age", "said",
	"waiting", "why", "what", "report", "who", "reason", "stage", "count", "rule", "source", "old", "new", "more",
	"doing", "err", "where", "pickup", "mtadb",
}

// Codec writes and reads lists of events. It holds the words that take one byte;
// make one and keep it.
type Codec struct{ number map[string]byte }

// NewCodec makes a codec.
func NewCodec() *Codec {
	c := &Codec{number: make(map[string]byte, len(known))}
	for i, w := range known[1:] {
		c.number[w] = byte(i + 1)
	}
	return c
}

func (c *Codec) word(b []byte, w string) []byte {
	if n, ok := c.number[w]; ok {
		return append(b, n)
	}
	return text(append(b, 0), w)
}

func text(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Append writes one event behind others of the same message.
func (c *Codec) Append(b []byte, e *Event) []byte {
	b = binary.AppendVarint(b, e.At.UnixMilli())
	b = c.word(b, e.Verb)
	b = c.word(b, e.By)
	b = append(b, byte(len(e.Fields)))
	for i := range e.Fields {
		b = c.word(b, e.Fields[i].Key)
		b = text(b, e.Fields[i].Value)
	}
	return b
}

// Decode reads the events of one message.
func (c *Codec) Decode(b []byte, id queueid.ID) ([]Event, error) {
	var out []Event
	r := reader{b: b}
	for len(r.b) > 0 && !r.bad {
		e := Event{ID: id, At: r.time(), Verb: r.word(), By: r.word()}
		n := r.byte()
		if n > maxFields {
			r.bad = true
		}
		for range n {
			if r.bad {
				break
			}
			e.Fields = append(e.Fields, Field{r.word(), r.text(maxValue)})
		}
		out = append(out, e)
	}
	if r.bad {
		return nil, ErrDamaged
	}
	return out, nil
}

type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) time() time.Time {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return time.Time{}
	}
	r.b = r.b[n:]
	return time.UnixMilli(v).UTC()
}

func (r *reader) text(most uint64) string {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most || v > uint64(len(r.b)-n) {
		r.bad = true
		return ""
	}
	s := string(r.b[n : n+int(v)])
	r.b = r.b[n+int(v):]
	return s
}

func (r *reader) word() string {
	n := r.byte()
	switch {
	case r.bad:
		return ""
	case n == 0:
		return r.text(maxWord)
	case int(n) >= len(known):
		r.bad = true
		return ""
	}
	return known[n]
}

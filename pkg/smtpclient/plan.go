package smtpclient

import (
	"strconv"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// A plan is how one message goes to one server: which of the parameters and
// commands that the server offers are used.
type plan struct {
	sender   mailaddr.Address
	ret      envelope.Return
	envID    untrusted.Text
	size     int64 // as declared; 0: not
	eightBit bool
	binary   bool
	utf8     bool
	dsn      bool
	saysHow  bool   // MT-PRIORITY is said
	priority int8   // its value
	by       string // BY; "": not said
	delay    bool   // NOTIFY gets DELAY (RFC 2852, section 4.1.4.2)
	convert  bool   // the body has to go as quoted-printable
	chunking bool
	pipeline bool
	lmtp     bool
}

// traits are what fit must know beside the job's own fields.
type traits struct {
	host      string // the server, for texts
	now       time.Time
	lmtp      bool
	wantsUTF8 bool // an address or the header is not US-ASCII
	needsUTF8 bool // and it cannot be written otherwise
}

// fit decides how the job goes to a server with these capabilities, or that it
// cannot: then the outcome is for the whole job. What a server cannot take is
// refused, never altered, but for the one conversion that RFC 6152 knows.
func fit(job *proto.RemoteJob, caps *smtp.Capabilities, t traits) (plan, *outcome.Outcome) {
	ext := caps.Extensions
	p := plan{
		sender:   job.Sender,
		ret:      job.Return,
		envID:    job.EnvID,
		dsn:      ext.Has(smtp.ExtDSN),
		utf8:     ext.Has(smtp.ExtSMTPUTF8) && t.wantsUTF8,
		chunking: caps.Chunking,
		pipeline: caps.Pipelining,
		lmtp:     t.lmtp,
	}
	// RFC 6710, section 4.2: 0, too, lest the server make something else of silence.
	p.saysHow, p.priority = ext.Has(smtp.ExtPriority), job.Priority
	if t.needsUTF8 && !p.utf8 {
		return p, refuse(smtp.Status{Class: 5, Subject: 6, Detail: 7},
			"%s does not take internationalized addresses or headers (SMTPUTF8)", t.host)
	}
	if why := p.fitTime(job, caps, t); why != nil {
		return p, why
	}
	if why := p.fitOctets(job, ext, t); why != nil {
		return p, why
	}
	if ext.Has(smtp.ExtSize) && !p.convert {
		// The size of a converted message is not known before it is sent.
		p.size = job.Content.Size
		if caps.MaxSize > 0 && p.size > caps.MaxSize {
			return p, refuse(smtp.Status{Class: 5, Subject: 3, Detail: 4},
				"message of %d octets is too big for %s, which takes %d", p.size, t.host, caps.MaxSize)
		}
	}
	return p, nil
}

// fitTime decides what the server is told of the time that the message has (RFC 2852,
// section 4.1.4). One that is to be returned at its end goes to no server that would not
// do that; an LMTP server delivers at once. Where the sender is only to be told, a server
// that does not know the time is asked to tell of any delay.
func (p *plan) fitTime(job *proto.RemoteJob, caps *smtp.Capabilities, t traits) *outcome.Outcome {
	if job.By.IsZero() {
		return nil
	}
	knows, returns := caps.Extensions.Has(smtp.ExtDeliverBy), job.By.Mode == envelope.ByReturn
	left := int64(job.By.At.Sub(t.now) / time.Second)
	late := smtp.Status{Class: 5, Subject: 4, Detail: 7}
	switch {
	case returns && !t.lmtp && !knows:
		return refuse(late, "%s does not take a time by which to deliver (DELIVERBY), so that it would not return the message at its end", t.host)
	case returns && left < max(1, int64(caps.ByMin/time.Second)):
		return refuse(late, "%d seconds are left to deliver the message, which is too short for %s", left, t.host)
	case !knows:
		p.delay = !returns && !t.lmtp && left > 0
		return nil
	}
	p.by = strconv.FormatInt(max(-maxBy, min(left, maxBy)), 10) + map[bool]string{true: ";R", false: ";N"}[returns]
	if job.By.Trace {
		p.by += "T"
	}
	return nil
}

// maxBy is the greatest number that BY takes (RFC 2852, section 4: nine digits).
const maxBy = 999_999_999

// fitOctets decides how the content's octets go.
func (p *plan) fitOctets(job *proto.RemoteJob, ext smtp.Extensions, t traits) *outcome.Outcome {
	switch {
	case job.Body == envelope.BodyBinary:
		if !p.chunking || !ext.Has(smtp.ExtBinaryMIME) {
			return refuse(smtp.Status{Class: 5, Subject: 6, Detail: 3}, "%s does not take binary content (BINARYMIME)", t.host)
		}
		p.binary = true
	case job.LongLine && !t.lmtp:
		// RFC 5321, section 4.5.3.1.6. Servers cut or fold such lines, which
		// breaks signatures; BDAT changes nothing, as the server relays the
		// message on. An LMTP server stores it, and we pass it as it is.
		return refuse(smtp.Status{Class: 5, Subject: 6, Detail: 0}, "message has a line longer than %d octets", smtp.MaxTextLine)
	case (job.Has8Bit || job.Body == envelope.Body8BitMIME || p.utf8) && ext.Has(smtp.Ext8BitMIME):
		p.eightBit = true
	case job.Has8Bit:
		// If it can be: who has the content must look. The length is not known
		// in advance, so it is for DATA.
		p.convert, p.chunking = true, false
	}
	return nil
}

func refuse(status smtp.Status, format string, args ...any) *outcome.Outcome {
	o := outcome.Fail(outcome.Content, status, format, args...)
	return &o
}

// reachable tells whether a recipient's own address can be said to the server;
// if not, the outcome is his alone.
func (p *plan) reachable(a mailaddr.Address, host string) *outcome.Outcome {
	if p.utf8 || !a.NeedsUTF8() || !asciiAddress(a).NeedsUTF8() {
		return nil
	}
	return refuse(smtp.Status{Class: 5, Subject: 6, Detail: 7}, "%s does not take internationalized addresses (SMTPUTF8)", host)
}

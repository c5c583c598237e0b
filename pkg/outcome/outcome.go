// Package outcome is what became of one recipient at one attempt: delivered,
// deferred or failed, by which code, said by whom, and of which kind. Agents
// make outcomes, dispatch files them, bounce explains them, retry rules are
// chosen by their kind (paper, section 5).
//
// It refuses an outcome without a class; text of a peer stays untrusted.
package outcome

import (
	"fmt"

	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

// Class is the verdict.
type Class uint8

// The verdicts.
const (
	Delivered Class = 1 // handed over for good: nothing more is owed
	Deferred  Class = 2 // temporary: try again
	Failed    Class = 3 // permanent: report
	Expanded  Class = 4 // replaced by its children (DSN action "expanded")
)

// String is the verb used in logs and in the spool's attempt logs.
func (c Class) String() string {
	switch c {
	case Delivered:
		return "delivered"
	case Deferred:
		return "deferred"
	case Failed:
		return "failed"
	case Expanded:
		return "expanded"
	}
	return "unknown"
}

// Kind tells failures apart for retry rules and reports. Names are stable:
// they appear in logs and in the configuration.
type Kind string

// The kinds of failure.
const (
	None           Kind = ""
	Refused        Kind = "refused"        // TCP connection refused
	TimedOut       Kind = "timeout"        // connect or a reply took too long
	Unreachable    Kind = "unreachable"    // no route, network down
	LostConnection Kind = "lost"           // peer closed or reset during the dialogue
	Protocol       Kind = "protocol"       // reply without a valid code, bytes before they were due
	TLS            Kind = "tls"            //
	Auth           Kind = "auth"           //
	Greeting       Kind = "greeting"       // 4xx or 5xx greeting
	HELO           Kind = "helo"           //
	MailRefused    Kind = "mail"           // reply to MAIL
	RcptRefused    Kind = "rcpt"           // reply to RCPT
	DataRefused    Kind = "data"           // reply to DATA, BDAT or the final dot
	NoMX           Kind = "no-mx"          // domain exists, nothing to deliver to
	NullMX         Kind = "null-mx"        // domain says it takes no mail (RFC 7505)
	NoDomain       Kind = "no-domain"      // NXDOMAIN
	DNS            Kind = "dns"            // temporary DNS failure
	Loop           Kind = "loop"           // mail loop found
	UnknownUser    Kind = "unknown-user"   //
	Policy         Kind = "policy"         // an alias or router said :fail: or :defer:
	Content        Kind = "content"        // cannot be sent to that server (8-bit, long line, UTF-8 address)
	Quota          Kind = "quota"          //
	DiskFull       Kind = "disk-full"      //
	Locked         Kind = "mailbox-locked" //
	HomeMissing    Kind = "home-missing"   //
	Permission     Kind = "permission"     // owner or mode of a mailbox, file or directory
	Command        Kind = "command"        // a pipe's exit status
	Busy           Kind = "busy"           // our own limits; not the peer's fault
	Internal       Kind = "internal"       // a part of the suite was away or erred
	Expired        Kind = "expired"        // given up after the retry time
	Cancelled      Kind = "cancelled"      // by the sender, or dropped by the administrator: no report
	Returned       Kind = "returned"       // by the administrator, to the sender
	Ordered        Kind = "order"          // a standing order of the administrator's keeps it; nothing was tried
	Aborted        Kind = "aborted"        // the administrator abandoned the attempt
)

// Outcome is one recipient's.
type Outcome struct {
	Class  Class
	Kind   Kind
	Code   int         // SMTP reply code, 0 if none
	Status smtp.Status // enhanced status, always set
	// Text is the peer's own words where Remote is set, else ours.
	Text      untrusted.Text
	Transport string // name in the configuration
	Remote    string // host name that said it, "" if none did
	RemoteIP  string // its address
	TLS       string // protocol version, "" if none
	// Relayed: accepted by a server that does not do DSN, so that a success
	// report says "relayed" (RFC 3461, section 5.2.2). DSNPassed: it does, and
	// success is its to report.
	Relayed   bool
	DSNPassed bool
	// ByPassed: the server knows DELIVERBY, and has been told the time (RFC 2852). It is
	// known of an attempt alone, and not filed.
	ByPassed bool
}

// Permanent tells whether the recipient is finished with a failure.
func (o *Outcome) Permanent() bool { return o.Class == Failed }

// Temporary tells whether the recipient is owed another attempt.
func (o *Outcome) Temporary() bool { return o.Class == Deferred }

// Fail is a permanent failure of our own finding.
func Fail(k Kind, status smtp.Status, format string, args ...any) Outcome {
	return Outcome{Class: Failed, Kind: k, Status: status, Text: untrusted.From(fmt.Sprintf(format, args...))}
}

// Defer is a temporary failure of our own finding.
func Defer(k Kind, status smtp.Status, format string, args ...any) Outcome {
	return Outcome{Class: Deferred, Kind: k, Status: status, Text: untrusted.From(fmt.Sprintf(format, args...))}
}

// The most of each word that travels. Beyond it words are cut and not refused:
// they are for people, and what became of the recipient must not be lost.
const (
	maxKind = 32
	maxText = 8 << 10
	maxName = 256
	maxIP   = 64
	maxTLS  = 32
)

// EncodeTo appends the outcome.
func (o *Outcome) EncodeTo(e *wire.Encoder) {
	cut := func(s string, most int) { e.String(s[:min(len(s), most)]) }
	e.U8(uint8(o.Class))
	cut(string(o.Kind), maxKind)
	e.U16(uint16(o.Code))
	e.U16(uint16(o.Status.Class))
	e.U16(uint16(o.Status.Subject))
	e.U16(uint16(o.Status.Detail))
	e.String(o.Text.Clip(maxText).ForWire())
	cut(o.Transport, maxName)
	cut(o.Remote, maxName)
	cut(o.RemoteIP, maxIP)
	cut(o.TLS, maxTLS)
	e.Bool(o.Relayed)
	e.Bool(o.DSNPassed)
	e.Bool(o.ByPassed)
}

// DecodeFrom reads an outcome; d says what was wrong.
func (o *Outcome) DecodeFrom(d *wire.Decoder) {
	o.Class = Class(d.U8())
	o.Kind = Kind(d.String(maxKind))
	o.Code = int(d.U16())
	o.Status = smtp.Status{Class: int(d.U16()), Subject: int(d.U16()), Detail: int(d.U16())}
	o.Text = untrusted.FromWire(d.String(maxText))
	o.Transport = d.String(maxName)
	o.Remote = d.String(maxName)
	o.RemoteIP = d.String(maxIP)
	o.TLS = d.String(maxTLS)
	o.Relayed = d.Bool()
	o.DSNPassed = d.Bool()
	o.ByPassed = d.Bool()
	if o.Class < Delivered || o.Class > Expanded {
		d.Fail("outcome class %d", o.Class)
	}
}

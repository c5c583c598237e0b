// Package envelope is what the suite knows about a message beside its content:
// sender, recipients, what the submitter asked for (RFC 3461), where it came
// from and when. Every process that handles a message passes this one type on.
//
// It promises that what was encoded decodes to the same value and that a
// decoded envelope is within its limits and holds only addresses that
// mailaddr accepts. It refuses anything else whole. It knows nothing of files,
// routes or time-outs.
package envelope

import (
	"net/netip"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/queueid"
	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

// Limits of one envelope.
const (
	MaxRecipients = 100_000 // in one envelope, after expansion
	MaxLineage    = 64      // ancestors of an expanded address
	maxText       = 1024    // ENVID, ORCPT, HELO and host names, decoded
	maxTarget     = 4096    // a pipe's command line or a file name from an alias
	version       = 4       // 2: Recipient.Edit; 3: Wishes; 4: Wishes.HoldFor
	oldest        = 1       // that can still be read
)

// Source says by which door a message came in.
type Source uint8

// The doors.
const (
	FromSMTP   Source = 1 // smtpd
	FromLocal  Source = 2 // pickup: the sendmail command
	FromBounce Source = 3 // the suite's own reports
)

// String is the name used in configuration and logs.
func (s Source) String() string {
	switch s {
	case FromSMTP:
		return "smtp"
	case FromLocal:
		return "local"
	case FromBounce:
		return "bounce"
	}
	return "unknown"
}

// Body is the BODY parameter of MAIL (RFC 6152, RFC 3030).
type Body uint8

// The values of BODY.
const (
	BodyUnstated Body = 0
	Body7Bit     Body = 1
	Body8BitMIME Body = 2
	BodyBinary   Body = 3
)

// Return is the RET parameter of MAIL (RFC 3461, section 4.3).
type Return uint8

// The values of RET.
const (
	ReturnUnstated Return = 0
	ReturnFull     Return = 1
	ReturnHeaders  Return = 2
)

// Notify is the NOTIFY parameter of RCPT (RFC 3461, section 4.1), a set.
// The zero value is "not stated": failure, and delay as the site sees fit.
type Notify uint8

// The members of NOTIFY.
const (
	NotifyNever   Notify = 1
	NotifySuccess Notify = 2
	NotifyFailure Notify = 4
	NotifyDelay   Notify = 8
)

// Has tells whether the set contains n.
func (s Notify) Has(n Notify) bool { return s&n != 0 }

// TargetKind says what a recipient is after expansion.
type TargetKind uint8

// What an expanded recipient may be.
const (
	TargetAddress TargetKind = 0 // an address, to be routed
	TargetPipe    TargetKind = 1 // "|command args" of an alias
	TargetFile    TargetKind = 2 // "/file" or "/maildir/" of an alias
)

// Client describes who handed the message in.
type Client struct {
	Addr  netip.Addr     // zero for local submission
	Name  untrusted.Text // verified reverse name, or empty
	HELO  untrusted.Text
	Proto string // keyword for Received: SMTP, ESMTP, ESMTPS, UTF8SMTP, local ... (RFC 3848)
	Login string // authenticated login, or the local user's name; may be empty
	UID   int64  // local submission: the caller as the kernel says; -1 otherwise
	Port  string // the listener's name, "" for local submission
}

// Recipient is one address that this message is still owed to.
type Recipient struct {
	Address  mailaddr.Address // for pipes and files: the address that led to them
	Notify   Notify
	OrigType string         // ORCPT: address type, e.g. rfc822; empty if not stated
	Orig     untrusted.Text // ORCPT: decoded address

	// What expansion added.
	Kind     TargetKind
	Target   string             // pipe: the command line; file: the path
	User     string             // pipe and file: who to be; "" = the transport's default user
	ErrorsTo *mailaddr.Address  // owner of the list; nil = the envelope's sender
	Lineage  []mailaddr.Address // ancestors, oldest first; never expanded again
	// Edit is what the directors that redirected mail to here change in its
	// header; nil = nothing. It is never changed after it was made, and shared.
	Edit *Edit
}

// Envelope is one message's.
type Envelope struct {
	ID         queueid.ID
	Source     Source
	Arrived    time.Time // when cleanup took it; UTC, microseconds
	Sender     mailaddr.Address
	Recipients []Recipient
	Body       Body
	UTF8       bool // SMTPUTF8 was asked for (RFC 6531)
	Return     Return
	EnvID      untrusted.Text // decoded; empty if not stated
	Client     Client
	Size       int64 // bytes of content, CRLF form, with the fields that cleanup added
	Hops       int   // Received fields in it, ours included
	Has8Bit    bool  // an octet above 127 in the content
	LongLine   bool  // a line above 998 octets in the content (RFC 5321, section 4.5.3.1.6)
	Wishes           // when, how soon and before what it is to be delivered
}

// EncodeTo appends the envelope.
func (v *Envelope) EncodeTo(e *wire.Encoder) {
	e.U8(version)
	e.U64(uint64(v.ID))
	e.U8(uint8(v.Source))
	e.I64(v.Arrived.UnixMicro())
	v.Sender.EncodeTo(e)
	e.U8(uint8(v.Body))
	e.Bool(v.UTF8)
	e.U8(uint8(v.Return))
	e.String(v.EnvID.ForWire())
	v.Client.encodeTo(e)
	e.I64(v.Size)
	e.U32(uint32(v.Hops))
	e.Bool(v.Has8Bit)
	e.Bool(v.LongLine)
	e.Count(len(v.Recipients))
	for i := range v.Recipients {
		v.Recipients[i].EncodeTo(e)
	}
	v.Wishes.EncodeTo(e)
}

// DecodeFrom reads an envelope; d says what was wrong.
func (v *Envelope) DecodeFrom(d *wire.Decoder) {
	got := d.U8()
	if got < oldest || got > version {
		d.Fail("envelope version %d", got)
		return
	}
	v.ID = queueid.ID(d.U64())
	v.Source = Source(d.U8())
	v.Arrived = time.UnixMicro(d.I64()).UTC()
	v.Sender = mailaddr.DecodeFrom(d)
	v.Body = Body(d.U8())
	v.UTF8 = d.Bool()
	v.Return = Return(d.U8())
	v.EnvID = untrusted.FromWire(d.String(maxText))
	v.Client.decodeFrom(d)
	v.Size = d.I64()
	v.Hops = int(d.U32())
	v.Has8Bit = d.Bool()
	v.LongLine = d.Bool()
	n := d.Count(MaxRecipients, 8)
	v.Recipients = make([]Recipient, n)
	for i := range v.Recipients {
		v.Recipients[i].decodeFrom(d, got)
	}
	if v.Wishes = (Wishes{}); got >= 3 {
		v.Wishes.decodeFrom(d, got)
	}
	if v.Source < FromSMTP || v.Source > FromBounce || v.Body > BodyBinary || v.Return > ReturnHeaders || v.Size < 0 {
		d.Fail("envelope value out of range")
	}
}

// EncodeTo appends the recipient.
func (r *Recipient) EncodeTo(e *wire.Encoder) {
	r.Address.EncodeTo(e)
	e.U8(uint8(r.Notify))
	e.String(r.OrigType)
	e.String(r.Orig.ForWire())
	e.U8(uint8(r.Kind))
	e.String(r.Target)
	e.String(r.User)
	e.Bool(r.ErrorsTo != nil)
	if r.ErrorsTo != nil {
		r.ErrorsTo.EncodeTo(e)
	}
	e.Count(len(r.Lineage))
	for _, a := range r.Lineage {
		a.EncodeTo(e)
	}
	r.Edit.EncodeTo(e)
}

// DecodeFrom reads a recipient; d says what was wrong.
func (r *Recipient) DecodeFrom(d *wire.Decoder) { r.decodeFrom(d, version) }

func (r *Recipient) decodeFrom(d *wire.Decoder, version uint8) {
	r.Address = mailaddr.DecodeFrom(d)
	r.Notify = Notify(d.U8())
	r.OrigType = d.String(64)
	r.Orig = untrusted.FromWire(d.String(maxText))
	r.Kind = TargetKind(d.U8())
	r.Target = d.String(maxTarget)
	r.User = d.String(maxText)
	if d.Bool() {
		a := mailaddr.DecodeFrom(d)
		r.ErrorsTo = &a
	}
	if n := d.Count(MaxLineage, 4); n > 0 {
		r.Lineage = make([]mailaddr.Address, n)
		for i := range r.Lineage {
			r.Lineage[i] = mailaddr.DecodeFrom(d)
		}
	}
	if version >= 2 {
		r.Edit = DecodeEdit(d)
	}
	if r.Notify > 15 || r.Kind > TargetFile {
		d.Fail("recipient value out of range")
	}
}

func (c *Client) encodeTo(e *wire.Encoder) {
	addr, _ := c.Addr.MarshalBinary()
	e.Bytes(addr)
	e.String(c.Name.ForWire())
	e.String(c.HELO.ForWire())
	e.String(c.Proto)
	e.String(c.Login)
	e.I64(c.UID)
	e.String(c.Port)
}

func (c *Client) decodeFrom(d *wire.Decoder) {
	if err := c.Addr.UnmarshalBinary(d.Bytes(64)); err != nil {
		d.Fail("client address: %v", err)
	}
	c.Name = untrusted.FromWire(d.String(maxText))
	c.HELO = untrusted.FromWire(d.String(maxText))
	c.Proto = d.String(32)
	c.Login = d.String(maxText)
	c.UID = d.I64()
	c.Port = d.String(maxText)
}

// Marshal is the encoding of v alone.
func (v *Envelope) Marshal() []byte {
	e := wire.Encoder{Buf: make([]byte, 0, 256+96*len(v.Recipients))}
	v.EncodeTo(&e)
	return e.Buf
}

// Unmarshal decodes exactly one envelope.
func Unmarshal(b []byte) (*Envelope, error) {
	d := wire.NewDecoder(b)
	v := new(Envelope)
	v.DecodeFrom(d)
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return v, nil
}

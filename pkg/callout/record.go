package callout

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

// Bounds of a record.
const (
	// recordVersion is the first octet. A record of another version is nothing: the
	// server is asked again.
	recordVersion = 1
	maxKind       = 32
	maxName       = 256
	maxServers    = 8 << 10
	maxKey        = 900 // below what mtadb takes
)

// Record is an answer as it is remembered between runs.
type Record struct {
	Local      string // "": it is of all addresses of the domain
	Domain     string
	Transport  string
	Servers    string
	Asked      time.Time
	Expires    time.Time
	AcceptsAll bool
	Outcome    outcome.Outcome // its class, kind, code, status, text and remote name
}

// Key names a record: the domain comes first, so that all of one stand together.
func (r *Record) Key() string {
	of := key{r.Local, r.Domain, r.Transport, r.Servers}
	return of.String()
}

// KeyPrefix begins the keys of an address, whatever server was asked, and of no other.
func KeyPrefix(a mailaddr.Address) string { return a.Domain() + " " + a.String() + " " }

// DomainPrefix begins the keys of all addresses of a domain, and of no other.
func DomainPrefix(domain string) string { return domain + " " }

func (k key) String() string {
	s := DomainPrefix(k.domain)
	if a, err := mailaddr.New(k.local, k.domain); err == nil {
		s = KeyPrefix(a)
	}
	where := k.transport + " " + k.servers
	if len(s)+len(where) > maxKey {
		sum := sha256.Sum256([]byte(where))
		where = hex.EncodeToString(sum[:])
	}
	return s + where
}

// isDomain tells the name of a domain, as addresses have it, from other words.
func isDomain(s string) bool {
	a, err := mailaddr.New("x", s)
	return err == nil && s != "" && a.Domain() == s
}

// Marshal is the encoding of r.
func (r *Record) Marshal() []byte {
	var e wire.Encoder
	o := &r.Outcome
	e.U8(recordVersion)
	for _, s := range []string{r.Local, r.Domain, r.Transport, r.Servers} {
		e.String(s)
	}
	e.I64(r.Asked.UnixMilli())
	e.I64(r.Expires.UnixMilli())
	e.Bool(r.AcceptsAll)
	e.U8(uint8(o.Class))
	e.String(string(o.Kind))
	e.U16(uint16(o.Code))
	for _, n := range []int{o.Status.Class, o.Status.Subject, o.Status.Detail} {
		e.U16(uint16(n))
	}
	e.String(o.Text.Clip(maxText).ForWire())
	e.String(o.Remote[:min(len(o.Remote), maxName)])
	return e.Buf
}

// Unmarshal reads a record; false: it makes no sense.
func Unmarshal(b []byte) (*Record, bool) {
	d := wire.NewDecoder(b)
	if d.U8() != recordVersion {
		return nil, false
	}
	r := &Record{
		Local: d.String(mailaddr.MaxLocal), Domain: d.String(mailaddr.MaxDomain),
		Transport: d.String(maxName), Servers: d.String(maxServers),
		Asked: time.UnixMilli(d.I64()), Expires: time.UnixMilli(d.I64()), AcceptsAll: d.Bool(),
	}
	o := &r.Outcome
	o.Class = outcome.Class(d.U8())
	o.Kind = outcome.Kind(d.String(maxKind))
	o.Code = int(d.U16())
	o.Status = smtp.Status{Class: int(d.U16()), Subject: int(d.U16()), Detail: int(d.U16())}
	o.Text = untrusted.FromWire(d.String(maxText))
	o.Remote = d.String(maxName)
	return r, d.Finish() == nil && r.valid()
}

// valid tells whether this package could have made the record: a bad one must not
// have mail refused.
func (r *Record) valid() bool {
	c := r.Outcome.Class
	switch {
	case c != outcome.Delivered && c != outcome.Failed, !isDomain(r.Domain):
		return false
	case r.AcceptsAll && (c != outcome.Delivered || r.Local != ""):
		return false
	case r.Expires.Before(r.Asked):
		return false
	case r.Local == "":
		return true
	}
	a, err := mailaddr.New(r.Local, r.Domain)
	return err == nil && a.Local() == r.Local && a.Domain() == r.Domain
}

package callout

import (
	"strings"
	"testing"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

func aRecord() *Record {
	at := time.UnixMilli(978307200_123)
	return &Record{
		Local: "nobody", Domain: "far.example", Transport: "smtp", Servers: "mx.far.example:25", Asked: at, Expires: at.Add(time.Hour),
		Outcome: outcome.Outcome{
			Class: outcome.Failed, Kind: outcome.RcptRefused, Code: 550, Status: smtp.Status{Class: 5, Subject: 1, Detail: 1},
			Text: untrusted.From("no mailbox\x1b here"), Remote: "mx.far.example",
		},
	}
}

func ofTheDomain() *Record {
	r := aRecord()
	r.Local, r.AcceptsAll, r.Outcome.Class = "", true, outcome.Delivered
	return r
}

func TestRecordIsReadAsItWasWritten(t *testing.T) {
	for _, r := range []*Record{aRecord(), ofTheDomain()} {
		got, ok := Unmarshal(r.Marshal())
		if !ok || *got != *r {
			t.Errorf("%v\n%+v, want\n%+v", ok, got, r)
		}
	}
}

func TestRecordThatMakesNoSenseIsNothing(t *testing.T) {
	for name, spoil := range map[string]func(*Record){
		"nothing found out":               func(r *Record) { r.Outcome.Class = outcome.Deferred },
		"no class":                        func(r *Record) { r.Outcome.Class = 0 },
		"no domain":                       func(r *Record) { r.Domain = "" },
		"a domain as nobody writes it":    func(r *Record) { r.Domain = "Far.Example" },
		"no address":                      func(r *Record) { r.Local = "a\r\nb" },
		"a refusal that takes all":        func(r *Record) { r.Local, r.AcceptsAll = "", true },
		"one address that is all":         func(r *Record) { r.AcceptsAll, r.Outcome.Class = true, outcome.Delivered },
		"forgotten before it was learned": func(r *Record) { r.Expires = r.Asked.Add(-1e6) },
		"servers without end":             func(r *Record) { r.Servers = strings.Repeat("x", maxServers+1) },
	} {
		r := aRecord()
		spoil(r)
		if _, ok := Unmarshal(r.Marshal()); ok {
			t.Errorf("%s: taken", name)
		}
	}
	b := aRecord().Marshal()
	for n := range b {
		if _, ok := Unmarshal(b[:n]); ok {
			t.Errorf("%d octets of %d: taken", n, len(b))
		}
	}
	if _, ok := Unmarshal(append(b, 0)); ok {
		t.Error("an octet too many: taken")
	}
	b[0]++
	if _, ok := Unmarshal(b); ok {
		t.Error("another version: taken")
	}
}

func TestKeysOfAnAddressAndOfADomainStandTogether(t *testing.T) {
	a := aRecord().Key()
	if !strings.HasPrefix(a, KeyPrefix(mailaddr.MustParse("nobody@far.example"))) || !strings.HasPrefix(a, DomainPrefix("far.example")) {
		t.Errorf("%q", a)
	}
	if all := ofTheDomain().Key(); !strings.HasPrefix(all, DomainPrefix("far.example")) || strings.Contains(all, "@") {
		t.Errorf("%q", all)
	}
	if strings.HasPrefix(a, KeyPrefix(mailaddr.MustParse("nobody@far.exam"))) || strings.HasPrefix(a, DomainPrefix("far.exam")) {
		t.Errorf("%q belongs to others, too", a)
	}
}

func TestKeysAreShortAndTellServersApart(t *testing.T) {
	a, b := aRecord(), aRecord()
	a.Servers = strings.Repeat("mx.far.example:25 ", 400)
	b.Servers = a.Servers + "other"
	if a.Key() == b.Key() || len(a.Key()) > maxKey {
		t.Errorf("%q and %q", a.Key(), b.Key())
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(aRecord().Marshal())
	f.Add(ofTheDomain().Marshal())
	f.Add([]byte{recordVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := Unmarshal(b)
		if !ok {
			return
		}
		if len(r.Key()) > maxKey {
			t.Errorf("a key of %d octets", len(r.Key()))
		}
		again, ok := Unmarshal(r.Marshal())
		if !ok || *again != *r {
			t.Errorf("%v\n%+v, want\n%+v", ok, again, r)
		}
	})
}

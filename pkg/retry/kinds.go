package retry

import (
	"slices"

	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// Failure is why an attempt did not succeed, as far as rules look at it.
type Failure struct {
	Kind   outcome.Kind
	Code   int // of the server's reply; 0: none
	Status smtp.Status
	Text   untrusted.Text
}

// FailureOf is the failure of an outcome.
func FailureOf(o *outcome.Outcome) Failure {
	return Failure{Kind: o.Kind, Code: o.Code, Status: o.Status, Text: o.Text}
}

// The names that differ from the kinds of pkg/outcome.
const (
	nameReset  = "reset"
	namePolicy = "policy-4xx"
)

// kinds are the names that rules may use, with what people call the failure of a
// host ("this machine") or of an address. Each temporary outcome has exactly one:
// see Name.
var kinds = []struct {
	name  string
	of    outcome.Kind
	words string // "... since 3 March 14:05"
}{
	{"refused", outcome.Refused, "this machine has refused mail"},
	{"timeout", outcome.TimedOut, "this machine has not answered in time"},
	{"unreachable", outcome.Unreachable, "this machine could not be reached"},
	{nameReset, outcome.LostConnection, "this machine has broken off connections"},
	{"protocol", outcome.Protocol, "this machine has not kept to the protocol"},
	{"tls", outcome.TLS, "no safe connection to this machine could be made"},
	{"auth", outcome.Auth, "this machine has not accepted our login"},
	{"greeting", outcome.Greeting, "this machine has turned us away with its greeting"},
	{"helo", outcome.HELO, "this machine has turned us away when we gave our name"},
	{"mail", outcome.MailRefused, "the server has put off mail of this sender"},
	{"rcpt", outcome.RcptRefused, "the server has put off mail for this address"},
	{"data", outcome.DataRefused, "the server has put off mail for this address after it saw the message"},
	{"content", outcome.Content, "the message could not be sent to the server"},
	{namePolicy, outcome.None, "the server has put off mail for this address as its policy is"},
	{"dns", outcome.DNS, "the name servers have not told where mail for this address goes"},
	{"no-mx", outcome.NoMX, "no server was found for this address"},
	{"null-mx", outcome.NullMX, "the domain has taken no mail"},
	{"no-domain", outcome.NoDomain, "the domain was not found"},
	{"loop", outcome.Loop, "mail for this address has gone round in circles"},
	{"unknown-user", outcome.UnknownUser, "the user was not known"},
	{"policy", outcome.Policy, "mail for this address has been put off by this site"},
	{"quota", outcome.Quota, "the mailbox has been full"},
	{"mailbox-locked", outcome.Locked, "the mailbox has been locked"},
	{"home-missing", outcome.HomeMissing, "the home directory has not been there"},
	{"disk-full", outcome.DiskFull, "the disk has been full"},
	{"permission", outcome.Permission, "the mailbox could not be written to"},
	{"command", outcome.Command, "the command for this address has failed"},
	{"internal", outcome.Internal, "a part of this mail system has been away"},
}

// groups are names that stand for several.
var groups = map[string][]string{
	"connection": {"refused", "timeout", "unreachable", nameReset, "protocol"},
	"local":      {"quota", "mailbox-locked", "home-missing", "disk-full", "permission", "command"},
}

// Kinds are the names that a rule may use in `on`, groups at the end.
func Kinds() []string {
	out := make([]string, 0, len(kinds)+len(groups))
	for _, k := range kinds {
		out = append(out, k.name)
	}
	return append(out, "connection", "local")
}

// Name is what rules call a failure.
func (f Failure) Name() string {
	if f.OfPair() && f.Kind != outcome.Content && f.Status.Subject == 7 {
		return namePolicy // RFC 3463, section 3.8: security or policy
	}
	for _, k := range kinds {
		if k.of == f.Kind && k.of != outcome.None {
			return k.name
		}
	}
	return string(outcome.Internal)
}

// KindOf is the failure that a name stands for, for a what-if.
func KindOf(name string) (Failure, bool) {
	if name == namePolicy {
		return Failure{Kind: outcome.RcptRefused, Code: 450, Status: smtp.Status{Class: 4, Subject: 7, Detail: 1}}, true
	}
	for _, k := range kinds {
		if k.name == name {
			return Failure{Kind: k.of}, true
		}
	}
	return Failure{}, false
}

// wordsFor says what has been so since a state began.
func wordsFor(name string) string {
	for _, k := range kinds {
		if k.name == name {
			return k.words
		}
	}
	return "this has failed"
}

// OfPair tells whether a failure is a server's word on mail of one sender to one
// recipient, which says nothing of others: its state belongs to both together.
func (f Failure) OfPair() bool {
	return slices.Contains([]outcome.Kind{outcome.MailRefused, outcome.RcptRefused, outcome.DataRefused, outcome.Content}, f.Kind)
}

// Own tells whether a failure is of our own making: nothing is known by it of a
// host or an address.
func (f Failure) Own() bool {
	return slices.Contains([]outcome.Kind{outcome.Internal, outcome.Busy, outcome.Ordered, outcome.Aborted}, f.Kind)
}

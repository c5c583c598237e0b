package smtpclient

import (
	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
)

// A step is what a reply answers.
type step uint8

const (
	stepGreeting step = iota
	stepHello
	stepStartTLS
	stepAuth
	stepReset
	stepMail
	stepRcpt
	stepData
	stepChunk    // a BDAT that is not the last
	stepEnd      // the final dot, or BDAT LAST
	stepEmptyEnd // a final dot that nobody is to profit from
)

var stepNames = [...]string{
	"greeting", "EHLO", "STARTTLS", "AUTH", "RSET", "MAIL", "RCPT", "DATA", "BDAT", "end of data", "end of data",
}

// String is the step as a report names it.
func (s step) String() string { return stepNames[s] }

// kind is the kind of failure when the server refuses the step.
func (s step) kind() outcome.Kind {
	switch s {
	case stepGreeting:
		return outcome.Greeting
	case stepHello:
		return outcome.HELO
	case stepStartTLS:
		return outcome.TLS
	case stepAuth:
		return outcome.Auth
	case stepReset, stepMail:
		return outcome.MailRefused
	case stepRcpt:
		return outcome.RcptRefused
	}
	return outcome.DataRefused
}

// A ruling is what a reply means where it came.
type ruling struct {
	out     outcome.Outcome
	granted bool // the server did what it was asked for
	over    bool // the server has ended the session, or is out of step with us
	tooMany bool // this recipient is one too many for one transaction
}

// judge says what reply r to step s means. Only a 5yz where the server may say
// no for good is a failure; whatever makes no sense at that place defers and
// ends the session, since we can't know which command it was an answer to.
func judge(s step, r smtp.ServerReply) ruling {
	switch {
	case r.Success() && s != stepData, r.Intermediate() && s == stepData:
		return ruling{granted: true, out: fromReply(outcome.Delivered, outcome.None, r)}
	case r.Temporary():
		// RFC 5321, section 3.8: 421 may come at any time and closes.
		return ruling{out: fromReply(outcome.Deferred, s.kind(), r), over: r.Code == 421, tooMany: s == stepRcpt && tooMany(r)}
	case r.Permanent() && r.Code != 503:
		return judgeRefusal(s, r)
	}
	// 2yz to DATA, 3yz to anything else; and 503, "bad sequence": we know
	// that the sequence was right, so the server has lost count.
	return ruling{out: fromReply(outcome.Deferred, outcome.Protocol, r), over: true}
}

func judgeRefusal(s step, r smtp.ServerReply) ruling {
	switch {
	case s <= stepReset:
		// Before MAIL a server speaks of us or of itself, not of a message:
		// RFC 5321, section 3.1: 554 may be this host's alone.
		return ruling{out: fromReply(outcome.Deferred, s.kind(), r)}
	case s == stepRcpt && r.Code == 552:
		// RFC 5321, section 4.5.3.1.10: to be treated as 452.
		return ruling{out: fromReply(outcome.Deferred, s.kind(), r), tooMany: tooMany(r)}
	}
	return ruling{out: fromReply(outcome.Failed, s.kind(), r)}
}

// tooMany tells "too many recipients" from a full disk or mailbox, which have
// the same codes and say so by their enhanced status (RFC 3463, section 3.6).
func tooMany(r smtp.ServerReply) bool {
	return (r.Code == 452 || r.Code == 552) &&
		(r.Status.IsZero() || r.Status.Subject == 5 && r.Status.Detail == 3)
}

// fromReply is an outcome in the server's words. The class rules: an enhanced
// status of another class is bent to it, or dropped by the parser before.
func fromReply(c outcome.Class, k outcome.Kind, r smtp.ServerReply) outcome.Outcome {
	status := r.Status
	switch c {
	case outcome.Failed:
		status.Class = 5
	case outcome.Deferred:
		status.Class = 4
	default:
		status.Class = 2
	}
	return outcome.Outcome{Class: c, Kind: k, Code: r.Code, Status: status, Text: r.Text}
}

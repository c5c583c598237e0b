package qmgr

import (
	"strconv"

	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
	"filbert/pkg/spool"
)

// given is the address by which its sender knows a recipient: the one that was
// expanded, where one was. What an alias or a list stands for is not his to see.
func given(rc *envelope.Recipient) string {
	if len(rc.Lineage) > 0 {
		return rc.Lineage[0].String()
	}
	return rc.Address.String()
}

// whyWaits says in plain words why a recipient waits. All of it can be followed by
// "since" and a time.
func whyWaits(o *outcome.Outcome, rc *envelope.Recipient) string {
	if o.Class == 0 {
		return "it has not been tried yet"
	}
	if words := whyRemote(o.Kind); words != "" {
		return serverName(o, rc) + " " + words
	}
	return whyHere(o.Kind, given(rc))
}

// serverName is who did not take the mail: the domain that the sender wrote, and
// the server's name where it is another.
func serverName(o *outcome.Outcome, rc *envelope.Recipient) string {
	domain := rc.Address.Domain()
	switch {
	case len(rc.Lineage) > 0: // an address of somebody else's
		return "the server behind " + given(rc)
	case domain == "":
		return "the server"
	case o.Remote == "" || o.Remote == domain:
		return domain
	}
	return domain + " (server " + o.Remote + ")"
}

// whyRemote goes on after the name of a server; "" where no server is to blame.
func whyRemote(k outcome.Kind) string {
	switch k {
	case outcome.Refused:
		return "has refused connections"
	case outcome.TimedOut:
		return "has not answered in time"
	case outcome.Unreachable:
		return "has been out of reach"
	case outcome.LostConnection:
		return "has broken off the conversation"
	case outcome.Protocol:
		return "has given answers that make no sense"
	case outcome.TLS:
		return "has offered no secure connection that can be trusted"
	case outcome.Auth:
		return "has not accepted the login of this machine"
	case outcome.Greeting, outcome.HELO:
		return "has turned this machine away for the moment"
	case outcome.MailRefused:
		return "has not taken mail from this sender for the moment"
	case outcome.RcptRefused:
		return "has put this recipient off for the moment"
	case outcome.DataRefused:
		return "has not taken the message for the moment"
	case outcome.NoMX, outcome.NullMX:
		return "has had no mail server"
	case outcome.NoDomain:
		return "has not been known to the name servers"
	case outcome.DNS:
		return "could not be looked up: the name servers have not answered"
	case outcome.Content:
		return "has not been able to take this kind of message"
	}
	return ""
}

// whyHere is what stands in the way on this machine.
func whyHere(k outcome.Kind, to string) string {
	switch k {
	case outcome.Quota:
		return "the mailbox of " + to + " has been full"
	case outcome.DiskFull:
		return "the disk for the mailbox of " + to + " has been full"
	case outcome.Locked:
		return "the mailbox of " + to + " has been in use by another program"
	case outcome.HomeMissing:
		return "the home directory of " + to + " has been missing"
	case outcome.Permission:
		return "the mailbox of " + to + " has not been writable"
	case outcome.UnknownUser:
		return to + " has not been known here"
	case outcome.Policy:
		return "the rules of this machine have put " + to + " off"
	case outcome.Loop:
		return "the message has gone in circles"
	case outcome.Command:
		return "the program that takes the mail of " + to + " has asked for another try"
	case outcome.Busy:
		return "it has been waiting for its turn"
	case outcome.Ordered:
		return "an order of the administrators has kept it"
	case outcome.Aborted:
		return "the last attempt was broken off by an administrator"
	case outcome.Internal:
		return "a part of the mail system of this machine has been out of order"
	case outcome.Expired:
		return "it has been tried for too long"
	case outcome.Cancelled:
		return "it has been cancelled"
	case outcome.Returned:
		return "an administrator has returned it"
	}
	return "the last attempt has failed"
}

// replyOf is what the other side said, in its own words. Our own texts have names of
// files and programs in them, which are not for everybody.
func replyOf(o *outcome.Outcome, rc *envelope.Recipient) string {
	if o.Remote == "" || o.Text.IsEmpty() || len(rc.Lineage) > 0 {
		return ""
	}
	return o.Text.ForTerminal()
}

// whatHappened is a line of the message's log in plain words; "" for one that tells
// a sender nothing.
func whatHappened(l *spool.LogLine, rc *envelope.Recipient) string {
	o := &l.Outcome
	switch l.Verb {
	case spool.Delivered:
		if o.Remote != "" && len(rc.Lineage) == 0 {
			return "handed to " + o.Remote
		}
		return "delivered"
	case spool.DeferredV:
		return "put off: " + whyWaits(o, rc)
	case spool.Failed:
		if words := whyRemote(o.Kind); words != "" {
			return "given up: " + serverName(o, rc) + " has refused it for good" + code(o)
		}
		return "given up: " + whyHere(o.Kind, given(rc))
	case spool.Reported:
		return "a report was sent to the sender"
	case spool.Cancelled:
		return "cancelled"
	case spool.Expanded:
		return "passed on to others"
	case spool.Warned:
		return "the sender was told of the delay"
	case spool.Held:
		return "put on hold by an administrator"
	case spool.Released:
		return "released by an administrator"
	}
	return ""
}

func code(o *outcome.Outcome) string {
	if o.Code == 0 {
		return ""
	}
	return " (reply " + strconv.Itoa(o.Code) + ")"
}

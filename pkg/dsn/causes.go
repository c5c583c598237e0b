package dsn

import (
	"strings"

	"filbert/pkg/outcome"
)

// Cause is what stood in a message's way, as somebody sees it who does not run
// mail servers. It is the name of texts: "CAUSE.why" says what it is, "CAUSE.todo"
// what that person can do.
type Cause string

// The causes. Names are stable: sites call files by them.
const (
	UnknownUser        Cause = "unknown-user"
	Moved              Cause = "moved"
	BadAddress         Cause = "bad-address"
	NoDomain           Cause = "no-domain"
	NoMailServer       Cause = "no-mail-server"
	TakesNoMail        Cause = "takes-no-mail"
	MailboxFull        Cause = "mailbox-full"
	MailboxDisabled    Cause = "mailbox-disabled"
	RecipientRefused   Cause = "recipient-refused"
	SenderRefused      Cause = "sender-refused"
	MessageRefused     Cause = "message-refused"
	Policy             Cause = "policy"
	TooLarge           Cause = "too-large"
	Relaying           Cause = "relaying"
	Greylisted         Cause = "greylisted"
	Later              Cause = "later"
	Refused            Cause = "refused"
	TimedOut           Cause = "timeout"
	Unreachable        Cause = "unreachable"
	Lost               Cause = "lost"
	Greeting           Cause = "greeting"
	Protocol           Cause = "protocol"
	TLS                Cause = "tls"
	DNS                Cause = "dns"
	Expired            Cause = "expired"
	Loop               Cause = "loop"
	Content            Cause = "content"
	MailboxUnavailable Cause = "mailbox-unavailable"
	MailboxLocked      Cause = "mailbox-locked"
	DiskFull           Cause = "disk-full"
	Command            Cause = "command"
	Site               Cause = "site"
	Cancelled          Cause = "cancelled"
	Internal           Cause = "internal"
	Other              Cause = "other"
)

// Causes are all of them, in the order in which a person would look: the address,
// the mailbox, the message, the way there, we.
func Causes() []Cause {
	return []Cause{
		UnknownUser, Moved, BadAddress, NoDomain, NoMailServer, TakesNoMail, MailboxFull, MailboxDisabled,
		RecipientRefused, SenderRefused, MessageRefused, Policy, TooLarge, Relaying, Greylisted, Later,
		Refused, TimedOut, Unreachable, Lost, Greeting, Protocol, TLS, DNS, Expired, Loop, Content,
		MailboxUnavailable, MailboxLocked, DiskFull, Command, Site, Cancelled, Internal, Other,
	}
}

// byKind are the kinds that say all. What a server replied is looked at more closely.
var byKind = map[outcome.Kind]Cause{
	outcome.UnknownUser:    UnknownUser,
	outcome.NoDomain:       NoDomain,
	outcome.NoMX:           NoMailServer,
	outcome.NullMX:         TakesNoMail,
	outcome.Refused:        Refused,
	outcome.TimedOut:       TimedOut,
	outcome.Unreachable:    Unreachable,
	outcome.LostConnection: Lost,
	outcome.Protocol:       Protocol,
	outcome.TLS:            TLS,
	outcome.DNS:            DNS,
	outcome.Expired:        Expired,
	outcome.Loop:           Loop,
	outcome.Content:        Content,
	outcome.Quota:          MailboxFull,
	outcome.DiskFull:       DiskFull,
	outcome.Locked:         MailboxLocked,
	outcome.HomeMissing:    MailboxUnavailable,
	outcome.Command:        Command,
	outcome.Cancelled:      Cancelled,
	outcome.Returned:       Cancelled,
	outcome.Auth:           Internal,
	outcome.Permission:     Internal,
	outcome.Busy:           Internal,
	outcome.Internal:       Internal,
}

// byStatus are the codes of RFC 3463 that servers use for one thing each; the class
// is the outcome's.
var byStatus = map[[2]int]Cause{
	{1, 1}: UnknownUser, {1, 3}: BadAddress, {1, 6}: Moved, {1, 7}: SenderRefused, {1, 8}: SenderRefused, {1, 10}: TakesNoMail,
	{2, 1}: MailboxDisabled, {2, 2}: MailboxFull, {2, 3}: TooLarge, {3, 4}: TooLarge, {4, 6}: Loop,
}

// CauseOf is the cause of an outcome.
func CauseOf(o *outcome.Outcome) Cause {
	status := byStatus[[2]int{o.Status.Subject, o.Status.Detail}]
	switch o.Kind {
	case outcome.UnknownUser, outcome.NoDomain:
		if status == Moved || status == BadAddress {
			return status
		}
	case outcome.Policy:
		if o.Temporary() {
			return Later
		}
		return Site
	case outcome.Greeting, outcome.HELO:
		if o.Temporary() {
			return Later
		}
		return Greeting
	case outcome.MailRefused, outcome.RcptRefused, outcome.DataRefused:
		return replied(o, status)
	}
	if c, ok := byKind[o.Kind]; ok {
		return c
	}
	return Other
}

// replied is the cause of a server's reply to a command. Codes are believed first,
// then two words that servers have agreed on.
func replied(o *outcome.Outcome, status Cause) Cause {
	said := strings.ToLower(o.Text.ForReport())
	switch {
	case o.Temporary() && (strings.Contains(said, "greylist") || strings.Contains(said, "graylist")):
		return Greylisted
	case o.Temporary() && status != MailboxFull:
		return Later
	case o.Kind == outcome.RcptRefused && strings.Contains(said, "relay"):
		return Relaying
	case o.Kind == outcome.RcptRefused && o.Code == 551: // RFC 5321, section 3.4
		return Moved
	case status == UnknownUser && o.Kind != outcome.RcptRefused:
		// A server that says so of a sender, or of the message, means something else.
	case status != "":
		return status
	case o.Code == 552 && o.Status.Detail == 0: // RFC 5321, section 4.2.3, of servers without codes
		if o.Kind == outcome.RcptRefused {
			return MailboxFull
		}
		return TooLarge
	case o.Status.Subject == 7 && o.Kind != outcome.MailRefused:
		return Policy
	}
	switch o.Kind {
	case outcome.MailRefused:
		return SenderRefused
	case outcome.RcptRefused:
		return RecipientRefused
	}
	return MessageRefused
}

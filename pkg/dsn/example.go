package dsn

import (
	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// example is how an outcome of a cause looks.
type example struct {
	kind            outcome.Kind
	code            int
	subject, detail int
	text            string // of a server where there is a code, else ours
}

// examples has one for each cause.
var examples = map[Cause]example{
	UnknownUser:        {outcome.RcptRefused, 550, 1, 1, "550 5.1.1 User unknown"},
	Moved:              {outcome.RcptRefused, 551, 1, 6, "551 5.1.6 User has moved to friend@example.com"},
	BadAddress:         {outcome.RcptRefused, 501, 1, 3, "501 5.1.3 Bad recipient address syntax"},
	NoDomain:           {outcome.NoDomain, 0, 1, 2, "the domain does not exist"},
	NoMailServer:       {outcome.NoMX, 0, 1, 2, "the domain has neither a mail exchanger nor an address"},
	TakesNoMail:        {outcome.NullMX, 0, 1, 10, "the domain takes no mail"},
	MailboxFull:        {outcome.RcptRefused, 552, 2, 2, "552 5.2.2 Mailbox full"},
	MailboxDisabled:    {outcome.RcptRefused, 550, 2, 1, "550 5.2.1 Mailbox disabled"},
	RecipientRefused:   {outcome.RcptRefused, 550, 0, 0, "550 Requested action not taken"},
	SenderRefused:      {outcome.MailRefused, 550, 7, 1, "550 5.7.1 Sender address rejected"},
	MessageRefused:     {outcome.DataRefused, 554, 0, 0, "554 Transaction failed"},
	Policy:             {outcome.DataRefused, 554, 7, 1, "554 5.7.1 Message rejected as spam"},
	TooLarge:           {outcome.MailRefused, 552, 3, 4, "552 5.3.4 Message too big"},
	Relaying:           {outcome.RcptRefused, 550, 7, 1, "550 5.7.1 Relaying denied"},
	Greylisted:         {outcome.RcptRefused, 451, 7, 1, "451 4.7.1 Greylisted, please come back in 5 minutes"},
	Later:              {outcome.RcptRefused, 451, 3, 2, "451 4.3.2 Please try again later"},
	Refused:            {outcome.Refused, 0, 4, 1, "connection refused"},
	TimedOut:           {outcome.TimedOut, 0, 4, 1, "no answer within 30 seconds"},
	Unreachable:        {outcome.Unreachable, 0, 4, 1, "no route to host"},
	Lost:               {outcome.LostConnection, 0, 4, 2, "the connection was lost after DATA"},
	Greeting:           {outcome.Greeting, 554, 3, 2, "554 No SMTP service here"},
	Protocol:           {outcome.Protocol, 0, 5, 0, "a reply without a code"},
	TLS:                {outcome.TLS, 0, 7, 5, "the certificate is not valid for this name"},
	DNS:                {outcome.DNS, 0, 4, 3, "the name servers do not answer"},
	Expired:            {outcome.Expired, 451, 4, 7, "451 4.3.2 Please try again later"},
	Loop:               {outcome.Loop, 0, 4, 6, "aliases that lead in a circle"},
	Content:            {outcome.Content, 0, 6, 3, "the server does not take UTF-8 addresses"},
	MailboxUnavailable: {outcome.HomeMissing, 0, 2, 0, "the home directory is missing"},
	MailboxLocked:      {outcome.Locked, 0, 2, 0, "the mailbox is locked"},
	DiskFull:           {outcome.DiskFull, 0, 3, 1, "no space left on device"},
	Command:            {outcome.Command, 0, 3, 0, "the command ended with status 1"},
	Site:               {outcome.Policy, 0, 7, 1, "this address is for internal mail alone"},
	Cancelled:          {outcome.Returned, 0, 7, 1, "returned by the administrator"},
	Internal:           {outcome.Internal, 0, 3, 0, "a part of the mail system did not answer"},
	Other:              {"", 0, 0, 0, "no more is known"},
}

// Example is an outcome as a report of this kind would tell of it, by a server of
// this domain.
func Example(c Cause, what What, domain string) outcome.Outcome {
	if what == Success || what == After {
		return outcome.Outcome{
			Class: outcome.Delivered, Status: smtp.Status{Class: 2}, Code: 250, Remote: "mx." + domain, Relayed: what == Success,
		}
	}
	e := examples[c]
	o := outcome.Outcome{
		Class: outcome.Failed, Kind: e.kind, Code: e.code, Text: untrusted.From(e.text),
		Status: smtp.Status{Class: 5, Subject: e.subject, Detail: e.detail},
	}
	if what == Delay || c == Greylisted || c == Later {
		o.Class, o.Status.Class = outcome.Deferred, 4
	}
	if e.code != 0 {
		o.Remote = "mx." + domain
	}
	return o
}

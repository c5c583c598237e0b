package dsn

import "filbert/pkg/outcome"

// cause is what a kind of failure means to somebody who does not run mail
// servers, and what that person can do.
type cause struct{ why, todo string }

var causes = map[outcome.Kind]cause{
	outcome.UnknownUser: {
		"There is nobody of this name at that address.",
		"Please check the spelling of the part before the @. If you took it from an old message or list, the address may have been given up.",
	},
	outcome.NoDomain: {
		"The part after the @ does not exist on the Internet.",
		"Please check its spelling: often a letter is missing, or .com stands where .org should be.",
	},
	outcome.NoMX: {
		"The part after the @ exists, but it has no mail server.",
		"Please check its spelling: perhaps a part of the name is missing or too many.",
	},
	outcome.NullMX: {
		"The owner of the domain says that it does not receive mail.",
		"Please find another address of this person or organisation.",
	},
	outcome.RcptRefused: {
		"The recipient's mail server does not accept mail for this address.",
		"Please check the spelling. The server's own words below may say more.",
	},
	outcome.MailRefused: {
		"The recipient's mail server does not accept mail from your address.",
		"The server's own words below say why; your mail administrator can help.",
	},
	outcome.DataRefused: {
		"The recipient's mail server refused the message after it had seen it.",
		"It may have been taken for unwanted mail, or be too large. The server's own words below may say more.",
	},
	outcome.Greeting: {
		"The recipient's mail server does not talk to ours.",
		"Your mail administrator can find out why.",
	},
	outcome.Refused: {
		"The recipient's computer does not accept mail connections.",
		"Please check the part after the @. It may name a computer that receives no mail.",
	},
	outcome.TimedOut: {
		"The recipient's mail server did not answer in time.",
		"It may be down or overloaded. You can try again later.",
	},
	outcome.Unreachable: {
		"The recipient's mail server can't be reached from here.",
		"There may be a failure of the network. You can try again later.",
	},
	outcome.LostConnection: {
		"The recipient's mail server broke off the conversation.",
		"You can try again later.",
	},
	outcome.Expired: {
		"We tried for as long as is usual, without success, and have now given up.",
		"What stood in the way the last time is shown below. You can try again later, or reach the recipient in another way.",
	},
	outcome.Loop: {
		"The mail was going in circles: the address leads back to itself.",
		"The administrator of the recipient's domain has to mend this.",
	},
	outcome.Quota: {
		"The recipient's mailbox is full.",
		"Please reach the recipient in another way, or try again later.",
	},
	outcome.Content: {
		"The recipient's mail server is too old for this message.",
		"A message without attachments and special characters may pass.",
	},
	outcome.Command: {
		"A program that handles mail for this address refused it.",
		"",
	},
	outcome.Policy: {
		"Mail for this address is not accepted.",
		"",
	},
	outcome.Cancelled: {
		"The administrator of this mail system returned the message.",
		"",
	},
	outcome.DNS: {
		"We could not find out where mail for this address goes.",
		"",
	},
	outcome.HomeMissing: {
		"The recipient's mailbox is not available at the moment.",
		"",
	},
	outcome.DiskFull: {
		"There is no room for more mail at the moment.",
		"",
	},
	outcome.Locked: {
		"The recipient's mailbox is in use by another program.",
		"",
	},
	outcome.TLS: {
		"A secure connection to the recipient's mail server could not be made.",
		"",
	},
}

// explain puts an outcome into plain words.
func explain(o *outcome.Outcome) (why, todo string) {
	if c, ok := causes[o.Kind]; ok {
		return c.why, c.todo
	}
	if o.Temporary() {
		return "There was a problem that may pass.", ""
	}
	return "The message could not be delivered.", ""
}

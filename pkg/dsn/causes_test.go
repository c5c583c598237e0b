package dsn

import (
	"testing"

	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

func TestEveryCauseHasAnExampleThatComesToIt(t *testing.T) {
	for _, c := range Causes() {
		o := Example(c, Failure, "example.net")
		if got := CauseOf(&o); got != c {
			t.Errorf("%s: its example is %s", c, got)
		}
	}
}

func TestRepliesHaveTheCauseThatTheirCodesSay(t *testing.T) {
	for _, c := range []struct {
		kind            outcome.Kind
		code            int
		subject, detail int
		text            string
		want            Cause
	}{
		{outcome.RcptRefused, 550, 1, 1, "no such user", UnknownUser},
		{outcome.DataRefused, 550, 1, 1, "no such user", MessageRefused},
		{outcome.MailRefused, 550, 1, 1, "no such user", SenderRefused},
		{outcome.MailRefused, 553, 1, 8, "bad sender", SenderRefused},
		{outcome.RcptRefused, 554, 7, 1, "Relay access denied", Relaying},
		{outcome.RcptRefused, 554, 7, 1, "you are on a list", Policy},
		{outcome.RcptRefused, 551, 0, 0, "User not local", Moved},
		{outcome.RcptRefused, 552, 0, 0, "exceeded", MailboxFull},
		{outcome.DataRefused, 552, 0, 0, "exceeded", TooLarge},
		{outcome.DataRefused, 552, 2, 2, "over quota", MailboxFull},
		{outcome.RcptRefused, 452, 2, 2, "over quota", MailboxFull},
		{outcome.RcptRefused, 450, 1, 1, "unknown for now", Later},
		{outcome.RcptRefused, 450, 7, 1, "Recipient address rejected: Greylisted", Greylisted},
		{outcome.RcptRefused, 550, 7, 1, "greylisted for ever", Policy},
		{outcome.Greeting, 421, 3, 2, "busy", Later},
		{outcome.Greeting, 554, 3, 2, "go away", Greeting},
		{outcome.Policy, 0, 7, 1, "no", Site},
	} {
		o := outcome.Outcome{
			Class: outcome.Failed, Kind: c.kind, Code: c.code, Text: untrusted.From(c.text),
			Status: smtp.Status{Class: 5, Subject: c.subject, Detail: c.detail},
		}
		if 400 <= c.code && c.code < 500 {
			o.Class, o.Status.Class = outcome.Deferred, 4
		}
		if got := CauseOf(&o); got != c.want {
			t.Errorf("%s %d %d.%d %s: %s, want %s", c.kind, c.code, c.subject, c.detail, c.text, got, c.want)
		}
	}
}

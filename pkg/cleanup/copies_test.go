package cleanup

import (
	"strings"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/settings"
)

// recipientsWith gives the recipients of a message under rules for copies.
func recipientsWith(t *testing.T, caller, sender string, to []string, rules ...settings.Copy) []envelope.Recipient {
	t.Helper()
	r := newRig(t, caller)
	s := *r.c.settings.Load()
	s.Copies = rules
	if err := r.c.configure(&s); err != nil {
		t.Fatal(err)
	}
	m := letter("Subject: x\r\n\r\nx\r\n")
	m.Envelope.Sender = mailaddr.Address{}
	if sender != "" {
		m.Envelope.Sender = mailaddr.MustParse(sender)
	}
	m.Envelope.Recipients = nil
	for _, a := range to {
		m.Envelope.Recipients = append(m.Envelope.Recipients, envelope.Recipient{Address: mailaddr.MustParse(a)})
	}
	if a := r.submit(m); a.Code != 250 {
		t.Fatalf("%+v", a)
	}
	envs, _ := r.kept()
	return envs[0].Recipients
}

func TestCopiesGoToThoseWhomARuleNames(t *testing.T) {
	archive := settings.Copy{Name: "a", Of: "sender", Match: []string{"*@a.test"}, To: []string{"archive@a.test", "second@b.test"}}
	boss := settings.Copy{Name: "b", Of: "recipients", Match: []string{"sales@a.test", "*@shop.test"}, To: []string{"boss@a.test"}}
	for _, c := range []struct {
		caller, sender string
		to             []string
		want           string
	}{
		{"smtpd", "x@a.test", []string{"y@z.test"}, "y@z.test archive@a.test- second@b.test-"},
		{"smtpd", "x@z.test", []string{"SALES@a.test", "y@shop.test"}, "SALES@a.test y@shop.test boss@a.test-"},
		{"smtpd", "x@z.test", []string{"y@z.test"}, "y@z.test"},
		{"smtpd", "x@a.test", []string{"Archive@a.test"}, "Archive@a.test second@b.test-"},
		{"smtpd", "", []string{"sales@a.test"}, "sales@a.test boss@a.test-"},
		{"bounce", "", []string{"sales@a.test"}, "sales@a.test"},
	} {
		var got []string
		for _, r := range recipientsWith(t, c.caller, c.sender, c.to, archive, boss) {
			word := r.Address.String()
			if r.Notify == envelope.NotifyNever {
				word += "-" // its sender is told nothing
			}
			got = append(got, word)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s from %s to %v:\n%v\nwant %s", c.caller, c.sender, c.to, got, c.want)
		}
	}
}

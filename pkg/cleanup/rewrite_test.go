package cleanup

import (
	"strings"
	"sync"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// rewritingRig is a rig with rules and a log.
func rewritingRig(t *testing.T, caller string, rules ...settings.Rewrite) (*rig, *pages) {
	t.Helper()
	r := newRig(t, caller)
	s := *r.c.settings.Load()
	s.Rewrites = rules
	s.Log.Rewrites = true
	if err := r.c.configure(&s); err != nil {
		t.Fatal(err)
	}
	log := &pages{}
	r.c.log = event.New(log, "cleanup", event.Options{Direct: true})
	return r, log
}

func strip(sources ...string) settings.Rewrite {
	return settings.Rewrite{Name: "strip", Sources: sources, Match: "*@*.bar.com", To: "{1}@bar.com"}
}

const barred = "From: Me <me@pc.bar.com>\r\nTo: you@pc.bar.com (a), \"x\r\n\t@\" <they@b.bar.com>\r\n" +
	"X-Odd:  me@pc.bar.com \t\r\n\r\nFrom: me@pc.bar.com\r\n"

func barLetter(text string) *proto.Submission {
	m := letter(text)
	m.Envelope.Sender = mailaddr.MustParse("me@pc.bar.com")
	m.Envelope.Recipients = []envelope.Recipient{{Address: mailaddr.MustParse("you@pc.bar.com")}, {Address: mailaddr.MustParse("b@example.net")}}
	return m
}

func TestRulesRewriteTheSourcesThatTheyName(t *testing.T) {
	for _, c := range []struct {
		source string
		want   func(text string, v *envelope.Envelope) bool
	}{
		{"envelope-sender", func(text string, v *envelope.Envelope) bool {
			return strings.HasSuffix(text, barred) && v.Sender.String() == "me@bar.com" && v.Recipients[0].Address.Domain() == "pc.bar.com"
		}},
		{"envelope-recipients", func(text string, v *envelope.Envelope) bool {
			return strings.HasSuffix(text, barred) && v.Sender.String() == "me@pc.bar.com" && v.Recipients[0].Address.Domain() == "bar.com" &&
				v.Recipients[0].OrigType == "rfc822" && v.Recipients[0].Orig.Equal("you@pc.bar.com") && v.Recipients[1].Orig.IsEmpty()
		}},
		{"from", func(text string, v *envelope.Envelope) bool {
			return strings.HasSuffix(text, strings.Replace(barred, "me@pc.bar.com", "me@bar.com", 1)) && v.Sender.String() == "me@pc.bar.com"
		}},
		{"to", func(text string, _ *envelope.Envelope) bool {
			return strings.HasSuffix(text, strings.NewReplacer("you@pc.bar.com", "you@bar.com", "they@b.bar.com", "they@bar.com").Replace(barred))
		}},
		{"cc", func(text string, _ *envelope.Envelope) bool { return strings.HasSuffix(text, barred) }},
	} {
		r, _ := rewritingRig(t, "smtpd", strip(c.source))
		if got := r.submit(barLetter(barred)); got.Code != 250 {
			t.Fatalf("answer %+v", got)
		}
		envs, texts := r.kept()
		if !c.want(texts[0], envs[0]) || envs[0].Size != int64(len(texts[0])) {
			t.Errorf("%s: kept %+v\n%s", c.source, envs[0], texts[0])
		}
	}
}

func TestLargeMessagesAreRewrittenToo(t *testing.T) {
	r, _ := rewritingRig(t, "smtpd", strip("all"))
	body := strings.Repeat("From: me@pc.bar.com\r\n", 20_000)
	head := "From: me@pc.bar.com\r\n\r\n"
	if got, err := r.submitLarge(head+body, true); err != nil || got.Code != 250 {
		t.Fatalf("answer %+v, %v", got, err)
	}
	envs, texts := r.kept()
	if !strings.HasSuffix(texts[0], "\r\nFrom: me@bar.com\r\n\r\n"+body) || envs[0].Size != int64(len(texts[0])) {
		t.Errorf("size %d of %d, %.400q", envs[0].Size, len(texts[0]), texts[0])
	}
}

func TestAFromThatWeAddIsRewrittenToo(t *testing.T) {
	r, _ := rewritingRig(t, "pickup", strip("from"), settings.Rewrite{Name: "env", Sources: []string{"envelope-sender"}, Match: "*", To: "other@foo.com"})
	m := barLetter("Subject: x\r\n\r\n")
	m.Complete = true
	r.submit(m)
	envs, texts := r.kept()
	if !strings.Contains(texts[0], "\r\nFrom: me@bar.com\r\n") || envs[0].Sender.String() != "other@foo.com" {
		t.Errorf("from %s:\n%s", envs[0].Sender, texts[0])
	}
}

func TestReportsKeepTheNullSenderAndAreSentWhereRulesSay(t *testing.T) {
	mine := strip("all")
	mine.Listeners = []string{"reports"}
	r, _ := rewritingRig(t, "bounce", mine)
	m := barLetter(barred)
	m.Envelope.Sender = mailaddr.Address{}
	r.submit(m)
	envs, _ := r.kept()
	if !envs[0].Sender.IsNull() || envs[0].Recipients[0].Address.String() != "you@bar.com" {
		t.Errorf("kept %+v", envs[0])
	}
}

func TestConditionsAreOnTheTrueDoor(t *testing.T) {
	mine := strip("envelope-sender")
	mine.Listeners = []string{"sendmail"}
	for caller, want := range map[string]string{"smtpd": "me@pc.bar.com", "pickup": "me@bar.com"} {
		r, _ := rewritingRig(t, caller, mine)
		m := barLetter(barred)
		m.Envelope.Client.Port = "sendmail-not"
		r.submit(m)
		if envs, _ := r.kept(); envs[0].Sender.String() != want {
			t.Errorf("%s: sender %s, want %s", caller, envs[0].Sender, want)
		}
	}
}

func TestRewritesAreLoggedOnRequestWithTheRulesName(t *testing.T) {
	r, log := rewritingRig(t, "smtpd", strip("all"))
	r.submit(barLetter(barred))
	r.submitted()
	for _, want := range []string{
		"rewritten rule=strip source=from old=<me@pc.bar.com> new=<me@bar.com>",
		"rewritten rule=strip source=envelope-recipients old=<you@pc.bar.com> new=<you@bar.com>",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
	r, log = rewritingRig(t, "smtpd", strip("all"))
	s := *r.c.settings.Load()
	s.Log.Rewrites = false
	if err := r.c.configure(&s); err != nil {
		t.Fatal(err)
	}
	r.submit(barLetter(barred))
	r.submitted()
	if strings.Contains(log.String(), "rewritten") {
		t.Errorf("not asked for:\n%s", log)
	}
}

func TestOneMessageWritesBoundedLinesAboutItsRewriting(t *testing.T) {
	r, log := rewritingRig(t, "smtpd", strip("to"))
	r.submit(barLetter("To: " + strings.Repeat("a@x.bar.com,\r\n ", maxRewriteLines+50) + "\r\n\r\n"))
	r.submitted()
	if n := strings.Count(log.String(), "rewritten"); n != maxRewriteLines || !strings.Contains(log.String(), "more=50") {
		t.Errorf("%d lines", n)
	}
}

// pages is a log that can be read while it is written.
type pages struct {
	mu   sync.Mutex
	text strings.Builder
}

func (p *pages) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *pages) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// submitted returns when all that is to be logged of earlier messages is: they are
// answered and told of one after the other.
func (r *rig) submitted() {
	r.t.Helper()
	r.submit(letter("Subject: the next one\r\n\r\n"))
}

func TestAHeaderThatRewritingMakesTooLargeIsRefused(t *testing.T) {
	r, _ := rewritingRig(t, "smtpd", settings.Rewrite{Name: "grow", Sources: []string{"to"}, Match: "*@b", To: "{1}@" + strings.Repeat("long.", 40) + "example"})
	r.refused(r.submit(letter("To: "+strings.Repeat("a@b,", 100)+"\r\n\r\n")), 552, "5.3.4")
}

func TestRewritingThatBringsUTF8AsksForIt(t *testing.T) {
	r, _ := rewritingRig(t, "smtpd", settings.Rewrite{Name: "u", Sources: []string{"from"}, Match: "me@*", To: "ü@bar.com"})
	r.submit(barLetter(barred))
	envs, _ := r.kept()
	if !envs[0].UTF8 || !envs[0].Has8Bit {
		t.Errorf("kept %+v", envs[0])
	}
}

func TestAReloadCompilesTheRulesAnew(t *testing.T) {
	r, _ := rewritingRig(t, "smtpd")
	r.submit(barLetter(barred))
	s := *r.c.settings.Load()
	s.Rewrites = []settings.Rewrite{strip("envelope-sender")}
	if err := r.c.configure(&s); err != nil {
		t.Fatal(err)
	}
	r.submit(barLetter(barred))
	bad := s
	bad.Rewrites = []settings.Rewrite{{Name: "x"}}
	if err := r.c.configure(&bad); err == nil {
		t.Error("a bad rule was taken")
	}
	r.submit(barLetter(barred))
	envs, _ := r.kept()
	for i, want := range []string{"me@pc.bar.com", "me@bar.com", "me@bar.com"} {
		if envs[i].Sender.String() != want {
			t.Errorf("message %d: sender %s, want %s", i, envs[i].Sender, want)
		}
	}
}

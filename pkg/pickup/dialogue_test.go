package pickup

import (
	"strings"
	"testing"

	"filbert/pkg/envelope"
)

// codes is the first reply code of each reply in what -bs wrote.
func codes(out string) string {
	var list []string
	for line := range strings.SplitSeq(strings.TrimSuffix(out, "\r\n"), "\r\n") {
		if len(line) > 3 && line[3] == ' ' {
			list = append(list, line[:3])
		}
	}
	return strings.Join(list, " ")
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// The dialogue of mailers such as Swift and Alpine, piped or in steps.
func TestDialogueTakesAMessage(t *testing.T) {
	r := newRig(t)
	s := r.start(nil)
	got := r.call("sendmail", crlf("EHLO me\nMAIL FROM:<a@b.example> BODY=8BITMIME RET=HDRS ENVID=x+2By\n"+
		"RCPT TO:<c@d.example> NOTIFY=NEVER ORCPT=rfc822;c+2Bx@d.example\nRCPT TO:<root>\nDATA\n"+
		"Subject: x\nBcc: kept@x.example\n\n..dot\nlast\n.\nQUIT\n"), "-bs", "-odb", "-oem")
	r.want(got, exOK)
	if codes(got.out) != "220 250 250 250 250 354 250 221" {
		t.Fatalf("replies %q", got.out)
	}
	m := s.one()
	v := m.Envelope
	if m.to() != "c@d.example root@here.example" || v.Sender.String() != "a@b.example" || v.Client.Login != "ann" {
		t.Errorf("from %s to %s by %s", v.Sender, m.to(), v.Client.Login)
	}
	if v.Body != envelope.Body8BitMIME || v.Return != envelope.ReturnHeaders || !v.EnvID.Equal("x+y") ||
		v.Recipients[0].Notify != envelope.NotifyNever || !v.Recipients[0].Orig.Equal("c+x@d.example") {
		t.Errorf("envelope %+v", v)
	}
	if m.text != "Subject: x\r\nBcc: kept@x.example\r\n\r\n.dot\r\nlast\r\n" {
		t.Errorf("text %q", m.text)
	}
	if !strings.Contains(got.out, "Accepted as "+accepted.ID.String()) {
		t.Errorf("replies %q", got.out)
	}
}

func TestDialogueReplies(t *testing.T) {
	const begin = "EHLO me\nMAIL FROM:<a@b.example>\n"
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", "220"},
		{"no QUIT", "NOOP\n", "220 250"},
		{"HELO", "HELO me\nQUIT\n", "220 250 221"},
		{"MAIL before EHLO", "MAIL FROM:<a@b.example>\n", "220 503"},
		{"RCPT before MAIL", "EHLO me\nRCPT TO:<a@b.example>\n", "220 250 503"},
		{"DATA before RCPT", begin + "DATA\n", "220 250 250 503"},
		{"MAIL twice", begin + "MAIL FROM:<a@b.example>\n", "220 250 250 503"},
		{"RSET forgets", begin + "RSET\nRCPT TO:<a@b.example>\n", "220 250 250 250 503"},
		{"RSET first", "RSET\nMAIL FROM:<a@b.example>\n", "220 250 503"},
		{"EHLO forgets", begin + "EHLO me\nRCPT TO:<a@b.example>\n", "220 250 250 250 503"},
		{"parameters need EHLO", "HELO me\nMAIL FROM:<a@b.example> BODY=8BITMIME\n", "220 250 555"},
		{"null sender", "EHLO me\nMAIL FROM:<>\nRCPT TO:<a@b.example>\n", "220 250 250 250"},
		{"bare sender", "EHLO me\nMAIL FROM:<ann>\n", "220 250 250"},
		{"postmaster", begin + "RCPT TO:<postmaster>\n", "220 250 250 250"},
		{"null recipient", begin + "RCPT TO:<>\n", "220 250 250 501"},
		{"bad address", begin + "RCPT TO:<a@b@c>\nRCPT TO:a@b.example\n", "220 250 250 501 501"},
		{"VRFY HELP EXPN", "VRFY a\nHELP\nEXPN a\n", "220 252 214 500"},
		{"DATA with argument", begin + "RCPT TO:<a@b.example>\nDATA x\n", "220 250 250 250 501"},
		{"unknown", "XYZZY\n\x00\n\xff\n", "220 500 500 500"},
		{"long line", "NOOP " + strings.Repeat("x", 200_000) + "\nNOOP\n", "220 500 250"},
		{"too many errors", strings.Repeat("FOO\n", 30), "220" + strings.Repeat(" 500", 21) + " 421"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			s := r.start(nil)
			got := r.call("sendmail", crlf(c.in), "-bs")
			if codes(got.out) != c.want {
				t.Errorf("replies %s, want %s", codes(got.out), c.want)
			}
			if len(s.all()) > 0 {
				t.Error("a message was sent")
			}
		})
	}
}

func TestDialogueLinesMustEndInCRLF(t *testing.T) {
	r := newRig(t)
	s := r.start(nil)
	got := r.call("sendmail", "EHLO me\nMAIL FROM:<a@b.example>\n", "-bs")
	if codes(got.out) != "220 500 500" || len(s.all()) > 0 {
		t.Errorf("replies %q", got.out)
	}
}

func TestOnlyCRLFDotCRLFEndsAMessageOfADialogue(t *testing.T) {
	r := newRig(t)
	s := r.start(nil)
	in := crlf("EHLO me\nMAIL FROM:<a@b.example>\nRCPT TO:<c@d.example>\nDATA\n") +
		"a\n.\nb\n.\r\nc\r.\rd\r\n.\r\nQUIT\r\n"
	got := r.call("sendmail", in, "-bs")
	r.want(got, exOK)
	if codes(got.out) != "220 250 250 250 354 250 221" {
		t.Fatalf("replies %q", got.out)
	}
	if text := s.one().text; text != "a\r\n.\r\nb\r\n.\r\nc\r\n.\r\nd\r\n" {
		t.Errorf("text %q", text)
	}
}

func TestDialogueThatBreaksOffInAMessageSendsNothing(t *testing.T) {
	r := newRig(t)
	s := r.start(nil)
	got := r.call("sendmail", crlf("EHLO me\nMAIL FROM:<a@b.example>\nRCPT TO:<c@d.example>\nDATA\nhalf\n"), "-bs")
	r.want(got, exIOErr)
	if len(s.all()) > 0 {
		t.Error("a message was sent")
	}
}

func TestDialogueGoesOnAfterARefusal(t *testing.T) {
	r := newRig(t)
	r.start(refuse(552, 3, 4))
	const one = "MAIL FROM:<a@b.example>\nRCPT TO:<c@d.example>\nDATA\nx\n.\n"
	got := r.call("sendmail", crlf("EHLO me\n"+one+one+"QUIT\n"), "-bs")
	r.want(got, exOK)
	if codes(got.out) != "220 250 250 250 354 552 250 250 354 552 221" {
		t.Errorf("replies %q", got.out)
	}
	if strings.Contains(got.out, "\x1b") {
		t.Errorf("replies %q", got.out)
	}
}

func TestDialogueKeepsAMessageWhileTheSuiteIsDown(t *testing.T) {
	r := newRig(t)
	const one = "MAIL FROM:<a@b.example>\nRCPT TO:<c@d.example>\nDATA\nx\n.\n"
	got := r.call("sendmail", crlf("EHLO me\n"+one+"QUIT\n"), "-bs")
	if codes(got.out) != "220 250 250 250 354 250 221" || len(r.lies("maildrop")) != 1 {
		t.Errorf("replies %q, maildrop %v", got.out, r.lies("maildrop"))
	}
}

func FuzzDialogue(f *testing.F) {
	f.Add(crlf("EHLO me\nMAIL FROM:<ann>\nRCPT TO:<root>\nQUIT\n"))
	f.Add("EHLO [::1]\r\nMAIL FROM:<\"a>\"@b> SIZE=1\r\nRSET\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		if strings.Contains(strings.ToUpper(in), "DATA") {
			t.Skip() // it would hand in
		}
		var out strings.Builder
		p := &pickup{in: strings.NewReader(in), out: &out, stop: new(interrupts), opts: &options{}}
		p.site.name = "here.example"
		_ = p.converse()
		for line := range strings.SplitSeq(strings.TrimSuffix(out.String(), "\r\n"), "\r\n") {
			if len(line) < 4 || strings.ContainsAny(line, "\r\n\x00\x1b") {
				t.Fatalf("reply line %q", line)
			}
		}
	})
}

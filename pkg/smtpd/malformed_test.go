package smtpd

import (
	"io"
	"strings"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
)

func TestBadCommandsGetTheirReplyAndTheSessionGoesOn(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.Errors = 1000 })
	c := r.hello()
	for _, line := range []string{
		"\x00", "NO\x00OP", "NOOP \x00", "NOOP \x1b[31m", "\x80", "NOOP \xff\xfe", "M\xc3\xa4IL", "  NOOP", "NOOP\tx",
		"\r", "NOOP\r", "123", "-", "MAIL\x00FROM:<>", strings.Repeat("A", 2000), strings.Repeat("\x00", 100_000),
	} {
		c.cmd(500, line)
	}
	for _, line := range []string{
		"MAIL", "MAIL <a@b.example>", "MAIL FROM", "MAIL FROM:", "MAIL FROM:a@b.example", "MAIL FROM:<a@b.example",
		"MAIL FROM:<a@b.example>SIZE=1", "MAIL FROM:<a b@c.example>", "MAIL FROM:<a@>", "MAIL FROM:<@b.example>",
		"MAIL FROM:<a@b..example>", "MAIL FROM:<a@-b.example>", "MAIL FROM:<a@b.example> SIZE", "MAIL FROM:<a@b.example> SIZE=",
		"MAIL FROM:<a@b.example> SIZE=1 SIZE=2", "MAIL FROM:<a@b.example> BODY=9BIT", "MAIL FROM:<a@b.example> RET=HALF",
		"MAIL FROM:<a@b.example> ENVID=a+00b", "MAIL FROM:<a@b.example> ENVID=a+0Ab", "MAIL FROM:<a@b.example> ENVID=+4",
		"MAIL FROM:<a@b.example> =x", "MAIL FROM:<a@" + strings.Repeat("b.", 150) + "example>",
		"MAIL FROM:<" + strings.Repeat("a", 65) + "@b.example>", "MAIL FROM:<\"a@b.example>", "MAIL FROM:<a@[999.1.1.1]>",
	} {
		c.cmd(501, line)
	}
	c.cmd(553, "MAIL FROM:<\xc3\xa4@b.example>")
	c.cmd(250, "MAIL FROM:<a@b.example>")
	for _, line := range []string{
		"RCPT TO:<>", "RCPT TO:user@example.edu", "RCPT TO:<user@example.edu> NOTIFY=NEVER,SUCCESS", "RCPT TO:<user@example.edu> NOTIFY=",
		"RCPT TO:<user@example.edu> ORCPT=rfc822", "RCPT TO:<user@example.edu> ORCPT=rfc822;a+00", "RCPT TO:<user@example.edu> ORCPT=rfc822;a+0D+0Ab",
	} {
		c.cmd(501, line)
	}
	c.cmd(553, "RCPT TO:<\xc3\xa4@example.edu>")
	c.cmd(503, "MAIL FROM:<>")
	c.cmd(250, "RCPT TO:<user@example.edu>")
	c.cmd(250, "NOOP")
}

func TestTextOfTheClientIsNeverEchoed(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.Errors = 1000 })
	c := r.hello()
	const canary = "ZEBRA"
	for _, line := range []string{
		canary, "EHLO " + canary, "HELO " + canary + ".example", "NOOP " + canary, "VRFY " + canary, "HELP " + canary, "EXPN " + canary,
		"MAIL FROM:<" + canary + "@client.example>", "MAIL FROM:<" + canary, "RCPT TO:<" + canary + "@example.edu>",
		"RCPT TO:<" + canary + "@elsewhere.example>", "RCPT TO:<" + canary + "@b..c>", "DATA " + canary, "RSET " + canary, "QUIT " + canary,
		"MAIL FROM:<a@b.example> SIZE=" + canary, "MAIL FROM:<a@b.example> BODY=" + canary,
	} {
		c.send(line + "\r\n")
		if _, text, err := c.reply(); err != nil || strings.Contains(text, canary) {
			t.Errorf("%q: got %q, %v", line, text, err)
		}
	}
}

func TestOtherProtocolsAreTurnedAway(t *testing.T) {
	r := newRig(t, nil)
	for _, first := range []string{
		"GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nHost: mx\r\n\r\nEHLO x\r\nMAIL FROM:<>\r\n", "HEAD / HTTP/1.0\r\n", "CONNECT mx:25 HTTP/1.1\r\n",
		"Host: mx.example.edu\r\n", "get / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "SSH-2.0-x\r\n",
	} {
		c := r.connect()
		c.send(first)
		c.expect(421)
		c.closed()
	}
	c := r.connect()
	c.send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc") // a TLS hello, which has no line end
	c.expect(421)
	c.closed()
}

func TestTenMegabyteLineEndsInAReply(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	go func() { _, _ = io.WriteString(c.conn, strings.Repeat("x", 10<<20)+"\r\nNOOP\r\n") }()
	c.expect(500)
	c.closed()
}

func TestEightBitContentIsTakenAsItIs(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@client.example> BODY=8BITMIME")
	c.cmd(250, "RCPT TO:<user@example.edu>")
	c.cmd(354, "DATA")
	c.send("\xc3\xa4\xff\x80\r\n.\r\n")
	c.expect(250)
	m := r.cleanup.only(t)
	if m.content != "\xc3\xa4\xff\x80\r\n" || m.envelope.Body != envelope.Body8BitMIME {
		t.Errorf("got %q, body %d", m.content, m.envelope.Body)
	}
}

// The envelope carries what MAIL and RCPT said (RFC 3461, RFC 6531, RFC 3848).
func TestEnvelopeIsWhatTheClientSaid(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.cmd(250, "MAIL FROM:<\xc3\xa4@client.example> SMTPUTF8 RET=HDRS ENVID=a+3Db BODY=8BITMIME")
	c.cmd(250, "RCPT TO:<\xc3\xb6@example.edu> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;\xc3\xb6@example.edu")
	c.cmd(250, "RCPT TO:<user@example.edu> NOTIFY=NEVER")
	c.cmd(354, "DATA")
	c.send("x\r\n.\r\n")
	if text := c.expect(250); text != "2.0.0 Ok: queued as 00100000000" {
		t.Errorf("got %q", text)
	}
	m := r.cleanup.only(t)
	v := m.envelope
	if v.Source != envelope.FromSMTP || !v.UTF8 || v.Return != envelope.ReturnHeaders || !v.EnvID.Equal("a=b") {
		t.Errorf("envelope %d %v %d", v.Source, v.UTF8, v.Return)
	}
	if v.Recipients[0].Notify != envelope.NotifySuccess|envelope.NotifyDelay || v.Recipients[0].OrigType != "utf-8" || !v.Recipients[0].Orig.Equal("ö@example.edu") {
		t.Errorf("first recipient: %d %s", v.Recipients[0].Notify, v.Recipients[0].OrigType)
	}
	if v.Recipients[1].Notify != envelope.NotifyNever || v.Recipients[1].OrigType != "" {
		t.Errorf("second recipient: %d %s", v.Recipients[1].Notify, v.Recipients[1].OrigType)
	}
	if v.Client.Addr.String() != "127.0.0.1" || !v.Client.HELO.Equal("client.example") || v.Client.Proto != "UTF8SMTP" || v.Client.Port != "mx" || v.Client.UID != -1 {
		t.Errorf("client %v %s %s", v.Client.Addr, v.Client.Proto, v.Client.Port)
	}
	if m.complete {
		t.Error("fields are to be completed without a submission listener")
	}
	if len(envelopeBytes(t, &v)) == 0 {
		t.Error("empty")
	}
}

// envelopeBytes wants that the next program can read the envelope.
func envelopeBytes(t *testing.T, v *envelope.Envelope) []byte {
	t.Helper()
	b := v.Marshal()
	if _, err := envelope.Unmarshal(b); err != nil {
		t.Errorf("envelope: %v", err)
	}
	return b
}

func TestWordsOfTheEnvelopeAreThoseOfSMTP(t *testing.T) {
	if envelope.Body(smtp.Body7Bit) != envelope.Body7Bit || envelope.Body(smtp.Body8BitMIME) != envelope.Body8BitMIME ||
		envelope.Return(smtp.RetFull) != envelope.ReturnFull || envelope.Return(smtp.RetHeaders) != envelope.ReturnHeaders ||
		envelope.Notify(smtp.NotifyNever) != envelope.NotifyNever || envelope.Notify(smtp.NotifySuccess) != envelope.NotifySuccess ||
		envelope.Notify(smtp.NotifyFailure) != envelope.NotifyFailure || envelope.Notify(smtp.NotifyDelay) != envelope.NotifyDelay {
		t.Error("the numbers differ: transaction.add and session.envelope convert them")
	}
}

func TestHeloAndSubmissionAreTold(t *testing.T) {
	r := newRig(t, func(_ *settings.Settings, l *settings.Listen) { l.Submission = true })
	c := r.connect()
	c.cmd(250, "HELO client.example")
	c.mail(250, "x\r\n")
	if m := r.cleanup.only(t); m.envelope.Client.Proto != "SMTP" || !m.complete {
		t.Errorf("proto %s, complete %v", m.envelope.Client.Proto, m.complete)
	}
}

func TestRefusalsAreLoggedWithoutFloodingTheLog(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.Errors = 100 })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@client.example>")
	for range 50 {
		c.cmd(550, "RCPT TO:<\"x\\ y\"@elsewhere.example>")
	}
	c.cmd(221, "QUIT")
	c.closed()
	r.waitUntil("the session is logged", func() bool { return strings.Contains(r.log.String(), " session ") })
	log := r.log.String()
	if n := strings.Count(log, " refused "); n != shownRefusals+1 {
		t.Errorf("%d refusals logged:\n%s", n, log)
	}
	if !strings.Contains(log, "count=47") || !strings.Contains(log, "stage=rcpt") || !strings.Contains(log, "code=550") {
		t.Errorf("log:\n%s", log)
	}
	for line := range strings.Lines(log) {
		if strings.ContainsAny(line[:len(line)-1], "\r\x1b\x00") {
			t.Errorf("line %q", line)
		}
	}
}

func TestRefusalsOfManySessionsAreBounded(t *testing.T) {
	var out lockedBuffer
	now := time.Unix(1000, 0)
	r := newRefusals(event.New(&out, "smtpd", event.Options{Direct: true}), func() time.Time { return now })
	for range 10_000 {
		r.show(event.Refused{Stage: "rcpt", Code: 550})
	}
	if n := strings.Count(out.String(), "\n"); n != refusalBurst {
		t.Errorf("%d lines", n)
	}
	now = now.Add(time.Second)
	r.show(event.Refused{Stage: "rcpt", Code: 550})
	if !strings.Contains(out.String(), "count=9800") {
		t.Error("the hidden ones are not told")
	}
	r.show(event.Refused{Stage: "rcpt", Code: 550})
	r.flush()
}

func TestAPanicEndsOneSessionOnly(t *testing.T) {
	r := newRig(t, nil)
	other := r.hello()
	c := r.hello()
	r.server.room.Store(nil) // roomNow panics
	c.send("MAIL FROM:<>\r\n")
	c.closed()
	other.cmd(250, "NOOP")
	if !strings.Contains(r.log.String(), "panic") {
		t.Error("not logged")
	}
}

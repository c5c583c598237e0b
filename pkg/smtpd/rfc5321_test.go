package smtpd

import (
	"strings"
	"testing"

	"filbert/pkg/settings"
)

// The specification: each test names the place of RFC 5321 that it checks, and
// says in our words what it demands.

// RFC 5321, section 3.1: the server begins, with an opening message.
func TestServerGreetsWith220AndItsName(t *testing.T) {
	c := newRig(t, nil).dial()
	if text := c.expect(220); !strings.HasPrefix(text, "mx.example.edu ") {
		t.Errorf("greeting %q", text)
	}
}

// RFC 5321, section 4.1.1.1: a server returns 250 with its identity and a line
// for each extension.
func TestEhloListsTheExtensions(t *testing.T) {
	c := newRig(t, nil).connect()
	lines := strings.Split(c.cmd(250, "EHLO client.example"), "\n")
	want := []string{"mx.example.edu", "PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "SMTPUTF8", "DSN", "MT-PRIORITY", "DELIVERBY", "HELP"}
	if strings.Join(lines, ",") != strings.Join(want, ",") {
		t.Errorf("got %q, want %q", lines, want)
	}
}

// RFC 5321, section 4.1.1.1: a server supports HELO too, without extensions.
func TestHeloIsAnsweredInOneLine(t *testing.T) {
	c := newRig(t, nil).connect()
	if text := c.cmd(250, "HELO client.example"); text != "mx.example.edu" {
		t.Errorf("got %q", text)
	}
	c.cmd(555, "MAIL FROM:<a@client.example> SIZE=10") // nothing was offered
	c.mail(250, "x\r\n")
}

// RFC 5321, section 4.1.4: after an EHLO that is not acceptable, 501, the server
// must stay in the state that it was in.
func TestBadEhloChangesNothing(t *testing.T) {
	c := newRig(t, nil).hello()
	c.envelope()
	c.cmd(501, "EHLO")
	c.cmd(501, "EHLO bad name")
	c.cmd(501, "EHLO \xc3\xa9.example")
	c.cmd(354, "DATA")
}

// RFC 5321, section 4.1.4: a later EHLO must clear and reset as RSET does.
func TestEhloResets(t *testing.T) {
	c := newRig(t, nil).hello()
	c.envelope()
	c.cmd(250, "EHLO client.example")
	c.cmd(503, "DATA")
	c.cmd(503, "RCPT TO:<user@example.edu>")
}

// RFC 5321, section 4.1.4: NOOP, HELP, EXPN, VRFY and RSET may be used at any
// time, without EHLO before.
func TestSomeCommandsNeedNoEhlo(t *testing.T) {
	c := newRig(t, nil).connect()
	c.cmd(250, "NOOP")
	c.cmd(250, "NOOP whatever it is")
	c.cmd(214, "HELP")
	c.cmd(502, "EXPN list")
	c.cmd(252, "VRFY user")
	c.cmd(250, "RSET")
	c.cmd(503, "MAIL FROM:<a@client.example>")
}

// RFC 5321, section 4.1.4: commands out of order are 503.
func TestRcptBeforeMailIs503(t *testing.T) {
	c := newRig(t, nil).hello()
	c.cmd(503, "RCPT TO:<user@example.edu>")
}

// RFC 5321, section 3.3: DATA without MAIL and RCPT, or when all were refused,
// is 503 or 554.
func TestDataWithoutRecipientIsRefused(t *testing.T) {
	c := newRig(t, nil).hello()
	c.cmd(503, "DATA")
	c.cmd(250, "MAIL FROM:<a@client.example>")
	c.cmd(503, "DATA")
	c.cmd(550, "RCPT TO:<user@elsewhere.example>")
	c.cmd(554, "DATA")
}

// RFC 5321, section 4.1.4: MAIL must not be sent while a transaction is open.
func TestSecondMailIs503(t *testing.T) {
	c := newRig(t, nil).hello()
	c.cmd(250, "MAIL FROM:<a@client.example>")
	c.cmd(503, "MAIL FROM:<b@client.example>")
	c.cmd(250, "RCPT TO:<user@example.edu>")
	c.cmd(503, "MAIL FROM:<b@client.example>")
}

// RFC 5321, section 4.1.1.5: after RSET nothing of sender, recipients and
// content is left.
func TestRsetDropsTheTransaction(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.envelope()
	c.cmd(250, "RSET")
	c.cmd(503, "DATA")
	c.cmd(250, "MAIL FROM:<other@client.example>")
	c.cmd(250, "RCPT TO:<second@example.edu>")
	c.cmd(354, "DATA")
	c.send("x\r\n.\r\n")
	c.expect(250)
	m := r.cleanup.only(t)
	if len(m.envelope.Recipients) != 1 || m.envelope.Recipients[0].Address.String() != "second@example.edu" {
		t.Errorf("recipients %v", m.envelope.Recipients)
	}
	if m.envelope.Sender.String() != "other@client.example" {
		t.Errorf("sender %v", m.envelope.Sender)
	}
}

// RFC 5321, section 4.1.1.4: processing the end of the content consumes what is
// stored of the transaction.
func TestEndOfMessageConsumesTheTransaction(t *testing.T) {
	c := newRig(t, nil).hello()
	c.mail(250, "x\r\n")
	c.cmd(503, "RCPT TO:<user@example.edu>")
	c.cmd(503, "DATA")
	c.mail(250, "y\r\n")
}

// RFC 5321, section 4.5.2: a period at the beginning of a line that has more is
// deleted.
func TestDotsAreUnstuffed(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.mail(250, "Subject: x\r\n\r\n..\r\n...\r\n.a\r\nb.\r\n")
	if got, want := r.cleanup.only(t).content, "Subject: x\r\n\r\n.\r\n..\r\na\r\nb.\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// RFC 5321, section 4.1.1.10: QUIT may be sent at any time.
func TestQuitAlwaysGets221(t *testing.T) {
	r := newRig(t, nil)
	for _, before := range [][]string{{}, {"EHLO c.example"}, {"EHLO c.example", "MAIL FROM:<>"}} {
		c := r.connect()
		for _, line := range before {
			c.cmd(250, line)
		}
		c.cmd(221, "QUIT")
		c.closed()
	}
}

// RFC 5321, section 4.5.1: every server that takes mail must support postmaster,
// in any case of letters, also without a domain.
func TestPostmasterWithoutDomainIsAccepted(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.cmd(250, "MAIL FROM:<>")
	c.cmd(250, "RCPT TO:<pOstMaster>")
	c.cmd(501, "RCPT TO:<user>")
}

// RFC 5321, section 4.5.3.1.8: at least 100 recipients must be taken.
func TestAtLeastAHundredRecipients(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.Recipients = 1 })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<>")
	for range 100 {
		c.cmd(250, "RCPT TO:<user@example.edu>")
	}
	c.cmd(452, "RCPT TO:<user@example.edu>")
}

// RFC 5321, section 4.5.3.1.10: too many recipients are 452, and those before
// are kept.
func TestRecipientsBeforeTheLimitAreKept(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.Recipients = 100 })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<>")
	for range 100 {
		c.cmd(250, "RCPT TO:<user@example.edu>")
	}
	c.cmd(452, "RCPT TO:<late@example.edu>")
	c.cmd(354, "DATA")
	c.send("x\r\n.\r\n")
	c.expect(250)
	if n := len(r.cleanup.only(t).envelope.Recipients); n != 100 {
		t.Errorf("%d recipients", n)
	}
}

// RFC 5321, section 2.4: commands are not case-sensitive.
func TestVerbsAreNotCaseSensitive(t *testing.T) {
	c := newRig(t, nil).connect()
	c.cmd(250, "eHlO client.example")
	c.cmd(250, "mail from:<a@client.example>")
	c.cmd(250, "Rcpt To:<user@EXAMPLE.edu>")
	c.cmd(354, "data")
}

// RFC 5321, section 4.2.4: 500 for a command that is not known, 502 for one that
// is known and not implemented.
func TestUnknownAndUnimplementedCommands(t *testing.T) {
	c := newRig(t, nil).hello()
	c.cmd(500, "FROBNICATE")
	c.cmd(500, "X")
	c.cmd(500, "")
	c.cmd(502, "EXPN staff")
	c.cmd(502, "ETRN example.edu")
	c.cmd(502, "TURN")
}

// RFC 5321, section 4.1.1.4: DATA takes no argument; section 4.1.1.5 and
// 4.1.1.10 likewise for RSET and QUIT: 501.
func TestArgumentsWhereNoneMayBe(t *testing.T) {
	c := newRig(t, nil).hello()
	c.envelope()
	c.cmd(501, "DATA now")
	c.cmd(501, "RSET all")
	c.cmd(501, "QUIT please")
	c.cmd(354, "DATA")
}

// RFC 5321, section 4.1.1: trailing white space is tolerated.
func TestTrailingSpaceIsTolerated(t *testing.T) {
	c := newRig(t, nil).hello()
	c.cmd(250, "NOOP  ")
	c.cmd(250, "RSET ")
	c.envelope()
	c.cmd(354, "DATA ")
}

// RFC 5321, section 4.1.1.11: a parameter that is not known is 555.
func TestUnknownParameterIs555(t *testing.T) {
	c := newRig(t, nil).hello()
	c.cmd(555, "MAIL FROM:<a@client.example> FROB=1")
	c.cmd(555, "MAIL FROM:<a@client.example> BODY=BINARYMIME")
	c.cmd(250, "MAIL FROM:<a@client.example> BODY=8BITMIME SIZE=100")
	c.cmd(555, "RCPT TO:<user@example.edu> FROB=1")
}

// RFC 5321, section 6.1: reports come with a null sender, which must be taken.
func TestNullSenderIsAccepted(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.cmd(250, "MAIL FROM:<>")
	c.cmd(250, "RCPT TO:<user@example.edu>")
	c.cmd(354, "DATA")
	c.send("x\r\n.\r\n")
	c.expect(250)
	if !r.cleanup.only(t).envelope.Sender.IsNull() {
		t.Error("sender is not null")
	}
}

// RFC 5321, section 4.1.1.4: only the sequence CRLF . CRLF ends the content,
// the first CRLF being that of the DATA line for an empty message.
func TestEmptyMessage(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.mail(250, "")
	if got := r.cleanup.only(t).content; got != "" {
		t.Errorf("got %q", got)
	}
}

// RFC 5321, section 4.5.3.1.6: lines of 1000 octets must be taken; we pass any
// length unchanged.
func TestLongTextLinesPassUnchanged(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	body := strings.Repeat("x", 300_000) + "\r\n"
	c.mail(250, body)
	if got := r.cleanup.only(t).content; got != body {
		t.Errorf("got %d octets, want %d", len(got), len(body))
	}
}

// RFC 5321, section 4.5.3.1.4: a command line has at most 512 octets, more with
// extensions; section 4.5.3.1.10: longer ones are 500.
func TestLongCommandLineIs500AndTheSessionGoesOn(t *testing.T) {
	c := newRig(t, nil).hello()
	c.cmd(500, "NOOP "+strings.Repeat("x", 3000))
	c.cmd(500, "NOOP "+strings.Repeat("x", 500_000))
	c.cmd(250, "NOOP "+strings.Repeat("x", 505))
}

// RFC 5321, section 4.1.1.3 and appendix C: source routes must be accepted and
// should not be followed.
func TestSourceRouteIsStripped(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.cmd(250, "MAIL FROM:<@a.example,@b.example:sender@client.example>")
	c.cmd(250, "RCPT TO:<@elsewhere.example:user@example.edu>")
	c.cmd(550, "RCPT TO:<@example.edu:user@elsewhere.example>")
	c.cmd(354, "DATA")
	c.send("x\r\n.\r\n")
	c.expect(250)
	m := r.cleanup.only(t)
	if got := m.envelope.Recipients[0].Address.String(); got != "user@example.edu" {
		t.Errorf("recipient %q", got)
	}
}

// RFC 5321, section 2.3.8: lines end in CRLF, and nothing else is an end.
func TestCommandEndedByBareLFIsNotExecuted(t *testing.T) {
	c := newRig(t, nil).hello()
	c.send("RSET\n")
	c.expect(500)
	c.send("MAIL FROM:<a@client.example>\nRCPT TO:<user@example.edu>\r\n")
	c.expect(500)
	c.expect(503) // no sender was taken
	c.send("NOOP\rNOOP\r\n")
	c.expect(500)
}

package smtpd

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"filbert/pkg/smtp"
)

// model is the protocol in as few words as possible, written apart from the
// session: what has been accepted since the last reset.
type model struct {
	hello, esmtp, mail, rcpt, chunks, broken bool
}

// allows tells whether a command may be accepted (2yz or 3yz).
func (m *model) allows(verb string) bool {
	switch verb {
	case "EHLO", "HELO", "RSET", "NOOP":
		return true
	case "MAIL":
		return m.hello && !m.mail && !m.broken
	case "RCPT":
		return m.mail && !m.chunks
	case "DATA":
		return m.mail && m.rcpt && !m.chunks
	case "BDAT":
		return m.mail && m.rcpt && m.esmtp
	case "VRFY", "HELP":
		return !m.broken
	}
	return false
}

func (m *model) reset() { m.mail, m.rcpt, m.chunks, m.broken = false, false, false, false }

// onward are commands that lead towards a message: without them random ones
// would hardly ever get to its end.
func (m *model) onward() []string {
	switch {
	case m.broken:
		return []string{"RSET", "BDAT 10 LAST", "EHLO c.example"}
	case !m.hello:
		return []string{"EHLO c.example"}
	case !m.mail:
		return []string{"MAIL FROM:<>"}
	case !m.rcpt:
		return []string{"RCPT TO:<user@example.edu>"}
	}
	return []string{"BDAT 10", "DATA", "BDAT 10 LAST", "RCPT TO:<user@example.edu>"}
}

// fakeContent counts whether it was given up.
type fakeContent struct{ given int }

func (c *fakeContent) abandon() { c.given++ }

// fate is what the test makes of content.
var fates = map[string]*smtp.Reply{
	"taken":     smtp.NewReply(250, smtp.Status{Class: 2}, "Ok"),
	"temporary": errNoCleanup,
	"permanent": errBareEnd,
}

var commandLines = []string{
	"EHLO c.example", "HELO c.example", "EHLO", "EHLO bad name",
	"MAIL FROM:<>", "MAIL FROM:<a@b.example>", "MAIL FROM:<a@b.example> SIZE=999999999999", "MAIL FROM:<bad", "MAIL FROM:<a@b.example> FROB",
	"RCPT TO:<user@example.edu>", "RCPT TO:<x@elsewhere.example>", "RCPT TO:<", "RCPT TO:<postmaster>", "RCPT TO:<a%b@example.edu>",
	"DATA", "DATA x", "RSET", "RSET x", "NOOP", "VRFY x", "VRFY", "VRFY \xc3\xa4@b.example", "HELP", "EXPN x", "FROB", "\x00", "",
	"BDAT 10", "BDAT 10 LAST", "BDAT 0 LAST", "BDAT 0", "BDAT 999999999",
}

// TestRandomCommandsAgainstTheModel: whatever is sent in whatever order, with
// each message failing in each way, a command is accepted only where the model
// allows it; DATA and BDAT only when MAIL and RCPT were accepted since the last
// reset; and content of a dropped transaction was given up.
func TestRandomCommandsAgainstTheModel(t *testing.T) {
	conf := testSettings()
	conf.Limits.Errors, conf.Limits.Commands = 1<<30, 1<<30
	e, err := newSite(conf, conf.Listen[0])
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		now := room{up: true, accepting: true, free: 1 << 40}
		s := newSession(e, netip.MustParseAddr("198.51.100.1"), func() room { return now })
		var m model
		var open *fakeContent
		for range rapid.IntRange(30, 120).Draw(t, "commands") {
			lines := commandLines
			if rapid.Bool().Draw(t, "onward") {
				lines = m.onward()
			}
			line := rapid.SampledFrom(lines).Draw(t, "line")
			now.up = rapid.IntRange(0, 9).Draw(t, "up") > 0
			now.accepting = rapid.IntRange(0, 9).Draw(t, "accepting") > 0
			fate := rapid.SampledFrom([]string{"taken", "temporary", "permanent"}).Draw(t, "fate")
			verb, _, _ := strings.Cut(line, " ")

			a := s.command([]byte(line), func() bool { return true })
			accepted := a.step == readContent || a.step == readChunk || a.reply != nil && a.reply.Code < 400
			if accepted && !m.allows(verb) {
				t.Fatalf("%q was accepted in %+v", line, m)
			}
			if !accepted && m.allows(verb) && goodLine(line) && !(verb == "MAIL" && (!now.up || !now.accepting)) {
				t.Fatalf("%q was refused in %+v: %+v", line, m, a)
			}
			if a.step == hangUp {
				return
			}
			follow(t, s, &m, verb, line, a, accepted, fate, &open)
			if (s.tx != nil) != m.mail || s.tx != nil && (len(s.tx.recipients) > 0) != m.rcpt || (s.state == broken) != m.broken || (s.state == haveChunks) != m.chunks {
				t.Fatalf("after %q: state %d, transaction %+v, model %+v", line, s.state, s.tx, m)
			}
			if s.tx == nil && open != nil && open.given == 0 {
				t.Fatalf("after %q: content was dropped and not given up", line)
			}
			if s.tx == nil {
				open = nil
			}
		}
	})
}

// follow moves the model, and plays the dialogue for content.
func follow(t *rapid.T, s *session, m *model, verb, line string, a action, accepted bool, fate string, open **fakeContent) {
	switch {
	case a.step == readContent:
		*open = &fakeContent{}
		s.tx.content = *open
		s.ended(fates[fate])
		m.reset()
	case a.step == readChunk:
		if s.tx.content == nil {
			*open = &fakeContent{}
			s.tx.content = *open
		}
		m.chunks = true
		switch {
		case bool(a.last):
			s.ended(fates[fate])
			m.reset()
		case fate == "taken":
			s.chunkRead(nil)
		default:
			s.chunkRead(fates[fate])
			m.reset()
			m.broken = true
		}
	case verb == "BDAT": // refused, its octets thrown away
		if a.step != discardChunk {
			t.Fatalf("%q: refused chunk is not read: %+v", line, a)
		}
		last := strings.HasSuffix(line, "LAST") && m.mail
		m.reset()
		m.broken = m.hello && !last
		if a.reply.Code == 503 && s.state == broken {
			m.broken = true
		}
	case !accepted:
	case verb == "EHLO" || verb == "HELO":
		m.reset()
		m.hello, m.esmtp = true, verb == "EHLO"
	case verb == "RSET":
		m.reset()
	case verb == "MAIL":
		m.mail = true
	case verb == "RCPT":
		m.rcpt = true
	}
}

// goodLine tells whether nothing but the state can be wrong with a line.
func goodLine(line string) bool {
	switch line {
	case "EHLO c.example", "HELO c.example", "MAIL FROM:<>", "MAIL FROM:<a@b.example>", "RCPT TO:<user@example.edu>", "RCPT TO:<postmaster>",
		"DATA", "RSET", "NOOP", "VRFY x", "HELP", "BDAT 10", "BDAT 10 LAST", "BDAT 0 LAST", "BDAT 0":
		return true
	}
	return false
}

// FuzzSession feeds lines to a session: no panic, a reply for each that is
// one well-formed line or more, none that a client could have written, and the
// invariant of the transaction.
func FuzzSession(f *testing.F) {
	f.Add([]byte("EHLO c.example\nMAIL FROM:<a@b.example> SIZE=1\nRCPT TO:<user@example.edu>\nDATA\n"))
	f.Add([]byte("HELO x\nMAIL FROM:<>\nRCPT TO:<postmaster>\nBDAT 10\nRSET\nBDAT 1 LAST\n"))
	f.Add([]byte("EHLO c\nMAIL FROM:<>\nRCPT TO:<user@example.edu>\nBDAT 10\nBDAT 0 LAST\nQUIT\n"))
	for _, line := range commandLines {
		f.Add([]byte("EHLO c.example\n" + line + "\n"))
	}
	conf := testSettings()
	e, err := newSite(conf, conf.Listen[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		s := newSession(e, netip.MustParseAddr("192.0.2.1"), func() room { return room{up: true, accepting: true, free: 1 << 40} })
		for i, line := range strings.Split(string(script), "\n") {
			a := s.command([]byte(line), func() bool { return i%7 != 6 })
			switch a.step {
			case readContent:
				a = s.ended(errNoCleanup)
			case readChunk:
				if a.size < 0 {
					t.Fatalf("%q: size %d", line, a.size)
				}
				if a.last {
					a = s.ended(fates["taken"])
				} else {
					a = s.chunkRead(nil)
				}
			case discardChunk:
				if a.size < 0 || a.size > e.maxDiscard() {
					t.Fatalf("%q: discards %d", line, a.size)
				}
			}
			if a.reply == nil {
				t.Fatalf("%q: no reply", line)
			}
			checkReply(t, a.reply)
			if (s.tx != nil) != (s.state&(haveSender|haveRecipient|haveChunks) != 0) {
				t.Fatalf("%q: state %d, transaction %v", line, s.state, s.tx != nil)
			}
			if s.state&(haveRecipient|haveChunks) != 0 && len(s.tx.recipients) == 0 {
				t.Fatalf("%q: state %d without a recipient", line, s.state)
			}
			if a.step == hangUp {
				return
			}
		}
	})
}

// checkReply wants lines that each begin with the code and are within bounds.
func checkReply(t *testing.T, r *smtp.Reply) {
	t.Helper()
	for line := range strings.SplitSeq(strings.TrimSuffix(string(r.Bytes()), "\r\n"), "\r\n") {
		if !strings.HasPrefix(line, fmt.Sprint(r.Code)) || len(line) > smtp.MaxReplyLine-2 || strings.ContainsAny(line, "\r\n\x00\x1b") {
			t.Fatalf("reply line %q", line)
		}
	}
}
